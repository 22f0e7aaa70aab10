"""What is known of the request that the current thread or task serves."""

from contextvars import ContextVar
from typing import Any

from django.http import HttpRequest
from django.utils.functional import LazyObject, empty

current_request: ContextVar[HttpRequest | None] = ContextVar("current_request", default=None)
request_id: ContextVar[str | None] = ContextVar("request_id", default=None)


def get_current_user_id() -> Any:
    """Return the primary key of the user whose request this is, or 0 when there is none.

    A user that nothing has looked at yet counts as none: logging must never cause a query.
    """
    request = current_request.get()
    user = getattr(request, "user", None)
    if isinstance(user, LazyObject) and user.__dict__.get("_wrapped") is empty:
        return 0
    return getattr(user, "pk", None) or 0
