"""What a request says of its sender, hidden from a response that everyone gets."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest

_HEADERS = ("HTTP_AUTHORIZATION", "HTTP_COOKIE")


def has_body(request: HttpRequest) -> bool:
    """Return whether a request has a body, which is no part of a cached response's key."""
    environ = request.META
    return (
        environ.get("CONTENT_LENGTH") not in {None, "", "0"} or "HTTP_TRANSFER_ENCODING" in environ
    )


class Hidden:
    """Stands for the user, the session or the cookies while a shared response is computed."""

    def __init__(self, view: Callable[..., Any], what: str) -> None:
        self.__dict__["_message"] = (
            f"{view.__module__}.{view.__qualname__} is a cached_response with shared=True,"
            f" and reads the {what}. Leave shared out, and each user has a separate response."
        )

    def _reject(self, *args: object) -> Any:
        raise ImproperlyConfigured(self.__dict__["_message"])

    __getattr__ = __setattr__ = __eq__ = __bool__ = __str__ = __int__ = __iter__ = _reject
    __hash__ = __getitem__ = __setitem__ = __contains__ = __len__ = _reject


@contextmanager
def replaced(values: Mapping[tuple[Any, str], Any]) -> Iterator[None]:
    """Set attributes, given by their owner and name, and set them back at the end."""
    before = {(owner, name): getattr(owner, name) for owner, name in values}
    try:
        for (owner, name), value in values.items():
            setattr(owner, name, value)
        yield
    finally:
        for (owner, name), value in before.items():
            setattr(owner, name, value)


@contextmanager
def without_headers(request: HttpRequest, *, credentials: bool) -> Iterator[None]:
    """Take the CSRF token from a request, and its credentials if these are to be absent too.

    A token that is created meanwhile stays.
    """
    names = ("CSRF_COOKIE", *(_HEADERS if credentials else ()))
    removed = {name: request.META.pop(name) for name in names if name in request.META}
    request.__dict__.pop("headers", None)  # which Django makes of META once
    try:
        yield
    finally:
        request.META.update({k: v for k, v in removed.items() if k not in request.META})
        request.__dict__.pop("headers", None)
