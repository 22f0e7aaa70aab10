"""Headers that tell browsers what other sites and scripts may do; none names the server."""

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from gunicorn.http import wsgi


class SecurityHeadersMiddleware:
    """Set SECURITY_HEADERS on each response, except those that a view has set itself."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        self._headers = list(settings.SECURITY_HEADERS.items())

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        for name, value in self._headers:
            response.headers.setdefault(name, value)
        return response


def omit_server_header() -> None:
    """Have gunicorn leave the Server header out, for which it has no setting."""
    response: Any = wsgi.Response
    default_headers = response.default_headers

    def without_server(self: Any) -> list[str]:
        return [line for line in default_headers(self) if not line.startswith("Server:")]

    response.default_headers = without_server
