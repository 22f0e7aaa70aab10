"""Find the views of the project and the scopes that throttle them."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from rest_framework.throttling import BaseThrottle

from ..routes import all_views
from .throttles import RateThrottle, ScopedRateThrottle, names

_STATIC = (RateThrottle.get_scopes, ScopedRateThrottle.get_scopes)


class ThrottledView(NamedTuple):
    """A view and one of its throttles.

    Attributes:
        name: the view's name and its URL pattern.
        throttle: the throttle's class, or None for a plain view under `throttled`.
        scopes: the scopes that are known without a request.
    """

    name: str
    throttle: type[BaseThrottle] | None
    scopes: list[str]

    @property
    def has_own_rate(self) -> bool:
        """Whether the throttle's class defines its rate."""
        cls = self.throttle
        return cls is not None and issubclass(cls, RateThrottle) and cls.has_own_rate()


def throttled_views() -> Iterator[ThrottledView]:
    """Yield every throttle of every view in the URL configuration."""
    for route, view in all_views():
        if scopes := getattr(view, "throttle_scopes", None):
            name = getattr(view, "__name__", str(view))
            yield ThrottledView(f"{name} /{route}", None, list(scopes))
        if cls := getattr(view, "cls", None):
            options = getattr(view, "initkwargs", {})
            configured = type(cls.__name__, (cls,), {**options}) if options else cls
            for throttle in getattr(configured, "throttle_classes", ()):
                yield ThrottledView(
                    f"{cls.__name__} /{route}", throttle, _scopes(throttle, configured)
                )


def _scopes(throttle: type[BaseThrottle], view: type) -> list[str]:
    # An override of get_scopes needs a request.
    if issubclass(throttle, RateThrottle) and throttle.get_scopes in _STATIC:
        return _flat(throttle.scopes_of(view))
    return []


def _flat(scopes: Any) -> list[str]:
    """Return all names in the scopes of a view."""
    if isinstance(scopes, Mapping):
        return [name for value in scopes.values() for name in _flat(value)]
    return [] if isinstance(scopes, property) else names(scopes)
