"""Decides whether a request may pass all of its scopes, with one call to the limiter."""

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import NamedTuple, cast

import redis
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest
from prometheus_client import Counter
from rest_framework.exceptions import APIException
from rest_framework.settings import api_settings

from ..conf import settings
from ..logging import log_event
from ..metrics import THROTTLE_REQUESTS
from ..rates import BLOCK, Rate, Window, rate_of
from ..redis import client as redis_client
from .identity import is_exempt, tier_of
from .limiter import Limit, Limiter, LocalLimiter, Outcome, RedisLimiter

BLOCKED = Outcome(fits=False, remaining=0, wait=0, more=0)


class Scope(NamedTuple):
    """A scope in which a request counts.

    Attributes:
        name: what THROTTLE_<NAME> sets the rate of.
        client: whom it is counted for.
        rate: a rate that does not come from the environment, or None.
        hidden: whether the RateLimit fields leave it out.
    """

    name: str
    client: str
    rate: Rate | None = None
    hidden: bool = False


class Policy(NamedTuple):
    """One window of a scope, and what became of the request in it.

    A scope that is blocked has the window `BLOCK`, and no waiting helps: its outcome's is 0.
    """

    scope: Scope
    window: Window
    shadow: bool
    outcome: Outcome


@dataclass
class Decision:
    """What was decided for a request. It is falsy when the request is denied."""

    policies: list[Policy] = field(default_factory=list)

    def __bool__(self) -> bool:
        return not self.denied

    @property
    def denied(self) -> list[Policy]:
        """The windows that the request did not fit into."""
        return [policy for policy in self.policies if not (policy.shadow or policy.outcome.fits)]

    def wait(self, scopes: Iterable[Scope]) -> float | None:
        """Return the seconds until it would fit into these scopes; None if it did, 0 for never."""
        chosen = set(scopes)
        return max(
            (policy.outcome.wait for policy in self.denied if policy.scope in chosen), default=None
        )


class ThrottlingUnavailableError(APIException):
    """A scope of THROTTLING_FAIL_CLOSED cannot be judged, since Redis does not answer: a 503."""

    status_code = 503
    default_detail = "Try again in a moment."
    default_code = "throttling_unavailable"
    wait = 1  # seconds, which Django REST framework answers as Retry-After


@cache
def limiter() -> Limiter:
    """Return this process' limiter: in Redis where there is one, else in memory."""
    if settings.THROTTLING_REDIS_URL:
        return RedisLimiter(redis_client(settings.THROTTLING_REDIS_URL))
    return LocalLimiter()


def configured_rates() -> dict[str, str | None]:
    """Return the settings' rate of each scope, as text; None is no limit, as "off" is."""
    return cast("dict[str, str | None]", api_settings.DEFAULT_THROTTLE_RATES)


def key_of(scope: str, client: str, period: int) -> str:
    """Return where a window is counted; a client's keys share a hash slot of a Redis Cluster."""
    tag = "{" + client + "}"
    return f"{settings.CACHE_KEY_PREFIX}:throttling:{tag}:{scope}:{period}"


def decide(request: HttpRequest, scopes: Iterable[Scope], cost: int = 1) -> Decision:
    """Count a request in all of its scopes, or in none unless it fits into each.

    Raises:
        ImproperlyConfigured: a scope has no rate.
        ThrottlingUnavailableError: Redis does not answer, and a scope fails closed.
    """
    found = [] if is_exempt(request) else _windows(request, scopes)
    blocked = [Policy(*each, BLOCKED) for each in found if each[1] == BLOCK]
    if not blocked:
        decision = Decision(_judge(found, cost))
    elif any(not policy.shadow for policy in blocked):
        decision = Decision(blocked)  # which no counter can change
    else:
        others = [each for each in found if each[1] != BLOCK]
        decision = Decision(blocked + _judge(others, cost))
    _report(decision)
    return decision


def _judge(found: list[tuple[Scope, Window, bool]], cost: int) -> list[Policy]:
    """Return what the limiter says of the windows; nothing where scopes fail open."""
    if not found:
        return []
    shadows = {scope: number for number, (scope, _, _) in enumerate(found, start=1)}
    limits = [
        Limit(_key(scope, window), *window, shadows[scope] * shadow)
        for scope, window, shadow in found
    ]
    try:
        outcomes = limiter().take(limits, cost)
    except redis.RedisError as error:
        _without_redis({scope.name for scope, _, shadow in found if not shadow}, error)
        return []
    if _failing:
        log_event("throttle_recovered", {"scopes": sorted({scope for scope, _ in _failing})})
        _failing.clear()
    return [Policy(*each, outcome) for each, outcome in zip(found, outcomes, strict=True)]


def _key(scope: Scope, window: Window) -> str:
    # Classes that bring different rates along may name the same scope, and each counts for itself.
    name = f"{scope.name}={window.limit}" if scope.rate else scope.name
    return key_of(name, scope.client, window.period)


def _windows(request: HttpRequest, scopes: Iterable[Scope]) -> list[tuple[Scope, Window, bool]]:
    tier = tier_of(request)
    found = []
    for scope in dict.fromkeys(scopes):
        rate = scope.rate or rate_of(configured_rates(), scope.name, tier)
        if rate is None:
            raise ImproperlyConfigured(f"The throttle scope {scope.name!r} has no rate.")
        found += [(scope, window, rate.shadow) for window in rate.windows]
    return found


def _without_redis(scopes: set[str], error: redis.RedisError) -> None:
    closed = scopes & set(settings.THROTTLING_FAIL_CLOSED)
    outcome = "failed_closed" if closed else "failed_open"
    for scope in scopes:
        _count(scope, outcome)
        if (scope, outcome) not in _failing:
            _failing.add((scope, outcome))
            data = {"scope": scope, "error": str(error)}
            log_event(f"throttle_{outcome}", data, level="WARNING")
    if closed:
        raise ThrottlingUnavailableError


def _report(decision: Decision) -> None:
    misfits = {policy.scope for policy in decision.policies if not policy.outcome.fits}
    is_denied = not decision
    for scope, shadow in {policy.scope: policy.shadow for policy in decision.policies}.items():
        if scope in misfits:
            outcome = "would_deny" if shadow else "denied"
            _log(outcome, scope)
            _count(scope.name, outcome)
        elif not is_denied:  # a request that another scope refused counts in none
            _count(scope.name, "allowed")


def _count(scope: str, outcome: str) -> None:
    _counter(scope, outcome).inc()


@cache
def _counter(scope: str, outcome: str) -> Counter:
    return THROTTLE_REQUESTS.labels(scope, outcome)


# What was logged of the present outage, so that it is once.
_failing: set[tuple[str, str]] = set()
_logged: dict[tuple[str, str], float] = {}


def _log(outcome: str, scope: Scope) -> None:
    """Log the first refusal of each second in each scope; the counter has all of them."""
    now = time.monotonic()
    if now - _logged.get((outcome, scope.name), -1.0) >= 1:
        _logged[outcome, scope.name] = now
        name = "throttled" if outcome == "denied" else "would_throttle"
        log_event(name, {"scope": scope.name, "client": scope.client})
