"""Throttle classes for views, used exactly like Django REST framework's own."""

from django.core.cache import caches
from django.utils.connection import ConnectionProxy
from rest_framework import throttling

from .rates import parse_rate


class RateMixin(throttling.SimpleRateThrottle):
    """Counts in the cache named "throttling", at the rate that settings give the scope."""

    duration: int
    num_requests: int
    now: float
    history: list[float]
    cache = ConnectionProxy(caches, "throttling")  # type: ignore[assignment]

    def parse_rate(self, rate: str | None) -> tuple[int, int]:
        parsed = parse_rate(rate or "off")
        if parsed is None:
            self.rate = None
            return 0, 0
        return parsed

    def wait(self) -> float | None:
        # DRF spreads the requests that are left over the period; a client needs the moment at
        # which the next one will be let in.
        return max(self.duration - (self.now - self.history[self.num_requests - 1]), 0.0)


class AnonRateThrottle(RateMixin, throttling.AnonRateThrottle):
    """Limits each anonymous client by its address, at the rate of the scope `anon`."""


class UserRateThrottle(RateMixin, throttling.UserRateThrottle):
    """Limits each user, and anonymous clients by address, at the rate of the scope `user`."""


class ScopedRateThrottle(RateMixin, throttling.ScopedRateThrottle):
    """Limits each client in the view's `throttle_scope`; views that name a scope share it."""
