"""The state of a request's throttling, and decisions before a view is called."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rest_framework.exceptions import APIException

from .decisions import Decision, Policy, Scope, decide_in_tier
from .identity import is_exempt

# The view of a decision that a view's throttles adopt when they are called.
EARLY = object()


@dataclass
class Throttling:
    """The state of a request's throttling, as `request.throttling`.

    Attributes:
        view: the view whose throttles count the request; EARLY before it is called.
        policies: the policies to report to the client.
        counted: the scopes that the request was counted in.
        cost: how many requests it counted as.
        joint: the decision of the throttles that are decided together.
        error: why there is no decision.
    """

    view: Any = None
    policies: list[Policy] = field(default_factory=list)
    counted: list[Scope] = field(default_factory=list)
    cost: int = 1
    joint: Decision | None = None
    error: APIException | None = None


def decide_early(
    environ: Mapping[str, Any], scopes: list[Scope], cost: int
) -> tuple[Throttling, Decision | None]:
    """Count a request before its view is called, whose throttles adopt the decision.

    Args:
        environ: the request's WSGI environment. No hook has to be called for it.
        scopes: the scopes that the view's throttles will count it in.
        cost: how many requests it counts as.

    Returns:
        the state, and the decision, or None if a scope fails closed.
    """
    state = Throttling(EARLY, counted=scopes, cost=cost)
    if not scopes or is_exempt(environ):
        return state, Decision([])
    try:
        decision = decide_in_tier(None, scopes, cost)
    except APIException as error:
        state.error = error
        return state, None
    state.policies = decision.policies
    return state, decision
