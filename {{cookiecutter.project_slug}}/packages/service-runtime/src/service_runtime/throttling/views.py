"""Finds the views of the project and the scopes that throttle them."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from rest_framework.throttling import BaseThrottle, SimpleRateThrottle

from ..routes import all_views
from .throttles import RateThrottle, ScopedRateThrottle, names

_KNOWN = (RateThrottle.get_scopes, ScopedRateThrottle.get_scopes)


class ThrottledView(NamedTuple):
    """A view and one of its throttles.

    Attributes:
        route: its URL pattern.
        view: its name.
        throttle: the throttle's class, None for a plain view under `throttled`.
        scopes: the scopes it names; what only a request can tell is not among them.
    """

    route: str
    view: str
    throttle: type[BaseThrottle] | None
    scopes: list[str]

    @property
    def has_own_rate(self) -> bool:
        """Whether the class brings its rate along."""
        return (
            self.throttle is not None
            and issubclass(self.throttle, RateThrottle)
            and self.throttle.has_own_rate()
        )

    @property
    def is_foreign(self) -> bool:
        """Whether it is one of Django REST framework's own, which do not count exactly."""
        return self.throttle is not None and issubclass(self.throttle, SimpleRateThrottle)


def throttled_views() -> list[ThrottledView]:
    """Return every throttle of every view in the URL configuration."""
    return [found for route, view in all_views() for found in _throttles(view, route)]


def _throttles(view: Any, route: str) -> Iterator[ThrottledView]:
    if scopes := getattr(view, "throttle_scopes", None):
        yield ThrottledView(route, getattr(view, "__name__", str(view)), None, list(scopes))
    cls = getattr(view, "cls", None)
    if cls is None:
        return
    options = getattr(view, "initkwargs", {})
    for throttle in options.get("throttle_classes", getattr(cls, "throttle_classes", ())):
        found: list[str] = []
        # What a class decides for itself, request by request, cannot be known here.
        if issubclass(throttle, RateThrottle) and throttle.get_scopes in _KNOWN:
            configured = type(cls.__name__, (cls,), {**options}) if options else cls
            found = _flat(throttle.scopes_of(configured))
        yield ThrottledView(route, cls.__name__, throttle, found)


def _flat(scopes: Any) -> list[str]:
    """Return all names that the scopes of a view may have."""
    if isinstance(scopes, Mapping):
        return [name for value in scopes.values() for name in _flat(value)]
    if isinstance(scopes, property):
        return []
    return names(scopes)
