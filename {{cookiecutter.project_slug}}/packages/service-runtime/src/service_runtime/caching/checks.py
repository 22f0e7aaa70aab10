"""System checks for caches that would serve stale data, or one user's page to another user.

The search through decorators and their closures stays. `cache_page` and `cached_view_as` around a
view that authenticates have served one user's page to another (200, measured with sessions and API
keys), and neither leaves another trace on the view that a check could find before that happens.
"""

from collections.abc import Callable, Iterator
from functools import partial
from types import CellType, FunctionType
from typing import Any

from django.contrib.auth.mixins import AccessMixin
from django.core.checks import CheckMessage, Error, register
from django.core.exceptions import ImproperlyConfigured
from django.middleware.cache import CacheMiddleware

from ..conf import settings
from ..routes import all_views
from .dependencies import Dependencies, declared

_UNSAFE_OPTIONS = {
    "local_get": "caches rows in the process, where changes do not reach them",
    "cache_on_save": "stores a row that may have changed again",
}
_REQUIRED = {
    "CACHEOPS_CLIENT_CLASS": f"{__package__}.cacheops.CacheopsClient",
    "CACHEOPS_PREFIX": f"{__package__}.keys.cacheops_prefix",
    "CACHEOPS_SERIALIZER": f"{__package__}.querysets.Serializer",
    "CACHEOPS_INSIDEOUT": True,
    "CACHEOPS_DEGRADE_ON_FAILURE": True,
}
_METHODS = ("dispatch", "get", "list", "retrieve")


@register("caching")
def check_dependencies(**kwargs: Any) -> list[CheckMessage]:
    """Find cached views that depend on models whose changes are not tracked."""
    messages: list[CheckMessage] = []
    for view, models in declared:
        try:
            Dependencies.of(models)
        except ImproperlyConfigured as error:
            messages.append(Error(f"{view}: {error}", id="caching.E003"))
    return messages


@register("caching")
def check_cacheops(**kwargs: Any) -> list[CheckMessage]:
    """Find settings of cacheops that would miss changes, or allow code from Redis to run."""
    messages = [
        ("caching.E005", f"{name} must be {value!r}: docs/caching.md relies on it.")
        for name, value in _REQUIRED.items()
        if getattr(settings, name, None) != value
    ]
    messages += [
        (
            "caching.E006",
            f"DATABASES[{alias!r}] sets AUTOCOMMIT to False. Results would be invalidated before"
            " the commit. Use transaction.atomic().",
        )
        for alias, options in settings.DATABASES.items()
        if not options.get("AUTOCOMMIT", True)
    ]
    messages += [
        ("caching.E004", f"CACHEOPS[{name!r}] sets {option}, which {problem}. Remove it.")
        for name, profile in settings.CACHEOPS.items()
        for option, problem in _UNSAFE_OPTIONS.items()
        if profile and {**getattr(settings, "CACHEOPS_DEFAULTS", {}), **profile}.get(option)
    ]
    return [Error(message, id=name) for name, message in messages]


@register("caching")
def check_cached_views(**kwargs: Any) -> list[CheckMessage]:
    """Find Django's cache_page and cacheops' cached_view_as around views that authenticate.

    Both cache a page by its URL, and serve it before the view can authenticate the request.
    """
    messages = [
        (
            "caching.E002",
            f"MIDDLEWARE has {name}, which would serve one user's page to another user. Use"
            " public_page and cached_response of service_runtime.caching.",
        )
        for name in settings.MIDDLEWARE
        if name.startswith("django.middleware.cache.")
    ]
    messages += [
        (
            "caching.E001",
            f"{route} is cached by {found}, which would serve one user's page to another user: its"
            " view authenticates. Use cached_response of service_runtime.caching.",
        )
        for route, view in all_views()
        if (found := _cache_around(view)) and _authenticates(view)
    ]
    return [Error(message, id=name) for name, message in messages]


def _authenticates(view: Any) -> bool:
    while isinstance(view, partial):
        view = view.func
    if "django.contrib.auth.decorators" in map(_module_of, _closures([view])):
        return True
    cls = _class_of(view)
    options = getattr(view, "initkwargs", None) or getattr(view, "view_initkwargs", None) or {}
    default = getattr(cls, "authentication_classes", ())
    return bool(options.get("authentication_classes", default)) or (
        cls is not None and issubclass(cls, AccessMixin)
    )


def _cache_around(view: Callable[..., Any]) -> str | None:
    """Return the name of the decorator that caches a view, whatever its position."""
    names = {*_METHODS, *(getattr(view, "actions", None) or {}).values()}
    for found in _closures([view, *(getattr(_class_of(view), name, None) for name in names)]):
        if found is CacheMiddleware or isinstance(found, CacheMiddleware):
            return "Django's cache_page"
        if _module_of(found) == "cacheops.utils":
            return "cacheops' cached_view_as"
    return None


def _class_of(view: Any) -> type | None:
    return getattr(view, "cls", None) or getattr(view, "view_class", None)


def _module_of(value: Any) -> str | None:
    return value.__globals__.get("__name__") if isinstance(value, FunctionType) else None


def _closures(values: list[Any]) -> Iterator[Any]:
    """Yield the values, and everything that they wrap or close over."""
    seen: set[int] = set()
    while values:
        value = values.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        yield value
        if isinstance(value, list | tuple):
            values += value
        elif isinstance(value, partial):
            values += [value.func, *value.args]
        elif isinstance(value, FunctionType):
            bound = [cell for cell in value.__closure__ or () if cell != CellType()]
            values += [cell.cell_contents for cell in bound]
