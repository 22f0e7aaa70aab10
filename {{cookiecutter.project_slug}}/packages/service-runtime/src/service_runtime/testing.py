"""A pytest plugin with fixtures for a service's tests; name it in conftest.py's `pytest_plugins`.

Tests with the marker `redis` are skipped without REDIS_URL.
"""

import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import pytest
import redis
from django.core.cache import caches
from django.core.signals import got_request_exception
from django.db import connections
from pytest_django import Settings
from rest_framework.test import APIClient

from .conf import settings as runtime

T = TypeVar("T")


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker `redis`."""
    config.addinivalue_line("markers", "redis: needs a real Redis")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip tests that need Redis if there is none."""
    skip = pytest.mark.skip(reason="needs REDIS_URL: run `make test`, or `with-redis pytest`")
    for item in items:
        if item.get_closest_marker("redis") and not runtime.REDIS_URL:
            item.add_marker(skip)


@pytest.fixture(autouse=True)
def _empty_caches() -> None:
    """Start each test without cached data and counted requests of earlier tests."""
    from .throttling import decisions

    for cache in caches.all():
        cache.clear()
    if runtime.REDIS_URL:
        with redis.Redis.from_url(runtime.REDIS_URL) as client:
            for key in client.scan_iter(f"{runtime.CACHE_KEY_PREFIX}:*"):
                client.delete(key)
    decisions.limiter.cache_clear()


@pytest.fixture
def operator() -> Iterator[redis.Redis]:
    """Return a client for commands that the service's user may not run, such as CLIENT KILL."""
    url = os.environ.get("REDIS_OPERATOR_URL", runtime.REDIS_URL)
    with redis.Redis.from_url(url) as client:
        yield client


@pytest.fixture
def set_rates(settings: Settings) -> Callable[..., None]:
    """Return a function that replaces the rates of all scopes."""

    def set_rates(**rates: str) -> None:
        framework = {**settings.REST_FRAMEWORK, "DEFAULT_THROTTLE_RATES": rates}
        settings.REST_FRAMEWORK = framework

    return set_rates


@pytest.fixture
def elsewhere() -> Callable[[Callable[[], T]], T]:
    """Return a function that calls another function in a thread with its own connections."""

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
    """Return an anonymous API client."""
    return APIClient()


@pytest.fixture
def failures() -> Iterator[list[BaseException | None]]:
    """Return a list that fills with the exceptions of responses with 500."""
    found: list[BaseException | None] = []

    def note(**kwargs: object) -> None:
        found.append(sys.exception())

    got_request_exception.connect(note)
    yield found
    got_request_exception.disconnect(note)
