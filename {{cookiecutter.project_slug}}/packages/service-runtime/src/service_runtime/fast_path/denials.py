"""Denials that hold for a moment, so that a flood of denied requests costs Redis nothing."""

import time
from typing import Any, NamedTuple

from django.http import HttpRequest
from rest_framework.exceptions import Throttled

from ..api.problems import body_of
from ..throttling.decisions import Decision, Policy, Scope
from ..throttling.state import Throttling

# How long a limit that an operator resets may be in force in other processes.
MAX_SECONDS = 1.0
MAX_DENIALS = 10_000


class _Denial(NamedTuple):
    at: float  # monotonic seconds
    seconds: float
    policies: list[Policy]


class Denials:
    """Denied requests by their scopes and cost.

    A denial is remembered only if nothing is left in any of its windows. No other request changes
    these then, and the decision is the same until the first of them has capacity again.
    """

    def __init__(self) -> None:
        self._denials: dict[tuple[Any, ...], _Denial] = {}

    def get(self, scopes: list[Scope], cost: int) -> Decision | None:
        """Return the decision for a request if it is denied."""
        denial = self._denials.get((cost, *scopes))
        if denial is None:
            return None
        passed = time.monotonic() - denial.at
        if passed >= denial.seconds:
            return None
        return Decision([_after(policy, passed) for policy in denial.policies])

    def add(self, scopes: list[Scope], cost: int, decision: Decision, at: float) -> None:
        """Remember a decision, unless other requests can change it.

        Args:
            scopes: the scopes that the request would count in.
            cost: its cost.
            decision: the decision.
            at: a time before the decision (monotonic seconds).
        """
        policies = decision.policies
        if all(_is_exhausted(policy) for policy in policies):
            if len(self._denials) >= MAX_DENIALS:
                self._denials.clear()
            seconds = min([MAX_SECONDS, *(policy.outcome.more for policy in policies)])
            self._denials[cost, *scopes] = _Denial(at, seconds, policies)

    def clear(self) -> None:
        """Forget all denials."""
        self._denials.clear()


def denial_of(environ: dict[str, Any], decision: Decision) -> tuple[bytes, str]:
    """Return the body and the media type of a denial by Django REST framework."""
    request = HttpRequest()
    request.META = environ
    request.throttling = Throttling(policies=decision.policies)  # type: ignore[attr-defined]
    return body_of(request, Throttled(decision.wait or None))


def _is_exhausted(policy: Policy) -> bool:
    return not (policy.outcome.fits or policy.outcome.remaining or policy.limit.shadow)


def _after(policy: Policy, seconds: float) -> Policy:
    outcome = policy.outcome
    later = outcome._replace(wait=outcome.wait - seconds, more=outcome.more - seconds)
    return policy._replace(outcome=later)
