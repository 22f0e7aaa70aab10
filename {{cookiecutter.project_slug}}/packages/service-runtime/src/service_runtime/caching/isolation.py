"""Request data that identifies the caller, hidden while a cached response is computed."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from django.contrib.messages.storage.cookie import CookieStorage
from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.http import HttpRequest
from rest_framework.request import Request

from ..conf import settings

READS = frozenset({"GET", "HEAD"})


def is_read(request: HttpRequest) -> bool:
    """Return whether a request is a GET or HEAD without a body, which the key does not cover."""
    return request.method in READS and not has_body(request.META)


def has_body(environ: Mapping[str, Any]) -> bool:
    """Return whether the request of a WSGI environment has a body."""
    return (
        environ.get("CONTENT_LENGTH") not in {None, "", "0"} or "HTTP_TRANSFER_ENCODING" in environ
    )


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


class UrlArguments:
    """What a function in the `depends_on` of a public response sees of the view: its kwargs.

    The fast path calls it once for many requests to a URL.
    """

    def __init__(self, kwargs: dict[str, Any]) -> None:
        self.kwargs = kwargs

    def __getattr__(self, name: str) -> Any:
        raise ImproperlyConfigured(
            f"A function in depends_on reads view.{name}. With public=True it can use view.kwargs"
            " only: use shared=True instead."
        )


@contextmanager
def without_database() -> Iterator[None]:
    """Reject queries, whose results can change after the function has been called."""
    with ExitStack() as stack:
        for connection in connections.all():
            stack.enter_context(connection.execute_wrapper(_reject_query))
        yield


def _reject_query(*args: object) -> Any:
    raise ImproperlyConfigured(
        "A function in depends_on queries the database, which public=True does not support: use"
        " shared=True instead, or a subquery."
    )


def personal_cookies() -> frozenset[str]:
    """Return the names of the cookies that can identify a user."""
    names = (settings.SESSION_COOKIE_NAME, settings.CSRF_COOKIE_NAME, CookieStorage.cookie_name)
    return frozenset(names)


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
