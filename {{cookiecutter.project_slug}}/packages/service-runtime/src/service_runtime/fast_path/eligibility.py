"""Which views and middleware the fast path can skip without a difference.

The fast path does not authenticate, ask permissions or negotiate. So a view is eligible only if its
classes are those below, whose decision about an anonymous read is always the same or depends on
nothing but the URL and Accept. Overrides of the methods that combine them are not known.
"""

import sys
from collections.abc import Callable, Iterator
from functools import cache
from inspect import getattr_static
from typing import Any

from django.core import checks
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.permissions import (
    AllowAny,
    DjangoModelPermissionsOrAnonReadOnly,
    IsAuthenticatedOrReadOnly,
)

from ..conf import settings
from ..routes import all_views
from ..throttling.compatibility import FrameworkThrottle
from ..throttling.throttles import RateThrottle

PERMISSIONS = {AllowAny, IsAuthenticatedOrReadOnly, DjangoModelPermissionsOrAnonReadOnly}
# They read credentials from the Authorization header or the session only.
AUTHENTICATION_MODULES = {"rest_framework.authentication", "knox.auth"}
# The methods of a view that must be those of Django REST framework.
METHODS = (
    *("as_view", "setup", "dispatch", "initialize_request", "initial", "finalize_response"),
    *("get_authenticators", "perform_authentication", "get_permissions", "check_permissions"),
    *("get_throttles", "check_throttles", "get_renderers", "get_content_negotiator"),
    *("perform_content_negotiation", "determine_version"),
)
THROTTLE_METHODS = ("allow_request", "counted_scopes", "get_scopes", "scopes_of", "get_client")
THROTTLE_MODULES = {RateThrottle.__module__, FrameworkThrottle.__module__}
MIDDLEWARE = {
    "corsheaders.middleware.CorsMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "service_runtime.api.problems.DebugPageMiddleware",
    "service_runtime.http.requests.CommonMiddleware",
    "service_runtime.http.security_headers.CSPMiddleware",
    "service_runtime.http.security_headers.SecurityHeadersMiddleware",
    "service_runtime.throttling.headers.ThrottlingMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
}
# Attributes that must not be computed for each request, as by a property.
CONSTANTS = ("throttle_scope", "throttle_cost")
THROTTLE_CONSTANTS = ("scope", "rate")


def unknown_middleware() -> list[str]:
    """Return the middleware below FastPathMiddleware that it must not skip."""
    names: list[str] = settings.MIDDLEWARE
    own = [number for number, name in enumerate(names) if name.endswith(".FastPathMiddleware")]
    known = MIDDLEWARE.union(settings.FAST_PATH_MIDDLEWARE)
    return [name for name in names[max(own, default=-1) + 1 :] if name not in known]


def has_hooks() -> bool:
    """Return whether functions of the project see each request, of which they can read anything."""
    cors = sys.modules.get("corsheaders.signals")
    return bool(
        settings.THROTTLING_GET_CLIENT
        or settings.THROTTLING_GET_TIER
        or (cors and cors.check_request_enabled.has_listeners())
    )


@cache
def obstacles(view: Callable[..., Any], method: str) -> list[str]:
    """Return why the fast path cannot replace a view for a method; nothing if it can.

    Args:
        view: the callback of a route.
        method: "GET" or "HEAD".
    """
    cls = getattr(view, "cls", None)
    if cls is None:
        return ["it is not a view of Django REST framework"]
    options = getattr(view, "initkwargs", None) or {}
    configured = type(cls.__name__, (cls,), {"__module__": cls.__module__, **options})
    return [
        *_of_callback(view, cls, options),
        *_of_handler(view, cls, method),
        *_of_attributes(configured),
        *_of_policies(configured),
    ]


@cache
def obstacles_of_denials(view: Callable[..., Any]) -> list[str]:
    """Return the methods of an eligible view that may write a 429 in another way."""
    cls: Any = view.cls  # type: ignore[attr-defined]
    names = ("throttled", "handle_exception", "get_exception_handler")
    return [name for name in names if not _is_framework(_module_of(cls, name))]


def _of_callback(view: Any, cls: Any, options: dict[str, Any]) -> Iterator[str]:
    actions = getattr(view, "actions", None)
    plain = cls.as_view(actions, **options) if actions else cls.as_view(**options)
    if _code(view) != _code(plain):
        yield "its view is decorated in the URL configuration"


def _code(view: Any) -> list[object]:
    """Return the code of a function and of everything it wraps."""
    found: list[object] = []
    while view is not None:
        found.append(getattr(view, "__code__", None))
        view = getattr(view, "__wrapped__", None)
    return found


