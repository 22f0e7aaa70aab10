"""The WSGI application, which serves public cached responses before Django sees the request."""

import logging
import time
from collections.abc import Callable
from http.client import responses
from typing import Any

from django.core.handlers.wsgi import WSGIHandler

from ..conf import settings
from ..http import WSGIRequest
from ..logging.context import context_of, current
from ..logging.middleware import report_slow
from ..metrics import observe_request
from .eligibility import unknown_middleware
from .engine import Engine
from .middleware import ATTEMPT

# What the application does itself for the requests that it serves.
REPLACED = [
    "service_runtime.logging.middleware.RequestContextMiddleware",
    "service_runtime.metrics.MetricsMiddleware",
    "service_runtime.fast_path.FastPathMiddleware",
]
logger = logging.getLogger(__name__)


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
        try:
            body = self._serve(environ, start_response) if self._engine else None
        except Exception:  # Django responds to it if it also occurs in the view
            logger.exception("The fast path has failed")
            body = None
        if body is None:
            return super().__call__(environ, start_response)
        return [body]

    def _serve(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> bytes | None:
        started = time.monotonic()
        environ["log.context"] = context = context_of(environ)
        token = current.set(context)
        try:
            environ[ATTEMPT] = attempt = self._engine and self._engine.attempt(environ)
            if not (attempt and attempt.plan and attempt.served):
                return None
            status, headers, body = attempt.served
            headers.append(("X-Request-ID", str(context.request_id)))
            start_response(f"{status} {responses[status]}", headers)
            spent, method = time.monotonic() - started, environ["REQUEST_METHOD"]
            route = attempt.plan.match.route
            observe_request(method, route, status, spent)
            report_slow(spent, method, route, status)
            return body
        finally:
            current.reset(token)
