"""Cached responses of plain views."""

from collections.abc import Callable
from functools import partial, wraps
from typing import Any, TypeVar

from django.db.models import Model
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from .dependencies import Dependencies, declare
from .isolation import is_read, personal_cookies, replaced, without
from .payloads import NotCacheableError, key_of, render, respond, serialize

View = TypeVar("View", bound=Callable[..., HttpResponseBase])


def public_page(*depends_on: type[Model], timeout: int | None = None) -> Callable[[View], View]:
    """Cache the responses of a plain view that are the same for all users.

    A request with a body, an Authorization header, or a cookie of sessions, CSRF or messages
    bypasses the cache. Other cookies are hidden from the view. A response is not stored if it is
    not a 200, sets a cookie, is encoded, varies, says `private` or `no-store`, or if its view has
    read the session or messages, or created a CSRF token or a nonce. Put `throttled`, other guards,
    and decorators that mark the response for a middleware above this one.

    Args:
        depends_on: the models whose changes make the page stale.
        timeout: the TTL in seconds; required without models.
    """
    if not depends_on and timeout is None:
        raise TypeError("public_page needs models, or a timeout in seconds.")

    def decorate(view: View) -> View:
        declare(view, depends_on)

        @wraps(view)
        def wrapper(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if not is_read(request) or _is_personal(request):
                return view(request, *args, **kwargs)
            dependencies = Dependencies.of(depends_on)
            compute = partial(_compute, view, request, args, kwargs)
            return respond(request, key_of(view, request), dependencies, compute, timeout)

        return wrapper  # type: ignore[return-value]

    return decorate


def _compute(view: Any, request: HttpRequest, args: Any, kwargs: Any) -> bytes:
    hidden = without(request, "HTTP_AUTHORIZATION", "HTTP_COOKIE")
    with replaced({(request, "COOKIES"): {}}), hidden:
        response = render(view(request, *args, **kwargs))
    if _became_personal(request):
        raise NotCacheableError(response)
    return serialize(response, True, {"accept-encoding"})


def _is_personal(request: HttpRequest) -> bool:
    """Return whether a request may identify its user."""
    return "Authorization" in request.headers or not personal_cookies().isdisjoint(request.COOKIES)


def _became_personal(request: HttpRequest) -> bool:
    """Return whether a view has used data of one visitor."""
    session = getattr(request, "session", None)
    messages = getattr(request, "_messages", None)
    return (
        (session is not None and session.accessed)
        or (messages is not None and (messages.used or messages.added_new))
        or "CSRF_COOKIE" in request.META
        or getattr(request, "_csp_nonce", None) is not None
    )
