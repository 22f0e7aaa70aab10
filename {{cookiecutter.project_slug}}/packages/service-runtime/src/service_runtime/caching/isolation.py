"""Request data that identifies the caller, hidden while a cached response is computed."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest
from rest_framework.request import Request


def is_read(request: HttpRequest) -> bool:
    """Return whether a request is a GET or HEAD without a body, which the key does not cover."""
    environ = request.META
    has_body = (
        environ.get("CONTENT_LENGTH") not in {None, "", "0"} or "HTTP_TRANSFER_ENCODING" in environ
    )
    return request.method in {"GET", "HEAD"} and not has_body


class Hidden:
    """Replaces the user, the session or the cookies: reading it raises ImproperlyConfigured.

    Args:
        message: the mistake, and how to fix it.
    """

    def __init__(self, message: str) -> None:
        self.__dict__["_message"] = message

    def _reject(self, *args: object) -> Any:
        raise ImproperlyConfigured(self.__dict__["_message"])

    __getattr__ = __setattr__ = __eq__ = __bool__ = __str__ = __int__ = __iter__ = _reject
    __hash__ = __getitem__ = __setitem__ = __contains__ = __len__ = _reject


@contextmanager
def anonymous(
    request: Request, handler: Callable[..., Any], shared: bool, cookies: bool
) -> Iterator[None]:
    """Hide from a handler what its key does not cover.

    Args:
        request: the request it handles.
        handler: the function, for messages.
        shared: whether to hide the user, the session and the credentials.
        cookies: whether the key covers the cookies.
    """
    name, django = f"{handler.__module__}.{handler.__qualname__}", request._request
    hidden: dict[tuple[Any, str], Any] = {}
    absent = ["CSRF_COOKIE"]
    if shared:
        absent.append("HTTP_AUTHORIZATION")
        user, session = (
            Hidden(
                f"{name} is a cached_response with shared=True, and reads the {found}."
                " Remove shared=True: each user then has a separate response."
            )
            for found in ("user", "session")
        )
        own = {"user": user, "_cached_user": user, "session": session}
        hidden = {(django, name): own[name] for name in own if hasattr(django, name)}
        # What Request.user and Request.auth return.
        hidden |= {(request, "_user"): user, (request, "_auth"): user}
    if not cookies:
        absent.append("HTTP_COOKIE")
        hidden[django, "COOKIES"] = Hidden(
            f"{name} is a cached_response, and reads the cookies, which its key does not cover."
            " Add vary_on='Cookie', or do not cache the response."
        )
    with replaced(hidden), without(django, *absent):
        yield


@contextmanager
def replaced(values: Mapping[tuple[Any, str], Any]) -> Iterator[None]:
    """Set attributes, given by owner and name, and restore them at the end."""
    before = {(owner, name): getattr(owner, name) for owner, name in values}
    try:
        for (owner, name), value in values.items():
            setattr(owner, name, value)
        yield
    finally:
        for (owner, name), value in before.items():
            setattr(owner, name, value)


@contextmanager
def without(request: HttpRequest, *names: str) -> Iterator[None]:
    """Remove names such as HTTP_COOKIE from a request's environment, and restore them at the end.

    A CSRF token that is created meanwhile stays.
    """
    removed = {name: request.META.pop(name) for name in names if name in request.META}
    request.__dict__.pop("headers", None)  # Django caches them
    try:
        yield
    finally:
        request.META.update({k: v for k, v in removed.items() if k not in request.META})
        request.__dict__.pop("headers", None)
