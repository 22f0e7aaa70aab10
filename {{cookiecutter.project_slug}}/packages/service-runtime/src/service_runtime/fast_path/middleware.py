"""The middleware that serves public cached responses, and learns from those of views."""

from collections.abc import Callable
from http.client import responses

from django.core.exceptions import MiddlewareNotUsed
from django.http import HttpRequest, HttpResponse

from ..caching.prefetched import current_locale
from .eligibility import unknown_middleware
from .engine import Attempt, Engine

# The key of a WSGI environment with the attempt that `handler.py` has made.
ATTEMPT = "service_runtime.fast_path"


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
        self._engine = Engine()

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if ATTEMPT in request.META:
            attempt: Attempt | None = request.META.pop(ATTEMPT)
        else:
            attempt = self._attempt(request)
        if attempt is None:
            return self.get_response(request)
        if attempt.plan is None or attempt.served is None:
            return attempt.call(request, self.get_response)
        request.resolver_match = attempt.plan.match
        status, headers, body = attempt.served
        response = HttpResponse(body, status=status, reason=responses[status])
        response.headers._store = {name.lower(): (name, value) for name, value in headers}
        return response

    def _attempt(self, request: HttpRequest) -> Attempt | None:
        return self._engine.attempt(
            request.META,
            *current_locale(),
            getattr(request, "urlconf", None),
            # Middleware above, or REST framework's test client, can have authenticated the caller.
            is_anonymous=not (hasattr(request, "user") or hasattr(request, "session"))
            and getattr(request, "_force_auth_user", None) is None,
        )
