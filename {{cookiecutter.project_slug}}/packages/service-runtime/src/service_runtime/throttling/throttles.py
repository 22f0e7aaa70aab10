"""Throttle classes for views, used like those of Django REST framework.

    class BlogApiView(APIView):
        throttle_classes = [ScopedRateThrottle]
        throttle_scope = "blog_limit"

All throttles of a view are decided together, when the first of them is called. A subclass written
for Django REST framework's classes keeps its meaning, or raises TypeError when it is imported.
"""

from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from rest_framework.exceptions import APIException
from rest_framework.request import Request
from rest_framework.views import APIView

from .compatibility import FrameworkThrottle, django_request
from .decisions import Decision, Scope, decide
from .identity import safe_name
from .state import EARLY, Throttling


class RateThrottle(FrameworkThrottle):
    """Limit requests in scopes. Subclasses define the scopes and the client.

    Attributes:
        hidden: whether the RateLimit fields omit the scope.
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
        """Return the names of the scopes that this request counts in."""
        scopes = vars(self).get("scope") or self.scopes_of(view)
        return names(_for_request(scopes, request, view))

    def allow_request(self, request: Request, view: APIView) -> bool:
        """Return whether the request is allowed by all throttles decided so far.

        Raises:
            ThrottlingUnavailableError: Redis is unavailable, and a scope fails closed.
        """
        decision = _decide(request, view, self)
        is_allowed = bool(decision)
        self._wait = None if is_allowed else decision.wait or None
        return is_allowed

    def wait(self) -> float | None:
        """Return the seconds until the same request would be allowed, if no others are made.

        None if it was allowed, or if it never will be because a scope is blocked.
        """
        return self._wait

    def counted_scopes(self, request: Request, view: APIView) -> list[Scope]:
        """Return the scopes that this request counts in, each with its client."""
        overridden = self.overridden()
        has_key = "get_cache_key" in overridden or "cache_format" in overridden
        scopes = []
        for name in self.get_scopes(request, view):
            self.scope = name
            if has_key:
                key = self.get_cache_key(request, view)
                client = None if key is None else f"key:{safe_name(str(key))}"
            else:
                client = self.get_client(request, view)
            if client is not None:
                scopes.append(Scope(name, client, self.own_rate(overridden, request), self.hidden))
        return scopes


SimpleRateThrottle = RateThrottle  # the name of the base class in Django REST framework


class AnonRateThrottle(RateThrottle):
    """Limit anonymous clients, each by its address."""

    scope = "anon"

    def get_client(self, request: Request, view: APIView) -> str | None:
        """Return the client's address, or None for users."""
        if request.user and request.user.is_authenticated:
            return None
        return super().get_client(request, view)


class UserRateThrottle(RateThrottle):
    """Limit each user, and each address of anonymous clients."""

    scope = "user"


class ScopedRateThrottle(RateThrottle):
    """Limit each client in the view's `throttle_scope`. Views that name the same scope share it.

    `throttle_scope` can name several scopes, or map actions or methods to scopes:
    `{"GET": "read", "POST": ["write", "upload"]}`.
    """

    scope_attr = "throttle_scope"

    @classmethod
    def scopes_of(cls, view: Any) -> Any:
        """Return the view's `throttle_scope`."""
        return getattr(view, cls.scope_attr, None)

    def get_scopes(self, request: Request, view: APIView) -> list[str]:
        """Return the names of the view's scopes that this request counts in."""
        return names(_for_request(self.scopes_of(view), request, view))


def names(scopes: Any) -> list[str]:
    """Return one scope, several or none as a list of names."""
    if not scopes:
        return []
    return [scopes] if isinstance(scopes, str) else list(scopes)


def _for_request(value: Any, request: Request, view: APIView) -> Any:
    """Return a mapping's value for the view's action or the request's method; HEAD is a GET."""
    if not isinstance(value, Mapping):
        return value
    methods = ("HEAD", "GET") if request.method == "HEAD" else (request.method,)
    keys = (getattr(view, "action", None), *methods)
    return next((value[key] for key in keys if key in value), None)


def _decide(request: Request, view: APIView, throttle: RateThrottle) -> Decision:
    """Return the decision for a request to a view, which counts it unless it was counted before.

    The first throttle decides for all throttles of the view. A throttle that overrides
    allow_request decides separately, when it is called: it can ignore its own decision. It counts
    nothing if the others have denied the request.
    """
    http_request: Any = django_request(request)
    state = getattr(http_request, "throttling", None)
    if state is not None and state.view is EARLY:
        state.view = view
    elif state is None or state.view is not view:
        state = Throttling(view)
    if state.error:
        raise state.error
    is_joint = _is_joint(throttle)
    if state.joint is not None and (is_joint or not state.joint):
        return state.joint
    scopes: list[Scope] = []
    errors: list[APIException] = []
    for each in [throttle, *_others(view, throttle)] if is_joint else [throttle]:
        try:
            scopes += each.counted_scopes(request, view)
        except APIException as error:  # a malformed body still counts in the other scopes
            errors.append(error)
    new = [scope for scope in scopes if scope not in state.counted]
    if new:
        http_request.throttling = state
        state.cost = _cost(request, view)
        state.policies += decide(http_request, new, state.cost).policies
        state.counted += new
    decision = Decision([policy for policy in state.policies if policy.scope in scopes])
    if is_joint:
        state.joint = decision
    if errors and decision:
        raise errors[0]
    return decision


def _is_joint(throttle: RateThrottle) -> bool:
    return type(throttle).allow_request is RateThrottle.allow_request


def _others(view: APIView, throttle: RateThrottle) -> list[RateThrottle]:
    """Return the view's other throttles that are decided together with this one."""
    return [
        other
        for other in getattr(view, "get_throttles", list)()
        if (type(other) is not type(throttle) or vars(other) != vars(throttle))
        and isinstance(other, RateThrottle)
        and _is_joint(other)
    ]


def _cost(request: Request, view: APIView) -> int:
    cost = _for_request(getattr(view, "throttle_cost", 1), request, view)
    if cost is None:
        return 1
    if type(cost) is not int or cost < 0:
        name = type(view).__name__
        raise ImproperlyConfigured(f"{name}.throttle_cost is {cost!r}, not a non-negative integer.")
    return cost
