"""Return errors of the API as JSON, or as problem details (RFC 9457) to clients that accept them.

This applies to all paths under API_PREFIX, whether a REST framework view raises the error, no view
matches or a middleware rejects the request. Other paths have Django's HTML pages.
"""

import logging
import re
import sys
from collections.abc import Callable
from http.client import responses
from typing import Any

from django.core.exceptions import BadRequest, MiddlewareNotUsed, SuspiciousOperation
from django.db import IntegrityError
from django.http import HttpRequest, HttpResponse, UnreadablePostError
from django.http.multipartparser import MultiPartParserError
from django.utils.cache import patch_vary_headers
from django.views import csrf, defaults
from rest_framework import exceptions, status
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response
from rest_framework.views import exception_handler as rest_exception_handler

from ..conf import settings
from ..database import DatabaseUnavailable, count_error, is_unavailable
from ..throttling import violated_policies
from .renderers import use_api_renderer, use_renderer

PROBLEM = "application/problem+json"
QUOTA_EXCEEDED = "https://iana.org/assignments/http-problem-types#quota-exceeded"
# In an Accept header, but not with q=0.
_ACCEPTED = re.compile(re.escape(PROBLEM) + r"(?!\s*;\s*q=0(\.0*)?\s*(,|$))", re.IGNORECASE)
# The exceptions of reading a form.
_MALFORMED = (BadRequest, MultiPartParserError, SuspiciousOperation, UnreadablePostError)

# The errors of PostgreSQL and SQLite for a value of another row, or a reference to a deleted row.
_CONFLICTING = re.compile(r"unique constraint|foreign key", re.IGNORECASE)

logger = logging.getLogger(__name__)


class Conflict(exceptions.APIException):
    """A concurrent request has invalidated values after their validation: a 409."""

    status_code = status.HTTP_409_CONFLICT
    default_detail = "The request conflicts with the current state of the resource."
    default_code = "conflict"


def exception_handler(exc: Exception, context: dict[str, Any]) -> Response | None:
    """Return the response to an exception of a REST framework view; None leads to a 500."""
    if isinstance(exc, UnreadablePostError):  # the client disconnected or sent malformed chunks
        exc = exceptions.ParseError("The request body is incomplete.")
    if is_unavailable(exc):
        count_error(exc)
        exc = DatabaseUnavailable()
    if isinstance(exc, IntegrityError) and _CONFLICTING.search(str(exc)):
        exc = Conflict()
    response = rest_exception_handler(exc, context)
    if response is None:
        return None
    request = context["request"]
    if _wants_problem(request):
        use_renderer(request, JSONRenderer())
        response.data = problem(request, response.status_code, response.data)
        response.content_type = PROBLEM
    else:
        use_api_renderer(request)
    patch_vary_headers(response, ["Accept"])
    if isinstance(exc, DatabaseUnavailable):
        response._has_been_logged = True  # type: ignore[attr-defined]
    return response


def _wants_problem(request: Any) -> bool:
    accept = request.META.get("HTTP_ACCEPT", "")
    return bool(settings.API_PROBLEM_DETAILS or _ACCEPTED.search(accept))


def problem(request: Any, status_code: int, data: Any) -> dict[str, Any]:
    """Return the problem details for the status and data of an error response.

    `errors` has the messages for invalid values. A 429 has the type of the RateLimit draft, and the
    names of the policies in the RateLimit fields.
    """
    title = responses.get(status_code, "")
    found: dict[str, Any] = {"type": "about:blank", "title": title, "status": status_code}
    if isinstance(data, dict) and data.keys() == {"detail"}:
        found |= data
    else:
        found |= {"detail": exceptions.ValidationError.default_detail, "errors": data}
    violated = violated_policies(getattr(request, "_request", request))
    if status_code == status.HTTP_429_TOO_MANY_REQUESTS and violated:
        found |= {"type": QUOTA_EXCEEDED, "title": "Quota exceeded", "violated-policies": violated}
    return found


def is_api(request: HttpRequest) -> bool:
    """Return whether the request's path belongs to the API."""
    return request.path_info.startswith(settings.API_PREFIX)


def body_of(request: HttpRequest, error: exceptions.APIException) -> tuple[bytes, str]:
    """Return the body and the media type of an error that no REST framework view raised."""
    data: Any = {"detail": error.detail}
    wants_problem = _wants_problem(request)
    if wants_problem:
        data = problem(request, error.status_code, data)
    return JSONRenderer().render(data), PROBLEM if wants_problem else JSONRenderer.media_type


def _handler(
    error: type[exceptions.APIException], page: Callable[..., HttpResponse]
) -> Callable[..., HttpResponse]:
    """Return an error view for Django: API paths have the error as JSON, others have the page."""

    def handler(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if is_api(request):
            body, media_type = body_of(request, error())
            response = HttpResponse(body, status=error.status_code, content_type=media_type)
            patch_vary_headers(response, ["Accept"])
            return response
        try:
            return page(request, *args, **kwargs)
        except Exception as exc:
            # The page reads the form for its CSRF token, and the form can be malformed.
            if not isinstance(exc, _MALFORMED):
                logger.exception("The page for status %d failed", error.status_code)
            return HttpResponse(f"{responses[error.status_code]}\n", status=error.status_code)

    return handler


# For handler400 and others in urls.py, and for CSRF_FAILURE_VIEW.
bad_request = _handler(exceptions.ParseError, defaults.bad_request)
permission_denied = _handler(exceptions.PermissionDenied, defaults.permission_denied)
not_found = _handler(exceptions.NotFound, defaults.page_not_found)
_server_error = _handler(exceptions.APIException, defaults.server_error)
csrf_failure = _handler(exceptions.PermissionDenied, csrf.csrf_failure)
_unavailable = _handler(
    DatabaseUnavailable,
    lambda request: HttpResponse(DatabaseUnavailable.default_detail, status=503),
)


def server_error(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
    """Return the response to an unexpected exception: a 500, or a 503 without a database."""
    error = sys.exception()
    if error is None or not is_unavailable(error):
        return _server_error(request, *args, **kwargs)
    count_error(error)
    response = _unavailable(request)
    response["Retry-After"] = str(DatabaseUnavailable.wait)
    response._has_been_logged = True  # type: ignore[attr-defined]
    return response


_DEBUG_PAGES = {
    error.status_code: error
    for error in (exceptions.ParseError, exceptions.NotFound, exceptions.APIException)
}


class DebugPageMiddleware:
    """While DEBUG is on, replace Django's debug page by JSON for API clients except browsers."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        if not settings.DEBUG:
            raise MiddlewareNotUsed
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        error = _DEBUG_PAGES.get(response.status_code)
        is_page = response.get("Content-Type", "").startswith("text/")
        for_browser = "text/html" in request.META.get("HTTP_ACCEPT", "")
        if error and is_page and is_api(request) and not for_browser:
            response.content, response["Content-Type"] = body_of(request, error())
            response["Content-Length"] = str(len(response.content))
        return response
