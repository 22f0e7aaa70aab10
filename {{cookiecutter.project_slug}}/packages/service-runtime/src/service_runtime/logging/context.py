"""What is known of the request, or of the command, that the current thread or task works for."""

import contextvars
import random
import re
from collections.abc import Callable
from contextvars import ContextVar
from functools import wraps
from typing import Any, NamedTuple, ParamSpec, TypeVar

from django.http import HttpRequest
from django.utils.functional import LazyObject, empty

P = ParamSpec("P")
T = TypeVar("T")
_VALID_ID = re.compile(r"[A-Za-z0-9._-]{8,128}")
# https://www.w3.org/TR/trace-context/#traceparent-header
_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}(-.*)?"
)


class Context(NamedTuple):
    """What every line of a request, or of a command, has.

    Attributes:
        request_id: of the request.
        request: itself, whose user is looked at when a line is written.
        trace_id: of the trace that the request is part of, 32 hexadecimal digits.
        span_id: of the caller's span, 16 hexadecimal digits.
        run_id: of the management command.
    """

    request_id: str | None = None
    request: HttpRequest | None = None
    trace_id: str | None = None
    span_id: str | None = None
    run_id: str | None = None

    def without_request(self) -> "Context":
        """Return what can be kept longer than the request."""
        return Context(self.request_id, None, self.trace_id, self.span_id, self.run_id)


NONE = Context()
# The trace and span of now, where the service itself makes traces (tracing.py).
span_ids: Callable[[], tuple[str, str] | None] = lambda: None  # noqa: E731
current: ContextVar[Context] = ContextVar("current", default=NONE)


def context_of(request: HttpRequest) -> Context:
    """Return a request's context: a valid X-Request-ID is kept, and traceparent followed."""
    given = request.META.get("HTTP_X_REQUEST_ID", "")
    request_id = given if _VALID_ID.fullmatch(given) else new_id()
    ids = span_ids()
    if ids is None and (trace := _TRACEPARENT.fullmatch(request.META.get("HTTP_TRACEPARENT", ""))):
        ids = (trace[1], trace[2])
    return Context(request_id, request, *(ids or (None, None)))


def new_id() -> str:
    """Return 32 hexadecimal digits that nobody had before; others may guess them."""
    return f"{random.getrandbits(128):032x}"


def in_context(function: Callable[P, T]) -> Callable[P, T]:
    """Return the function, which runs in the context of now: for threads that a request starts.

    threading.Thread(target=in_context(send_mails)).start()
    """
    context, own = contextvars.copy_context(), current.get()

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return context.copy().run(function, *args, **kwargs)
        except BaseException as error:
            error.log_context = own  # type: ignore[attr-defined] # for the thread's excepthook
            raise

    return run


def get_current_user_id() -> Any:
    """Return the primary key of the user whose request this is, or 0 when there is none.

    A user that nothing has looked at yet counts as none: logging must never cause a query.
    """
    user = getattr(current.get().request, "user", None)
    if issubclass(type(user), LazyObject):  # isinstance() would look at it
        user = vars(user).get("_wrapped")
        if user is empty:
            return 0
    try:
        return getattr(user, "pk", None) or 0
    except Exception:  # of a user that may not be asked for just now
        return 0
