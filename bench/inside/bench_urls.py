"""Trivial views, limited by Django REST framework's throttle or by the service's."""

from django.core.cache import caches
from django.urls import path
from django.utils.connection import ConnectionProxy
from rest_framework.response import Response
from rest_framework.throttling import ScopedRateThrottle as StockThrottle
from rest_framework.views import APIView
from service_runtime.throttling import throttles


class Stock(StockThrottle):
    """Django REST framework's throttle on Django's Redis cache."""

    cache = ConnectionProxy(caches, "stock")


def view(throttle, limit):
    """Return a view limited by a throttle."""

    class View(APIView):
        authentication_classes = permission_classes = []
        throttle_classes = [throttle]
        throttle_scope = f"limit_{limit}"

        def get(self, request):
            return Response({})

    return View.as_view()


urlpatterns = [
    path(f"{name}/{limit}/", view(throttle, limit))
    for name, throttle in {"stock": Stock, "this": throttles.ScopedRateThrottle}.items()
    for limit in (10, 100, 1000)
]
