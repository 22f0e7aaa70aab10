"""Decide whether a request fits all of its scopes, with one call to the limiter."""

from collections.abc import Iterable
from functools import cache
from typing import NamedTuple, cast

import redis
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest
from prometheus_client import Counter
from rest_framework.exceptions import APIException
from rest_framework.settings import api_settings

from ..conf import settings
from ..logging import log_event, log_event_rarely
from ..metrics import THROTTLE_REQUESTS
from ..rates import Rate, rate_of
from ..redis import client as redis_client
from ..redis import cluster_of, is_cluster
from .cluster_limiter import ClusterLimiter
from .identity import is_exempt, stored_name, tier_of
from .limiter import Limit, Limiter, LocalLimiter, Outcome, RedisLimiter

BLOCKED = Outcome(fits=False, remaining=0, wait=0, more=0)
LOG_INTERVAL = 1  # seconds between two events of one scope


class Scope(NamedTuple):
    """A scope that a request counts in.

    Attributes:
        name: the scope's name; THROTTLE_<NAME> sets its rate.
        client: the client that the request is counted for.
        rate: the rate that a throttle class defines, or None for the settings' rate.
        hidden: whether the RateLimit fields omit the scope.
    """

    name: str
    client: str
    rate: Rate | None = None
    hidden: bool = False


class Policy(NamedTuple):
    """One window of a scope, and the outcome of a request in it.

    A blocked scope has a limit of 0 requests in 0 seconds, and the outcome `BLOCKED`.
    """

    scope: Scope
    limit: Limit
    outcome: Outcome


class Decision(NamedTuple):
    """The decision for a request; falsy if the request is denied."""

    policies: list[Policy]

    def __bool__(self) -> bool:
        return not self.denied

    @property
    def denied(self) -> list[Policy]:
        """The policies that deny the request."""
        return [
            policy for policy in self.policies if not (policy.limit.shadow or policy.outcome.fits)
        ]

    @property
    def wait(self) -> float:
        """The seconds until the request would fit; 0 if it does now, or if it never will."""
        return max((policy.outcome.wait for policy in self.denied), default=0)


class ThrottlingUnavailableError(APIException):
    """Redis is unavailable, and a scope of THROTTLING_FAIL_CLOSED needs it: a 503."""

    status_code = 503
    default_detail = "Try again in a moment."
    default_code = "throttling_unavailable"
    wait = 1  # seconds; Django REST framework sends it as Retry-After


@cache
def limiter() -> Limiter:
    """Return the limiter of this process: in Redis if there is one, else in memory."""
    url = settings.THROTTLING_REDIS_URL
    if is_cluster(url):
        return ClusterLimiter(cluster_of(url))
    return RedisLimiter(redis_client(url)) if url else LocalLimiter()


def configured_rates() -> dict[str, str | None]:
    """Return the rate of each scope in the settings, as text; None means no limit."""
    return cast("dict[str, str | None]", api_settings.DEFAULT_THROTTLE_RATES)


def key_of(scope: str, client: str, period: int) -> str:
    """Return the key of a window; a client's keys share a hash slot of a Redis Cluster."""
    tag = "{" + stored_name(client) + "}"
    return f"{settings.CACHE_KEY_PREFIX}:throttling:{tag}:{scope}:{period}"


def decide(request: HttpRequest, scopes: Iterable[Scope], cost: int = 1) -> Decision:
    """Count a request in all of its scopes if it fits each of them, else in none.

    Raises:
        ImproperlyConfigured: a scope has no rate.
        ThrottlingUnavailableError: Redis is unavailable, and a scope fails closed.
    """
    if is_exempt(request.META):
        return Decision([])
    return decide_in_tier(tier_of(request), scopes, cost)


def decide_in_tier(tier: str | None, scopes: Iterable[Scope], cost: int) -> Decision:
    """Count a request of a tier, as `decide` does."""
    limits = _limits(tier, scopes)
    decision = Decision([Policy(*each, BLOCKED) for each in limits if not each[1].limit])
    if decision:  # an enforced block needs no counters
        decision.policies.extend(_take([each for each in limits if each[1].limit], cost))
    report(decision)
    return decision


def _limits(tier: str | None, scopes: Iterable[Scope]) -> list[tuple[Scope, Limit]]:
    """Return each scope with the limit of each of its windows."""
    limits = []
    for number, scope in enumerate(dict.fromkeys(scopes), start=1):
        rate = scope.rate or rate_of(configured_rates(), scope.name, tier)
        if rate is None:
            raise ImproperlyConfigured(f"The throttle scope {scope.name!r} has no rate.")
        for window in rate.windows:
            # Classes with different rates can name one scope: each counts separately.
            name = f"{scope.name}={window.limit}" if scope.rate else scope.name
            key = key_of(name, scope.client, window.period)
            limits.append((scope, Limit(key, *window, number * rate.shadow)))
    return limits


def _take(limits: list[tuple[Scope, Limit]], cost: int) -> list[Policy]:
    """Return the limiter's policies, without those that are unavailable and fail open."""
    if not limits:
        return []
    try:
        outcomes = limiter().take([limit for _, limit in limits], cost)
    except redis.RedisError as error:
        outcomes = [Outcome(True, 0, 0, 0, error)] * len(limits)
    policies = [Policy(*each, outcome) for each, outcome in zip(limits, outcomes, strict=True)]
    unavailable = [policy for policy in policies if policy.outcome.error]
    if unavailable:
        _fail(unavailable)
        return [policy for policy in policies if not policy.outcome.error]
    if _failing and limiter().is_available:
        log_event("throttle_recovered", {"scopes": sorted({scope for scope, _ in _failing})})
        _failing.clear()
    return policies


def _fail(unavailable: list[Policy]) -> None:
    """Fail closed if one of the policies' scopes does, else open."""
    scopes = {policy.scope.name for policy in unavailable if not policy.limit.shadow}
    error = str(unavailable[0].outcome.error)
    closed = scopes & set(settings.THROTTLING_FAIL_CLOSED)
    outcome = "failed_closed" if closed else "failed_open"
    for scope in scopes:
        _counter(scope, outcome).inc()
        if (scope, outcome) not in _failing:
            _failing.add((scope, outcome))
            data = {"scope": scope, "error": error}
            log_event(f"throttle_{outcome}", data, level="WARNING")
    if closed:
        raise ThrottlingUnavailableError


def report(decision: Decision) -> None:
    """Count a decision in the metrics, and log the first denials."""
    misfits = {policy.scope for policy in decision.policies if not policy.outcome.fits}
    is_allowed = bool(decision)
    for scope, shadow in {
        policy.scope: policy.limit.shadow for policy in decision.policies
    }.items():
        if scope in misfits:
            outcome = "would_deny" if shadow else "denied"
            _log(outcome, scope)
            _counter(scope.name, outcome).inc()
        elif is_allowed:  # a request that another scope denies counts in none
            _counter(scope.name, "allowed").inc()


@cache
def _counter(scope: str, outcome: str) -> Counter:
    return THROTTLE_REQUESTS.labels(scope, outcome)


# The scopes and outcomes that were logged in the current outage: each is logged once.
_failing: set[tuple[str, str]] = set()


def _log(outcome: str, scope: Scope) -> None:
    """Log the first denial per scope and LOG_INTERVAL; the metric counts all of them."""
    name = "throttled" if outcome == "denied" else "would_throttle"
    data = {"scope": scope.name, "client": stored_name(scope.client)}
    log_event_rarely(name, scope.name, data, seconds=LOG_INTERVAL)
