"""Gives every request an id, and the log its context."""

import time
from collections.abc import Callable
from typing import Any

from django.core.signals import request_finished
from django.http import HttpRequest, HttpResponse

from ..conf import settings
from .context import NONE, context_of, current, get_current_user_id
from .events import log_event


class RequestContextMiddleware:
    """Keeps a valid X-Request-ID or makes one, and returns it with the answer.

    The context lasts until the whole body was sent, so that what a streaming answer logs has it
    too; gunicorn's access line, written after that, finds its part in the WSGI environment.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        self._slow = settings.SLOW_REQUEST_SECONDS

    def __call__(self, request: HttpRequest) -> HttpResponse:
        started = time.perf_counter()
        context = context_of(request)
        current.set(context)
        response = self.get_response(request)
        # Without the request, which has the environment, which would have the request.
        request.META["log.context"] = context.without_request()
        request.META["log.uid"] = get_current_user_id()
        response["X-Request-ID"] = str(context.request_id)
        spent = time.perf_counter() - started
        if self._slow and spent > self._slow:
            match = request.resolver_match
            log_event(
                "slow_request",
                {
                    "method": request.method,
                    "route": match.route if match else None,
                    "status": response.status_code,
                    "duration_ms": round(spent * 1000, 1),
                },
                level="WARNING",
            )
        return response


def _clear(**kwargs: Any) -> None:
    current.set(NONE)


request_finished.connect(_clear)
