"""Gives every request an id, and the log its context."""

import re
import uuid
from collections.abc import Callable
from typing import Any

from django.core.signals import request_finished
from django.http import HttpRequest, HttpResponse

from .context import current_request, get_current_user_id, request_id

_VALID_ID = re.compile(r"[A-Za-z0-9._-]{8,128}")


class RequestContextMiddleware:
    """Keeps a valid X-Request-ID or makes one, and returns it with the answer.

    The context lasts until the whole body was sent, so that what a streaming answer logs has it
    too; gunicorn's access line, written after that, finds its part in the WSGI environment.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        given = request.headers.get("X-Request-ID", "")
        current = given if _VALID_ID.fullmatch(given) else uuid.uuid4().hex
        request.META["request_id"] = current
        request_id.set(current)
        current_request.set(request)
        response = self.get_response(request)
        request.META["user_id"] = get_current_user_id()
        response["X-Request-ID"] = current
        return response


def _clear(**kwargs: Any) -> None:
    request_id.set(None)
    current_request.set(None)


request_finished.connect(_clear)
