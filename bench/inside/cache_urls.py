"""The variants of the list of blogs that bench compares, and empty views."""

import importlib
import os
import time

from cacheops import cached_as
from django.core.cache import caches
from django.http import HttpResponse
from django.urls import include, path
from django.utils.connection import ConnectionProxy
from rest_framework.response import Response
from rest_framework.throttling import SimpleRateThrottle
from rest_framework.views import APIView
from service_runtime.caching import cached_response

PACKAGE = os.environ["BENCH_PACKAGE"]
views = importlib.import_module(f"{PACKAGE}.blog.views")
models = importlib.import_module(f"{PACKAGE}.blog.models")
plain_list = views.BlogApiView.list.__wrapped__


class Empty(APIView):
    """The overhead of the framework, the service's middleware and authentication: returns {}."""

    def get_queryset(self):
        """Return the queryset for the permission class."""
        return models.Blog.objects.all()

    def get(self, request):
        return Response({})


class Uncached(views.BlogApiView):
    """The list without a cache."""

    def list(self, request, *args, **kwargs):
        return plain_list(self, request, *args, **kwargs)


class Denied(views.BlogApiView):
    """The list in a scope whose limit a client can exhaust."""

    throttle_scope = "denied"


class StockThrottle(SimpleRateThrottle):
    """Django REST framework's throttle on Django's Redis cache."""

    cache = ConnectionProxy(caches, "stock")
    rate = "1000/hour"
    number = 0

    def get_cache_key(self, request, view):
        # A client that has used half of its limit, on average.
        StockThrottle.number += 1
        return f"throttle_{StockThrottle.number // 1000}"


class Seed(Uncached):
    """The list with a queryset cached by cacheops, under Django REST framework's throttle."""

    throttle_classes = [StockThrottle]

    def get_queryset(self):
        return super().get_queryset().cache()


class CachedAs(Uncached):
    """The list with a serialized payload cached by cacheops' cached_as."""

    def list(self, request, *args, **kwargs):
        @cached_as(models.Blog, models.Author, extra=request.build_absolute_uri())
        def payload():
            return plain_list(self, request, *args, **kwargs).data

        return Response(payload())


class Slow(Uncached):
    """The list, which takes a second to compute."""

    @cached_response(models.Blog, models.Author, public=True)
    def list(self, request, *args, **kwargs):
        time.sleep(1)
        return plain_list(self, request, *args, **kwargs)


class SlowStale(Uncached):
    """The same list; while it is computed, others get the former one."""

    @cached_response(models.Blog, models.Author, public=True, stale=30)
    def list(self, request, *args, **kwargs):
        time.sleep(1)
        return plain_list(self, request, *args, **kwargs)


def write(request):
    """Invalidate the lists."""
    models.Blog.objects.first().save()
    return HttpResponse(b"written")


urlpatterns = [
    path("slow/", Slow.as_view()),
    path("slow/stale/", SlowStale.as_view()),
    path("write/", write),
    path("django/", lambda request: HttpResponse(b"hello")),
    path("denied/", Denied.as_view()),
    path("uncached/", Uncached.as_view()),
    path("seed/", Seed.as_view()),
    path("cached_as/", CachedAs.as_view()),
    # Last, since the list of the service has to pass all patterns, too.
    path("empty/", Empty.as_view()),
    path("", include(f"{PACKAGE}.urls")),
]
