"""Give every request an id, and its log lines their context."""

import time
from collections.abc import Callable
from typing import Any

from django.core.signals import request_finished
from django.http import HttpRequest, HttpResponse

from ..conf import settings
from .context import NONE, context_of, current, get_current_user_id
from .events import log_event


class RequestContextMiddleware:
    """Take over a valid X-Request-ID or generate one, and return it with the response.

    The context lasts until the whole body is sent, so that the lines of a streaming response have
    it too. gunicorn writes the access line later, with the copy in the WSGI environment.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        started = time.perf_counter()
        early = request.META.get("log.context")  # of the fast path, which has not served it
        context = early._replace(request=request) if early else context_of(request.META, request)
        current.set(context)
        response = self.get_response(request)
        # Without the request, which refers to the environment: they would form a cycle.
        request.META["log.context"] = context._replace(request=None)
        request.META["log.uid"] = get_current_user_id()
        response["X-Request-ID"] = str(context.request_id)
        match = request.resolver_match
        route = match.route if match else None
        report_slow(time.perf_counter() - started, request.method, route, response.status_code)
        return response


def report_slow(seconds: float, method: str | None, route: str | None, status: int) -> None:
    """Log a request that took longer than SLOW_REQUEST_SECONDS."""
    if 0 < settings.SLOW_REQUEST_SECONDS < seconds:
        data = {"method": method, "route": route, "status": status}
        duration = round(seconds * 1000, 1)
        log_event("slow_request", data | {"duration_ms": duration}, level="WARNING")


def _clear(**kwargs: Any) -> None:
    current.set(NONE)


request_finished.connect(_clear)
