"""Pages of plain views that are the same for everyone."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from django.contrib.messages.storage.cookie import CookieStorage
from django.db.models import Model
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from ..conf import settings
from .answers import NotKeptError, answer, is_keepable, kept, name_of, rendered
from .dependencies import Dependencies, declare
from .isolation import has_body, replaced, without

View = TypeVar("View", bound=Callable[..., HttpResponseBase])


def public_page(*depends_on: type[Model], timeout: int | None = None) -> Callable[[View], View]:
    """Cache the responses of a plain view to GET and HEAD that are the same for everyone.

    The cache is bypassed for a request with a body, an Authorization header or a cookie of
    sessions, CSRF or messages. Other cookies are absent while a page is computed. A response is not
    stored if it sets a cookie, is not a 200, is encoded or varies, says `private` or `no-store`, or
    if its view has read the session or messages, or created a CSRF token or a nonce. Put
    `throttled`, other guards, and whatever marks the response for a middleware above it.

    Args:
        depends_on: models whose changes make the page stale.
        timeout: seconds to keep it; may be left out if there are models.
    """
    if not depends_on and timeout is None:
        raise TypeError("public_page needs models, or a timeout in seconds.")

    def decorate(view: View) -> View:
        declare(view, depends_on)

        @wraps(view)
        def wrapper(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            is_read = request.method in {"GET", "HEAD"} and not has_body(request)
            if not is_read or _is_personal(request):
                return view(request, *args, **kwargs)

            def compute() -> bytes:
                with (
                    replaced({(request, "COOKIES"): {}}),
                    without(request, "HTTP_AUTHORIZATION", "HTTP_COOKIE"),
                ):
                    response = rendered(view(request, *args, **kwargs))
                if _became_personal(request) or not is_keepable(response, {"accept-encoding"}):
                    raise NotKeptError(response)
                return kept(response, shared=True)

            dependencies = Dependencies.of(depends_on)
            return answer(request, name_of(view, request), dependencies, compute, timeout)

        return wrapper  # type: ignore[return-value]

    return decorate


def _is_personal(request: HttpRequest) -> bool:
    """Tell whether a request says who sends it."""
    cookies = {settings.SESSION_COOKIE_NAME, settings.CSRF_COOKIE_NAME, CookieStorage.cookie_name}
    return "Authorization" in request.headers or not cookies.isdisjoint(request.COOKIES)


def _became_personal(request: HttpRequest) -> bool:
    """Tell whether a view has looked at what belongs to one visitor."""
    session = getattr(request, "session", None)
    messages = getattr(request, "_messages", None)
    return (
        (session is not None and session.accessed)
        or (messages is not None and (messages.used or messages.added_new))
        or "CSRF_COOKIE" in request.META
        or getattr(request, "_csp_nonce", None) is not None
    )
