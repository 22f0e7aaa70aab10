"""The WSGI application, which serves public cached responses before Django sees the request."""

import time
from collections.abc import Callable
from http.client import responses
from typing import Any

from django.core.handlers.wsgi import WSGIHandler

from ..caching.prefetched import current_locale
from ..conf import settings
from ..http import WSGIRequest
from ..logging.context import context_of, current
from ..logging.middleware import report_slow
from ..metrics import observe_request
from .eligibility import unknown_middleware
from .engine import Engine
from .middleware import ATTEMPT
from .plans import Served

# What the application does itself for the requests that it serves.
REPLACED = [
    "service_runtime.logging.middleware.RequestContextMiddleware",
    "service_runtime.metrics.MetricsMiddleware",
    "service_runtime.fast_path.FastPathMiddleware",
]


class FastPathHandler(WSGIHandler):
    """Django's WSGI application, with the fast path in front.

    If other middleware is above FastPathMiddleware, it has to run, and FastPathMiddleware serves
    these responses instead. Signals of requests are not sent for what is served here.
    """

    request_class = WSGIRequest

    def __init__(self) -> None:
        super().__init__()
        is_first = settings.MIDDLEWARE[: len(REPLACED)] == REPLACED
        self._engine = Engine() if is_first and not unknown_middleware() else None

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        """Respond to a request (PEP 3333)."""
        served = self._serve(environ, self._engine) if self._engine else None
        if served is None:
            return super().__call__(environ, start_response)
        start_response(f"{served.status} {responses[served.status]}", served.headers)
        return [served.body]

    def _serve(self, environ: dict[str, Any], engine: Engine) -> Served | None:
        started = time.monotonic()
        environ["log.context"] = context = context_of(environ)
        token = current.set(context)
        try:
            environ[ATTEMPT] = attempt = engine.attempt(environ, *current_locale())
            if attempt is None or attempt.plan is None or attempt.served is None:
                return None
            served, route = attempt.served, attempt.plan.match.route
            method = environ["REQUEST_METHOD"]
            served.headers.append(("X-Request-ID", str(context.request_id)))
            spent = time.monotonic() - started
            observe_request(method, route, served.status, spent)
            report_slow(spent, method, route, served.status)
            return served
        finally:
            current.reset(token)
