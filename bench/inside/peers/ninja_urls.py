"""The list of blogs in django-ninja: JSON cached in Redis, under its own throttle."""

import os
from pathlib import Path

from django.core.cache import cache
from django.http import HttpResponse
from django.urls import path
from ninja import NinjaAPI
from ninja.throttling import AnonRateThrottle

api = NinjaAPI(throttle=[AnonRateThrottle("1000/h")])


@api.get("/blogs/")
def blogs(request):
    """Return the cached list; on a miss, a file stands in for the query."""
    body = cache.get("blogs")
    if body is None:
        body = Path(os.environ["BENCH_LIST"]).read_bytes()
        cache.set("blogs", body, 60 * 10)
    return HttpResponse(body, content_type="application/json")


urlpatterns = [path("api/", api.urls)]
