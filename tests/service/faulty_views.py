"""Views that log, fail, block or stream, for tests of a copy of the service."""

FAULTY_VIEWS = """
import asyncio, os, sys, threading, time, warnings
from django.http import HttpResponse, StreamingHttpResponse
from django.urls import path
from service_runtime.logging import get_current_user_id, in_context, log_event
from {package}.urls import urlpatterns as service_urls


def log(request):
    time.sleep(float(request.GET.get("seconds", 0)))
    log_event("seen", {{"id": request.headers["X-Request-ID"]}})
    return HttpResponse()


async def log_async(request):
    await asyncio.sleep(0.01)
    log_event("seen", {{"id": request.headers["X-Request-ID"]}})
    return HttpResponse()


def stream(request):
    def parts():
        for number in range(3):
            log_event("part", {{"id": request.headers["X-Request-ID"]}})
            yield str(number)
    return StreamingHttpResponse(parts())


def fail(request):
    raise ValueError("on purpose")


def noise(request):
    print("printed", 1)
    sys.stderr.write("to stderr\\n")
    warnings.warn("careful")
    thread = threading.Thread(target=in_context(lambda: 1 / 0), name="helper")
    thread.start()
    thread.join()
    log_event("secrets", {{"headers": request.headers, "password": "hush"}})
    return HttpResponse()


def sleep(request):
    time.sleep(float(request.GET["seconds"]))
    return HttpResponse()


urlpatterns = [*service_urls] + [
    path(f"faulty/{{view.__name__}}/", view)
    for view in (log, log_async, stream, fail, noise, sleep)
]
"""
