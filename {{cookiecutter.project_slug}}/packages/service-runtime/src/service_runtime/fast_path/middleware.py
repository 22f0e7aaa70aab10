"""The middleware that serves public cached responses."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

from django.core.exceptions import MiddlewareNotUsed
from django.core.signals import setting_changed
from django.http import HttpRequest, HttpResponse
from django.utils import timezone, translation

from ..caching.isolation import is_read, personal_cookies
from ..conf import settings
from .eligibility import unknown_middleware
from .learning import learn
from .plans import Plan

Url = tuple[object, ...]
MAX_PLANS = 2048
MAX_URL = 2048  # characters of everything that selects a plan
# A request with one of these calls its view.
_UNSUPPORTED = frozenset(
    {"HTTP_AUTHORIZATION", "HTTP_IF_MATCH", "HTTP_IF_UNMODIFIED_SINCE", "HTTP_IF_MODIFIED_SINCE"}
)
# What can select another response to a request without credentials, besides its method and URL:
# negotiation, and the middleware that `eligibility.py` allows.
_SELECTING = (
    *("wsgi.url_scheme", "SCRIPT_NAME", "SERVER_NAME", "SERVER_PORT", "CONTENT_TYPE"),
    *("HTTP_HOST", "HTTP_X_FORWARDED_HOST", "HTTP_X_FORWARDED_PORT", "HTTP_X_FORWARDED_PROTO"),
    *("HTTP_ACCEPT", "HTTP_ACCEPT_LANGUAGE", "HTTP_ORIGIN"),
    "HTTP_ACCESS_CONTROL_REQUEST_PRIVATE_NETWORK",
)


class FastPathMiddleware:
    """Serve public cached responses to callers without credentials, and read them for others.

    Middleware above this one runs for every request. Middleware below it, and any `process_view`,
    runs only where the view is called. These must be known to neither reject anonymous reads nor
    change their responses otherwise; FAST_PATH_MIDDLEWARE adds to the list.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        if unknown_middleware():
            raise MiddlewareNotUsed("a check names the reason")
        self.get_response = get_response
        self._plans: dict[Url, Plan] = {}
        setting_changed.connect(self._reset)
        self._reset()

    def _reset(self, **kwargs: Any) -> None:
        self._plans.clear()
        self._personal = personal_cookies() | {settings.LANGUAGE_COOKIE_NAME}
        proxy_header = settings.SECURE_PROXY_SSL_HEADER
        self._selecting = (
            *_SELECTING,
            *(proxy_header[:1] if proxy_header else ()),
            *(["HTTP_USER_AGENT"] if settings.DISALLOWED_USER_AGENTS else []),
        )

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not is_read(request):
            return self.get_response(request)
        environ = request.META
        url = (
            *(request.method, request.path, request.path_info, environ.get("QUERY_STRING")),
            # Those of middleware above.
            *(translation.get_language(), timezone.get_current_timezone_name()),
            getattr(request, "urlconf", None),
            *map(environ.get, self._selecting),
        )
        plan = self._plans.get(url)
        if not self._is_supported(request):
            with plan.prefetch(request) if plan else nullcontext():
                return self.get_response(request)
        response = plan and plan.serve(request)
        if response is None:
            response = self.get_response(request)
            learned = learn(request, response, plan)
            if learned is not None and len(repr(url)) <= MAX_URL:
                self._remember(url, learned)
        return response

    def _is_supported(self, request: HttpRequest) -> bool:
        environ = request.META
        return (
            environ.keys().isdisjoint(_UNSUPPORTED)
            # Middleware above, or REST framework's test client, can have authenticated the caller.
            and not (hasattr(request, "user") or hasattr(request, "session"))
            and getattr(request, "_force_auth_user", None) is None
            and ("HTTP_COOKIE" not in environ or self._personal.isdisjoint(request.COOKIES))
        )

    def _remember(self, url: Url, plan: Plan) -> None:
        """Replace the oldest plan if there are too many."""
        while len(self._plans) >= MAX_PLANS and url not in self._plans:
            self._plans.pop(next(iter([*self._plans])), None)
        self._plans[url] = plan
