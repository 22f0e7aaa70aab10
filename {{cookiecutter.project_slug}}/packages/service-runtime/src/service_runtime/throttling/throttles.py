"""Throttle classes for views, used exactly like Django REST framework's own.

    class BlogApiView(APIView):
        throttle_classes = [ScopedRateThrottle]
        throttle_scope = "blog_limit"

All throttles of a view are judged together, when the first of them is asked. A subclass written
for Django REST framework's classes keeps its meaning, or fails when it is imported.
"""

from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest
from rest_framework.exceptions import APIException
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from .compatibility import FrameworkThrottle, django_request
from .decisions import Decision, Scope, configured_rates, decide
from .identity import client_of, safe_name

__all__ = [
    "AnonRateThrottle",
    "BaseThrottle",
    "RateThrottle",
    "ScopedRateThrottle",
    "SimpleRateThrottle",
    "UserRateThrottle",
]

_MEMO = "_throttling"


class RateThrottle(FrameworkThrottle):
    """Limits requests in scopes. Subclasses say in which, and for whom they count.

    Attributes:
        scope: the scope, whose rate THROTTLE_<SCOPE> sets; without one, the class' name.
        hidden: whether the RateLimit fields leave the scope out.
    """

    hidden = False
    _wait: float | None = None

    @classmethod
    def scopes_of(cls, view: Any) -> Any:
        """Return the scopes of a view or view class: a name, several, or a mapping to those.

        A mapping's keys are actions of a viewset or request methods.
        """
        return cls.scope or cls.__name__

    def get_scopes(self, request: Request, view: APIView) -> list[str]:
        """Return the names of the scopes in which this request counts."""
        scopes = vars(self).get("scope") or self.scopes_of(view)
        return names(_for_request(scopes, request, view))

    def get_client(self, request: Request, view: APIView) -> str | None:
        """Return whom the request is counted for, or None if it is not counted here."""
        user = request.user
        if self.overrides("get_ident") and not (user and user.is_authenticated):
            return f"ident:{safe_name(str(self.get_ident(request)))}"
        return client_of(django_request(request), user)

    def allow_request(self, request: Request, view: APIView) -> bool:
        """Return whether this throttle lets the request pass; see `wait` for when it would.

        Raises:
            ThrottlingUnavailableError: Redis does not answer, and a scope fails closed.
        """
        decision, scopes = _decide(request, view, self)
        wait = decision.wait(scopes)
        self._wait = wait or None
        return wait is None

    def wait(self) -> float | None:
        """Return the seconds after which the same request would pass, all else being equal.

        None if it has passed, or if it never would, since a scope is blocked.
        """
        return self._wait

    def _scopes(self, request: Request, view: APIView) -> list[Scope]:
        is_plain = self.is_plain() and self.THROTTLE_RATES is configured_rates()
        is_keyed = not is_plain and (
            self.overrides("get_cache_key") or self.overrides("cache_format")
        )
        scopes: list[Scope] = []
        for name in self.get_scopes(request, view):
            self._enter(name)
            if is_keyed:
                key = self.get_cache_key(request, view)
                client = None if key is None else f"key:{safe_name(str(key))}"
            else:
                client = self.get_client(request, view)
            if client is not None:
                rate = None if is_plain else self.own_rate(name, request)
                scopes.append(Scope(name, client, rate, self.hidden))
        return scopes

    def _enter(self, scope: str) -> None:
        """Prepare for questions about one of the scopes that get_scopes has returned."""


SimpleRateThrottle = RateThrottle  # as Django REST framework names the base of its classes


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

    def get_scopes(self, request: Request, view: APIView) -> list[str]:
        """Return the names of the view's scopes in which this request counts."""
        return names(_for_request(self.scopes_of(view), request, view))

    def _enter(self, scope: str) -> None:
        self.scope = scope


def names(scopes: Any) -> list[str]:
    """Return scopes as a list of names."""
    if not scopes:
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
    memo = getattr(django_request(request), "__dict__", {})
    errors: list[APIException] = []
    own = _scopes_of(throttle, request, view, errors)
    made_for, judged, decision = memo.get(_MEMO, (None, (), Decision()))
    if made_for is not view:
        judged, decision = (), Decision()
        every = own.copy()
        for other in _others(view, throttle):
            every += _scopes_of(other, request, view, errors)
    else:
        every = [scope for scope in own if scope not in judged]
    if every and decision:  # what was denied counts nowhere else
        new = decide(django_request(request), every, _cost(request, view))
        decision = Decision([*decision.policies, *new.policies])
        memo[_MEMO] = (view, (*judged, *every), decision)
        remember(django_request(request), decision)
    if errors and decision:
        raise errors[0]
    return decision, own


def _scopes_of(
    throttle: RateThrottle, request: Request, view: APIView, errors: list[APIException]
) -> list[Scope]:
    """Return the scopes of a throttle, or none where it could not read the body, with the error.

    Such a request is one more in the scopes of the view's other throttles.
    """
    try:
        return throttle._scopes(request, view)
    except APIException as error:
        errors.append(error)
        return []


def _others(view: APIView, throttle: RateThrottle) -> list[RateThrottle]:
    """Return the view's other throttles that can be judged together with this one.

    One that overrides allow_request may decide without counting, so it is judged when it is asked.
    """
    if getattr(type(view), "get_throttles", None) is APIView.get_throttles:
        others = [cls() for cls in view.throttle_classes if cls is not type(throttle)]
    else:
        others = getattr(view, "get_throttles", list)()
    return [
        other
        for other in others
        if isinstance(other, RateThrottle)
        and type(other).allow_request is RateThrottle.allow_request
    ]


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
