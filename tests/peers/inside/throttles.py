"""Replace DRF's throttles with the runtime's, like a changed import in the tests.

Two features of DRF's are adapted for the tests. DRF's clock is the attribute `timer` of a throttle;
here it is the limiter's. DRF reads `NUM_PROXIES` from `api_settings`; here it is a setting.
"""

import time
from types import SimpleNamespace

import pytest
import service

clock = SimpleNamespace(read=time.time)


class _Timed(type):
    """Use the attribute `timer` of a class as the limiter's clock."""

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
    """Give each test a new limiter with the clock that the test sets."""
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

    for name, value in service.added_settings().items():
        setattr(settings, name, value)
    from service_runtime.throttling import throttles as ours

    for name, replacement in {
        "SimpleRateThrottle": ours.RateThrottle,
        "AnonRateThrottle": ours.AnonRateThrottle,
        "UserRateThrottle": ours.UserRateThrottle,
        "ScopedRateThrottle": ours.ScopedRateThrottle,
    }.items():
        setattr(rest_framework.throttling, name, _Timed(name, (replacement,), {}))


def pytest_collection_modifyitems(items) -> None:
    if not service.NAME:
        return
    from django.test import override_settings

    for item in items:
        if hasattr(item.cls, "config_proxy"):
            item.cls.config_proxy = lambda self, number: override_settings(
                NUM_PROXIES=number
            ).enable()
