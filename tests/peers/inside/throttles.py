"""Put the service's throttles in the place of DRF's, as changing the import in a test would.

Two things of DRF's that the tests rely on are adapted. Their clock is the attribute `timer` of a
throttle, here the limiter's. And `NUM_PROXIES` is set in `api_settings`, here in the settings.
"""

import time
from types import SimpleNamespace

import pytest
import service

clock = SimpleNamespace(read=time.time)


class _Timed(type):
    """Takes a class' `timer` for the limiter's clock, instead of an attribute of the class."""

    def __new__(cls, name, bases, namespace, **kwargs):
        timer = namespace.pop("timer", None)
        created = super().__new__(cls, name, bases, namespace, **kwargs)
        if timer:
            created.timer = timer
        return created

    def __setattr__(cls, name, value):
        if name == "timer":
            clock.read = lambda: value(cls)
        else:
            super().__setattr__(name, value)


def pytest_configure(config) -> None:
    if service.NAME:
        _substitute()


@pytest.fixture(autouse=True)
def _new_limiter(monkeypatch):
    """Count from 0 in each test, by the clock that the test sets."""
    if not service.NAME:
        return
    clock.read = time.time
    from service_runtime.throttling import decisions
    from service_runtime.throttling.limiter import LocalLimiter

    limiter = LocalLimiter(clock=lambda: int(clock.read() * 1_000_000))
    monkeypatch.setattr(decisions, "limiter", lambda: limiter)


def _substitute() -> None:
    import rest_framework.throttling
    from django.conf import settings

    for name, value in service.own_settings().items():
        setattr(settings, name, value)
    from service_runtime.throttling import throttles as ours

    for name, own in {
        "SimpleRateThrottle": ours.RateThrottle,
        "AnonRateThrottle": ours.AnonRateThrottle,
        "UserRateThrottle": ours.UserRateThrottle,
        "ScopedRateThrottle": ours.ScopedRateThrottle,
    }.items():
        setattr(rest_framework.throttling, name, _Timed(name, (own,), {}))


def pytest_collection_modifyitems(items) -> None:
    if not service.NAME:
        return
    from django.conf import settings

    for item in items:
        if hasattr(item.cls, "config_proxy"):
            item.cls.config_proxy = lambda self, number: setattr(settings, "NUM_PROXIES", number)
