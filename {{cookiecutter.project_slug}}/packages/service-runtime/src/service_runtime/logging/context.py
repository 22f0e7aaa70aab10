"""The request, or the command, that the current thread or task works for."""

import contextvars
import random
import re
from collections.abc import Callable, Mapping
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
    """The fields that all lines of a request, or of a command, share.

    Attributes:
        request_id: the request's id.
        request: the request, whose user is read when a line is written.
        trace_id: the trace that the request belongs to, 32 hexadecimal digits.
        span_id: the caller's span, 16 hexadecimal digits.
        run_id: the id of one run of a management command.
    """

    request_id: str | None = None
    request: HttpRequest | None = None
    trace_id: str | None = None
    span_id: str | None = None
    run_id: str | None = None


NONE = Context()
# Returns the current trace and span, where the service records traces itself (tracing.py).
span_ids: Callable[[], tuple[str, str] | None] = lambda: None  # noqa: E731
current: ContextVar[Context] = ContextVar("current", default=NONE)


def context_of(environ: Mapping[str, Any], request: HttpRequest | None = None) -> Context:
    """Return a request's context, which continues a valid X-Request-ID and traceparent.

    Args:
        environ: its WSGI environment.
        request: the request, if there is one already.
    """
    given = environ.get("HTTP_X_REQUEST_ID", "")
    request_id = given if _VALID_ID.fullmatch(given) else new_id()
    ids = span_ids()
    if ids is None and (trace := _TRACEPARENT.fullmatch(environ.get("HTTP_TRACEPARENT", ""))):
        ids = (trace[1], trace[2])
    return Context(request_id, request, *(ids or (None, None)))


def new_id() -> str:
    """Return a unique id of 32 hexadecimal digits. It is guessable."""
    return f"{random.getrandbits(128):032x}"


def in_context(function: Callable[P, T]) -> Callable[P, T]:
    """Return the function bound to the current context, for threads that a request starts.

    threading.Thread(target=in_context(send_mails)).start()
    """
    context, caller = contextvars.copy_context(), current.get()

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return context.copy().run(function, *args, **kwargs)
        except BaseException as error:
            error.log_context = caller  # type: ignore[attr-defined] # for the thread's excepthook
            raise

    return run


def get_current_user_id() -> Any:
    """Return the primary key of the current request's user, or 0 without one.

    A user that has not been loaded yet counts as none, since logging must never run a query.
    """
    user = getattr(current.get().request, "user", None)
    if issubclass(type(user), LazyObject):  # isinstance() would load it
        user = vars(user).get("_wrapped")
        if user is empty:
            return 0
    try:
        return getattr(user, "pk", None) or 0
    except Exception:  # of the user's own code
        return 0
