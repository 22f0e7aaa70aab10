"""Exact rate limits, shared by all processes and pods.

No client gets more than N requests admitted in any window of a rate's length, at any concurrency,
while Redis keeps its data. While Redis is unavailable, scopes fail open, except those in
THROTTLING_FAIL_CLOSED.
"""

from rest_framework.throttling import BaseThrottle

from . import operations
from .headers import ThrottlingMiddleware, throttled, violated_policies
from .throttles import (
    AnonRateThrottle,
    RateThrottle,
    ScopedRateThrottle,
    SimpleRateThrottle,
    UserRateThrottle,
)
from .usernames import UsernameRateThrottle, client_of_form

__all__ = [
    "AnonRateThrottle",
    "BaseThrottle",
    "RateThrottle",
    "ScopedRateThrottle",
    "SimpleRateThrottle",
    "ThrottlingMiddleware",
    "UserRateThrottle",
    "UsernameRateThrottle",
    "client_of_form",
    "operations",
    "throttled",
    "violated_policies",
]
