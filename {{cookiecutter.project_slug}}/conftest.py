"""Fixtures for all tests."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import pytest
import redis
from django.conf import settings
from django.core.cache import caches
from django.db import connections
from rest_framework.test import APIClient

from {{ cookiecutter.project_slug }}.runtime.throttling import decisions

T = TypeVar("T")


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
    decisions.limiter.cache_clear()


@pytest.fixture
def operator() -> Iterator[redis.Redis]:
    """Return a client for what the service's own user may be denied, such as ending connections."""
    url = os.environ.get("REDIS_OPERATOR_URL", settings.REDIS_URL)
    with redis.Redis.from_url(url) as client:
        yield client


@pytest.fixture
def set_rates(settings) -> Callable[..., None]:
    """Return a function that sets the rates of scopes, and takes the others away."""

    def set_rates(**rates: str) -> None:
        framework = {**settings.REST_FRAMEWORK, "DEFAULT_THROTTLE_RATES": rates}
        settings.REST_FRAMEWORK = framework

    return set_rates


@pytest.fixture
def elsewhere() -> Callable[[Callable[[], T]], T]:
    """Return a function that calls another one in a thread, which has its own connections."""

    def elsewhere(function: Callable[[], T]) -> T:
        def call() -> T:
            try:
                return function()
            finally:
                connections.close_all()

        with ThreadPoolExecutor(1) as pool:
            return pool.submit(call).result()

    return elsewhere


@pytest.fixture
def api() -> APIClient:
    """Return an anonymous client of the API."""
    return APIClient()