def _of_handler(view: Any, cls: Any, method: str) -> Iterator[str]:
    first, *others = _handlers(view, cls, method)
    names = [name for name in (first, *others) if _is_public(getattr(cls, name, None))]
    if not names or (first not in names and not _is_framework(_module_of(cls, first))):
        yield f"its {first}() does something before the cached response, or is decorated"


def _handlers(view: Any, cls: Any, method: str) -> list[str]:
    """Return the name of the method that a request calls, and of those that this one can call."""
    if actions := getattr(view, "actions", None):
        return [actions.get(method.lower()) or actions.get("get", "get")]
    return ["head" if method == "HEAD" and hasattr(cls, "head") else "get", "list", "retrieve"]


def _is_public(handler: Any) -> bool:
    handler = _undecorated(handler)
    return handler is not None and getattr(handler, "public_handler", None) is handler


def _undecorated(function: Any) -> Any:
    """Return a function without drf-spectacular's wrappers, which only carry a schema."""
    while getattr(function, "__globals__", {}).get("__name__") == "drf_spectacular.drainage":
        function = function.__wrapped__
    return function


def _module_of(cls: Any, name: str) -> str:
    """Return the module of the class that defines an attribute.

    A function's own `__module__` is no proof: decorators copy it.
    """
    value = _undecorated(getattr_static(cls, name, None))
    owners = [base.__module__ for base in cls.__mro__ if vars(base).get(name) is value]
    return owners[-1] if owners else ""


def _is_framework(module: str) -> bool:
    return module.startswith(("rest_framework.", "django."))


def _of_attributes(cls: Any) -> Iterator[str]:
    for name in METHODS:
        if not _is_framework(_module_of(cls, name)):
            yield f"it overrides {name}"
    for name in CONSTANTS:
        if _is_computed(cls, name):
            yield f"its {name} is computed"


def _of_policies(cls: Any) -> Iterator[str]:
    for permission in cls.permission_classes:
        if permission not in PERMISSIONS:
            yield f"its permission {_name(permission)} can deny an anonymous read"
    for authentication in cls.authentication_classes:
        if _module_of(authentication, "authenticate") not in AUTHENTICATION_MODULES:
            yield f"its {_name(authentication)} can read other credentials than Authorization"
    for throttle in cls.throttle_classes:
        if not _is_supported(throttle):
            yield f"its throttle {_name(throttle)} counts in its own way"
    if cls.content_negotiation_class is not DefaultContentNegotiation:
        yield f"it uses {_name(cls.content_negotiation_class)}"
    if cls.versioning_class and not _is_framework(cls.versioning_class.__module__):
        yield f"it uses {_name(cls.versioning_class)}"


def _is_computed(cls: type, name: str) -> bool:
    return hasattr(getattr_static(cls, name, None), "__get__")


def _is_supported(throttle: Any) -> bool:
    return (
        issubclass(throttle, RateThrottle)
        and not throttle.overridden_hooks()
        and not any(_is_computed(throttle, name) for name in THROTTLE_CONSTANTS)
        and {_module_of(throttle, name) for name in THROTTLE_METHODS} <= THROTTLE_MODULES
    )


def _name(cls: Any) -> str:
    return getattr(cls, "__name__", str(cls))


@checks.register("caching")
def check_fast_path(**kwargs: Any) -> list[checks.CheckMessage]:
    """Find what the fast path cannot skip: views that are declared public, and middleware."""
    messages: list[checks.CheckMessage] = [
        checks.Warning(
            f"{name} in MIDDLEWARE is below FastPathMiddleware, which would skip it, and is"
            " therefore off. Move it above, or add it to FAST_PATH_MIDDLEWARE if it neither rejects"
            " anonymous reads nor changes their responses.",
            id="caching.W001",
        )
        for name in unknown_middleware()
    ]
    for route, view in all_views():
        if is_declared_public(view):
            messages += [
                checks.Error(
                    f"/{route} has a cached_response with public=True, but {obstacle}. Use"
                    " shared=True.",
                    id="caching.E007",
                )
                for obstacle in obstacles(view, "GET")
            ]
    return messages


def is_declared_public(view: Any) -> bool:
    """Return whether a GET can reach a public method.

    A method that overrides a public one is another method: it is called for each request.
    """
    cls: Any = getattr(view, "cls", None)
    return cls is not None and any(
        getattr(getattr(cls, name, None), "public_handler", None)
        for name in _handlers(view, cls, "GET")
    )
