"""Which requests the fast path serves, and how: the plans of one application."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

from django.core.signals import setting_changed
from django.http import HttpRequest, HttpResponse, parse_cookie

from ..caching.isolation import READS, has_body, personal_cookies
from ..conf import settings
from ..throttling.state import Throttling
from .denials import Denials
from .learning import learn
from .plans import Plan, Served

logger = logging.getLogger(__name__)
Url = tuple[object, ...]
MAX_PLANS = 2048
MAX_URL = 2048  # characters of everything that selects a plan
# A request with one of these calls its view.
_UNSUPPORTED = frozenset(
    {"HTTP_AUTHORIZATION", "HTTP_IF_MATCH", "HTTP_IF_UNMODIFIED_SINCE", "HTTP_IF_MODIFIED_SINCE"}
)
# What can select another response to a request without credentials: its URL, negotiation, and the
# middleware that `eligibility.py` allows.
_SELECTING = (
    *("REQUEST_METHOD", "PATH_INFO", "QUERY_STRING", "SCRIPT_NAME", "wsgi.url_scheme"),
    *("SERVER_NAME", "SERVER_PORT", "CONTENT_TYPE"),
    *("HTTP_HOST", "HTTP_X_FORWARDED_HOST", "HTTP_X_FORWARDED_PORT", "HTTP_X_FORWARDED_PROTO"),
    *("HTTP_ACCEPT", "HTTP_ACCEPT_LANGUAGE", "HTTP_ORIGIN"),
    "HTTP_ACCESS_CONTROL_REQUEST_PRIVATE_NETWORK",
)


@dataclass
class Attempt:
    """An attempt to serve a request.

    Attributes:
        engine: the engine that has made it.
        url: what selects a plan.
        plan: the plan, if there is one.
        is_supported: whether the fast path can serve such requests at all.
        throttling: the state of the request's throttling, if it was counted.
        served: the response, if there is one.
    """

    engine: "Engine"
    url: Url
    plan: Plan | None
    is_supported: bool
    throttling: Throttling | None = None
    served: Served | None = None

    def note(self, throttling: Throttling) -> None:
        """Note that the request was counted."""
        self.throttling = throttling

    def call(
        self, request: HttpRequest, get_response: Callable[[HttpRequest], HttpResponse]
    ) -> HttpResponse:
        """Return the response of the request's view, and learn from it."""
        if self.throttling:
            request.throttling = self.throttling  # type: ignore[attr-defined]
        if not self.is_supported:
            with self.plan.prefetch(request) if self.plan else nullcontext():
                return get_response(request)
        response = get_response(request)
        with logged():
            learned = learn(request, response, self.plan)
            if learned is not None and len(repr(self.url)) <= MAX_URL:
                self.engine.remember(self.url, learned)
        return response


@contextmanager
def logged() -> Iterator[None]:
    """Log an exception: the view's response does not depend on the fast path."""
    try:
        yield
    except Exception:
        logger.exception("The fast path has failed")


class Engine:
    """The plans of one application, by what selects them."""

    def __init__(self) -> None:
        self._plans: dict[Url, Plan] = {}
        self._denials = Denials()
        setting_changed.connect(self._reset)
        self._reset()

    def _reset(self, **kwargs: Any) -> None:
        self._plans.clear()
        self._denials.clear()
        self._personal = personal_cookies() | {settings.LANGUAGE_COOKIE_NAME}
        proxy_header = settings.SECURE_PROXY_SSL_HEADER
        self._selecting = (
            *_SELECTING,
            *(proxy_header[:1] if proxy_header else ()),
            *(["HTTP_USER_AGENT"] if settings.DISALLOWED_USER_AGENTS else []),
        )

    def attempt(
        self, environ: dict[str, Any], *surroundings: object, is_anonymous: bool = True
    ) -> Attempt | None:
        """Try to serve a request; return None if its view must be called without the fast path.

        Args:
            environ: the request's WSGI environment.
            surroundings: what middleware above selects the response by.
            is_anonymous: whether nothing but the request's headers could authenticate its caller.
        """
        if environ["REQUEST_METHOD"] not in READS or has_body(environ):
            return None
        url = (*map(environ.get, self._selecting), *surroundings)
        plan = self._plans.get(url)
        attempt = Attempt(self, url, plan, is_anonymous and self._is_supported(environ))
        if plan and attempt.is_supported:
            with logged():
                attempt.served = plan.serve(environ, self._denials, attempt.note)
        return attempt

    def _is_supported(self, environ: dict[str, Any]) -> bool:
        cookies = environ.get("HTTP_COOKIE", "")
        # Django decodes others, and could find another name in them.
        return cookies.isascii() and (
            environ.keys().isdisjoint(_UNSUPPORTED)
            and (not cookies or self._personal.isdisjoint(parse_cookie(cookies)))
        )

    def remember(self, url: Url, plan: Plan) -> None:
        """Add a plan. It replaces the oldest one if there are too many."""
        while len(self._plans) >= MAX_PLANS and url not in self._plans:
            self._plans.pop(next(iter([*self._plans])), None)  # a copy, since threads add plans
        self._plans[url] = plan
