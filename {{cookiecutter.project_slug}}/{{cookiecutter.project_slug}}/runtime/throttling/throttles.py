"""Throttle classes for views, used exactly like Django REST framework's own.

    class BlogApiView(APIView):
        throttle_classes = [ScopedRateThrottle]
        throttle_scope = "blog_limit"

All throttles of a view are judged together, when the first of them is asked.
"""

from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from .decisions import Decision, Scope, decide
from .identity import client_of
from .rates import parse_rate

_MEMO = "_throttling"


class RateThrottle(BaseThrottle):
    """Limits requests in scopes. Subclasses say in which, and for whom they count.

    Attributes:
        scope: the scope, whose rate THROTTLE_<SCOPE> sets.
        rate: a rate of the class' own, instead of the scope's.
    """

    scope: str | None = None
    rate: str | None = None
    _wait: float | None = None

    @classmethod
    def scopes_of(cls, view: Any) -> Any:
        """Return the scopes of a view or view class: a name, several, or a mapping to those.

        A mapping's keys are actions of a viewset or request methods.
        """
        return cls.scope

    def get_scopes(self, request: Request, view: APIView) -> list[str]:
        """Return the names of the scopes in which this request counts."""
        return names(_for_request(self.scopes_of(view), request, view))

    def get_client(self, request: Request, view: APIView) -> str | None:
        """Return whom the request is counted for, or None if it is not counted here."""
        return client_of(request._request, request.user)

    def allow_request(self, request: Request, view: APIView) -> bool:
        """Tell whether this throttle lets the request pass; see `wait` for when it would.

        Raises:
            ThrottlingUnavailableError: Redis does not answer, and a scope fails closed.
        """
        decision, scopes = _decide(request, view, self)
        self._wait = decision.wait(scopes)
        return self._wait is None

    def wait(self) -> float | None:
        """Return the seconds after which the same request would pass, all else being equal."""
        return self._wait

    def _scopes(self, request: Request, view: APIView) -> list[Scope]:
        scopes = self.get_scopes(request, view)
        client = self.get_client(request, view) if scopes else None
        if client is None:
            return []
        rate = parse_rate(self.rate) if self.rate else None
        return [Scope(name, client, rate) for name in scopes]


class AnonRateThrottle(RateThrottle):
    """Limits clients that are not signed in, each by its address."""

    scope = "anon"

    def get_client(self, request: Request, view: APIView) -> str | None:
        """Return the client's address; None for users."""
        if request.user and request.user.is_authenticated:
            return None
        return super().get_client(request, view)


class UserRateThrottle(RateThrottle):
    """Limits each user, and each address of clients that are not signed in."""

    scope = "user"


class ScopedRateThrottle(RateThrottle):
    """Limits each client in the view's `throttle_scope`; views that name a scope share it.

    `throttle_scope` may name several scopes, or map actions or methods to scopes:
    `{"GET": "read", "POST": ["write", "upload"]}`.
    """

    scope_attr = "throttle_scope"

    @classmethod
    def scopes_of(cls, view: Any) -> Any:
        """Return the view's `throttle_scope`."""
        return getattr(view, cls.scope_attr, None)


def names(scopes: Any) -> list[str]:
    """Return scopes as a list of names."""
    if scopes is None:
        return []
    return [scopes] if isinstance(scopes, str) else list(scopes)


def _for_request(value: Any, request: Request, view: APIView) -> Any:
    """Return what a mapping has for the view's action or the request's method; HEAD is a GET."""
    if not isinstance(value, Mapping):
        return value
    methods = ("HEAD", "GET") if request.method == "HEAD" else (request.method,)
    keys = (getattr(view, "action", None), *methods)
    return next((value[key] for key in keys if key in value), None)


def _decide(
    request: Request, view: APIView, throttle: RateThrottle
) -> tuple[Decision, list[Scope]]:
    """Return the decision for a request to a view, and the scopes of one of its throttles.

    The first throttle decides for all throttles of the view, and the decision stays with the
    request for the others and for the answer's headers.
    """
    own = throttle._scopes(request, view)
    made_for, judged, decision = request._request.__dict__.get(_MEMO, (None, (), Decision()))
    if made_for is not view:
        judged, decision = (), Decision()
        others = [other for other in view.get_throttles() if isinstance(other, RateThrottle)]
        if type(view).get_throttles is APIView.get_throttles:  # one instance of each class
            others = [other for other in others if type(other) is not type(throttle)]
        every = own + [scope for other in others for scope in other._scopes(request, view)]
    else:
        every = [scope for scope in own if scope not in judged]
    if every:
        new = decide(request._request, every, _cost(request, view))
        decision = Decision([*decision.policies, *new.policies])
        request._request.__dict__[_MEMO] = (view, (*judged, *every), decision)
        remember(request._request, decision)
    return decision, own


def _cost(request: Request, view: APIView) -> int:
    cost = _for_request(getattr(view, "throttle_cost", 1), request, view)
    if cost is None:
        return 1
    if type(cost) is not int or cost < 0:
        name = type(view).__name__
        raise ImproperlyConfigured(f"{name}.throttle_cost is {cost!r}, not a whole number from 0.")
    return cost


def remember(request: HttpRequest, decision: Decision) -> None:
    """Keep a decision for the middleware that writes the answer's headers."""
    request.throttling_policies = decision.policies  # type: ignore[attr-defined]
