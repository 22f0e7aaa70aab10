"""Which views and middleware the fast path can skip without a difference.

The fast path does not authenticate, check permissions or negotiate. A view is therefore eligible
only if its classes are those below. Their decision about an anonymous read is always the same, or
depends only on the URL and Accept. The view must not override the methods that call them.
"""

import sys
from collections.abc import Callable, Iterator
from functools import cache
from inspect import getattr_static
from typing import Any

from django.utils.module_loading import import_string
from rest_framework.authentication import RemoteUserAuthentication
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.permissions import (
    AllowAny,
    DjangoModelPermissionsOrAnonReadOnly,
    IsAuthenticatedOrReadOnly,
)

from ..conf import settings
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
    *("perform_content_negotiation", "determine_version", "default_response_headers"),
)
THROTTLE_METHODS = (
    *("__init__", "allow_request", "counted_scopes", "get_scopes", "scopes_of", "get_client"),
    *("own_rate", "wait"),
)
THROTTLE_MODULES = {RateThrottle.__module__, FrameworkThrottle.__module__, object.__module__}
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
    # Its process_view() only notes the route, which `tracing.py` does too.
    "opentelemetry.instrumentation.django.middleware.otel_middleware._DjangoMiddleware",
    "service_runtime.api.problems.DebugPageMiddleware",
    "service_runtime.http.requests.CommonMiddleware",
    "service_runtime.http.security_headers.CSPMiddleware",
    "service_runtime.http.security_headers.SecurityHeadersMiddleware",
    "service_runtime.throttling.headers.ThrottlingMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
}
# Attributes that must not be computed for each request, as by a property.
CONSTANTS = (
    *("authentication_classes", "content_negotiation_class", "permission_classes"),
    *("renderer_classes", "throttle_classes", "throttle_cost", "versioning_class"),
)
THROTTLE_CONSTANTS = ("scope", "rate")


def unknown_middleware() -> list[str]:
    """Return the middleware that FastPathMiddleware must not skip.

    It skips what is below it, and any `process_view`, which Django calls only before a view.
    """
    names: list[str] = settings.MIDDLEWARE
    own = [number for number, name in enumerate(names) if name.endswith(".FastPathMiddleware")]
    start = max(own, default=-1) + 1
    known = MIDDLEWARE.union(settings.FAST_PATH_MIDDLEWARE)
    above = [name for name in names[:start] if _can_process_view(import_string(name))]
    return [name for name in (*above, *names[start:]) if name not in known]


def _can_process_view(middleware: Any) -> bool:
    """Return whether middleware may have a process_view: a function may return anything."""
    return not isinstance(middleware, type) or hasattr(middleware, "process_view")


def has_hooks() -> bool:
    """Return whether functions of the project have to be called for each request."""
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
    found = [
        *_of_callback(view, cls, options),
        *_of_handler(view, cls, method),
        *_of_attributes(cls, options),
    ]
    return found or [*_of_policies(cls, options)]


@cache
def obstacles_of_denials(view: Callable[..., Any]) -> list[str]:
    """Return the methods by which an eligible view can change its 429 responses."""
    cls: Any = view.cls  # type: ignore[attr-defined]
    names = ("throttled", "handle_exception", "get_exception_handler")
    return [name for name in names if not _is_framework(_module_of(cls, name))]


def _of_callback(view: Any, cls: Any, options: dict[str, Any]) -> Iterator[str]:
    if not _is_framework(_module_of(cls, "as_view")):
        return
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
    names = handlers(view, cls, method)
    public = [name for name in names if _is_public(getattr(cls, name, None))]
    others = [
        name for name in names if not (name in public or _is_framework(_module_of(cls, name)))
    ]
    if others or not public:
        name = [*others, *names][0]
        yield f"its {name}() does something before the cached response, or is decorated"


def handlers(view: Any, cls: Any, method: str) -> list[str]:
    """Return the name of the method that a request calls, and of that which this one calls."""
    if actions := getattr(view, "actions", None):
        return [actions.get(method.lower()) or actions.get("get", "get")]
    name = "head" if method == "HEAD" and hasattr(cls, "head") else "get"
    code = getattr(_undecorated(getattr(cls, name, None)), "__code__", None)
    return [name, *(other for other in ("list", "retrieve") if code and other in code.co_names)]


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


def _of_attributes(cls: Any, options: dict[str, Any]) -> Iterator[str]:
    for name in METHODS:
        if name in options or not _is_framework(_module_of(cls, name)):
            yield f"it overrides {name}"
    for name in CONSTANTS:
        if _is_computed(cls, name) and name not in options:
            yield f"its {name} is computed"


def _of_policies(cls: Any, options: dict[str, Any]) -> Iterator[str]:
    def value(name: str) -> Any:
        return options.get(name, getattr(cls, name))

    for permission in value("permission_classes"):
        if permission not in PERMISSIONS:
            yield f"its permission {_name(permission)} can deny an anonymous read"
    for authentication in value("authentication_classes"):
        if not _reads_authorization(authentication):
            yield f"its {_name(authentication)} can read other credentials than Authorization"
    for throttle in value("throttle_classes"):
        yield from _of_throttle(throttle, cls)
    if value("content_negotiation_class") is not DefaultContentNegotiation:
        yield f"it uses {_name(value('content_negotiation_class'))}"
    versioning = value("versioning_class")
    if versioning and not _is_framework(versioning.__module__):
        yield f"it uses {_name(versioning)}"


def _of_throttle(throttle: Any, cls: Any) -> Iterator[str]:
    if not _is_supported(throttle):
        yield f"its throttle {_name(throttle)} counts in its own way"
    elif _is_computed(cls, scope := getattr(throttle, "scope_attr", "")):
        yield f"its {scope} is computed"


def _reads_authorization(authentication: Any) -> bool:
    is_known = _module_of(authentication, "authenticate") in AUTHENTICATION_MODULES
    return is_known and not issubclass(authentication, RemoteUserAuthentication)


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
