"""Exact rate limits, shared by all processes and pods.

No client gets more than N requests admitted in any window of a rate's length, whatever the
concurrency, while Redis keeps its data. Without Redis, scopes fail open, except those in
THROTTLING_FAIL_CLOSED.
"""

from .headers import ThrottlingMiddleware, throttled
from .throttles import AnonRateThrottle, RateThrottle, ScopedRateThrottle, UserRateThrottle
from .usernames import UsernameRateThrottle, client_of_form

__all__ = [
    "AnonRateThrottle",
    "RateThrottle",
    "ScopedRateThrottle",
    "ThrottlingMiddleware",
    "UserRateThrottle",
    "UsernameRateThrottle",
    "client_of_form",
    "throttled",
]
