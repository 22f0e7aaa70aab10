"""Django's checks for caches that would serve stale data, or one user's page to another."""

from collections.abc import Callable, Iterator
from functools import partial
from types import FunctionType
from typing import Any

from django.contrib.auth.mixins import AccessMixin
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.middleware.cache import CacheMiddleware

from ..conf import settings
from ..routes import all_views
from .dependencies import Dependencies, declared

_UNSAFE_OPTIONS = {
    "local_get": "keeps rows in the process, where no change reaches them",
    "cache_on_save": "stores a row that may have been changed again meanwhile",
}
_REQUIRED = {
    "CACHEOPS_CLIENT_CLASS": f"{__package__}.cacheops.CacheopsClient",
    "CACHEOPS_PREFIX": f"{__package__}.keys.cacheops_prefix",
    "CACHEOPS_SERIALIZER": f"{__package__}.querysets.Serializer",
    "CACHEOPS_INSIDEOUT": True,
    "CACHEOPS_DEGRADE_ON_FAILURE": True,
}
_METHODS = ("dispatch", "get", "list", "retrieve")


@checks.register("caching")
def check_dependencies(**kwargs: Any) -> list[checks.CheckMessage]:
    """Find cached views that depend on models whose changes are not seen."""
    messages: list[checks.CheckMessage] = []
    for view, models in declared:
        try:
            Dependencies.of(models)
        except ImproperlyConfigured as error:
            messages.append(checks.Error(f"{view}: {error}", id="caching.E003"))
    return messages


@checks.register("caching")
def check_cacheops(**kwargs: Any) -> list[checks.CheckMessage]:
    """Find settings of cacheops under which a change would not be seen, or code be run."""
    messages: list[checks.CheckMessage] = [
        checks.Error(f"{name} must be {value!r}: docs/caching.md relies on it.", id="caching.E005")
        for name, value in _REQUIRED.items()
        if getattr(settings, name, None) != value
    ]
    messages += [
        checks.Error(
            f"DATABASES[{alias!r}] sets AUTOCOMMIT to False, under which results are invalidated"
            " before the commit. Use transaction.atomic().",
            id="caching.E006",
        )
        for alias, options in settings.DATABASES.items()
        if not options.get("AUTOCOMMIT", True)
    ]
    return messages + [
        checks.Error(
            f"CACHEOPS[{name!r}] sets {option}, which {problem}. Remove it.", id="caching.E004"
        )
        for name, profile in settings.CACHEOPS.items()
        for option, problem in _UNSAFE_OPTIONS.items()
        if profile and {**getattr(settings, "CACHEOPS_DEFAULTS", {}), **profile}.get(option)
    ]


@checks.register("caching")
def check_cached_views(**kwargs: Any) -> list[checks.CheckMessage]:
    """Find Django's cache_page and cacheops' cached_view_as around views that authenticate.

    Both keep a page by its URL, and what they keep goes out before the view can ask who is asking.
    """
    site_wide: list[checks.CheckMessage] = [
        checks.Error(
            f"MIDDLEWARE has {name}, which would serve one user's page to another. Use public_page"
            " and cached_response of service_runtime.caching.",
            id="caching.E002",
        )
        for name in settings.MIDDLEWARE
        if name.startswith("django.middleware.cache.")
    ]
    return site_wide + [
        checks.Error(
            f"{route} is kept by {found}, which would serve one user's page to another: its view"
            " authenticates. Use cached_response of service_runtime.caching.",
            id="caching.E001",
        )
        for route, view in all_views()
        if (found := _cache_around(view)) and _authenticates(view)
    ]


def _authenticates(view: Callable[..., Any]) -> bool:
    while isinstance(view, partial):
        view = view.func
    decorators = {_module_of(found) for found in _within([view], set())}
    if "django.contrib.auth.decorators" in decorators:
        return True
    cls = getattr(view, "cls", None) or getattr(view, "view_class", None)
    options = getattr(view, "initkwargs", None) or getattr(view, "view_initkwargs", None) or {}
    if cls is None:
        return False
    classes = options.get("authentication_classes", getattr(cls, "authentication_classes", ()))
    return bool(classes) or issubclass(cls, AccessMixin)


def _cache_around(view: Callable[..., Any]) -> str | None:
    """Return what keeps a view's answers, wherever it stands among the decorators."""
    cls = getattr(view, "cls", None) or getattr(view, "view_class", None)
    names = {*_METHODS, *(getattr(view, "actions", None) or {}).values()}
    methods = [getattr(cls, name, None) for name in sorted(names)]
    for found in _within([view, *methods], set()):
        if found is CacheMiddleware or isinstance(found, CacheMiddleware):
            return "Django's cache_page"
        if _module_of(found) == "cacheops.utils":
            return "cacheops' cached_view_as"
    return None


def _module_of(value: Any) -> str | None:
    return value.__globals__.get("__name__") if isinstance(value, FunctionType) else None


def _within(values: Any, seen: set[int]) -> Iterator[Any]:
    """Yield the values and what they are made of: what functions wrap and close over."""
    for value in values:
        if id(value) in seen:
            continue
        seen.add(id(value))
        yield value
        if isinstance(value, list | tuple):
            yield from _within(value, seen)
        elif isinstance(value, partial):
            yield from _within([value.func, *value.args], seen)
        elif isinstance(value, FunctionType):
            cells = [cell for cell in value.__closure__ or () if _is_set(cell)]
            yield from _within([cell.cell_contents for cell in cells], seen)


def _is_set(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018 - raises for a name that is not bound yet
    except ValueError:
        return False
    return True
