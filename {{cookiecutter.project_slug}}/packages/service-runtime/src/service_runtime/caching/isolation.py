"""What a request says of its sender, hidden from a response that others get too."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest


def has_body(request: HttpRequest) -> bool:
    """Return whether a request has a body, which is no part of a cached response's key."""
    environ = request.META
    return (
        environ.get("CONTENT_LENGTH") not in {None, "", "0"} or "HTTP_TRANSFER_ENCODING" in environ
    )


class Hidden:
    """Stands for the user, the session or the cookies while a response is computed.

    Args:
        view: which computes it.
        mistake: what reading this is, and what to do instead.
    """

    def __init__(self, view: Callable[..., Any], mistake: str) -> None:
        self.__dict__["_message"] = f"{view.__module__}.{view.__qualname__} {mistake}"

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
def without(request: HttpRequest, *names: str) -> Iterator[None]:
    """Take names from a request's environment, such as HTTP_COOKIE, and put them back at the end.

    A CSRF token that is created meanwhile stays.
    """
    removed = {name: request.META.pop(name) for name in names if name in request.META}
    request.__dict__.pop("headers", None)  # which Django makes of META once
    try:
        yield
    finally:
        request.META.update({k: v for k, v in removed.items() if k not in request.META})
        request.__dict__.pop("headers", None)
