"""Fixtures for all tests."""

import pytest
import redis
from django.conf import settings
from django.core.cache import caches
from rest_framework.test import APIClient


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    skip = pytest.mark.skip(reason="needs REDIS_URL, which `make test` sets where it finds Redis")
    for item in items:
        if item.get_closest_marker("redis") and not settings.REDIS_URL:
            item.add_marker(skip)


@pytest.fixture(autouse=True)
def _empty_caches() -> None:
    """Start each test without what another one cached or counted."""
    for cache in caches.all():
        cache.clear()
    if settings.REDIS_URL:
        with redis.Redis.from_url(settings.REDIS_URL) as client:
            for key in client.scan_iter("tests:*"):
                client.delete(key)


@pytest.fixture
def api() -> APIClient:
    """Return an anonymous client of the API."""
    return APIClient()
