"""Responses to requests that do not reach Django."""

import json
from email.utils import formatdate
from http import HTTPStatus

from ..logging import log_event_rarely
from ..metrics import REJECTED_REQUESTS

LOG_INTERVAL = 60  # seconds
_DETAILS = {
    HTTPStatus.REQUEST_TIMEOUT: "The request did not arrive in time.",
    HTTPStatus.LENGTH_REQUIRED: "Send a Content-Length instead of a Transfer-Encoding.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The body is too large.",
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: "The headers are too large.",
    HTTPStatus.SERVICE_UNAVAILABLE: "The service is overloaded. Try again later.",
    HTTPStatus.INSUFFICIENT_STORAGE: "The body cannot be stored. Try again later.",
}


def response(status: HTTPStatus, *, method: str = "", close: bool = True) -> bytes:
    """Return a complete HTTP/1.1 response whose body is JSON.

    Args:
        status: one of the statuses that this module describes.
        method: the request's method, if it is known.
        close: whether the connection is closed after it.
    """
    body = json.dumps({"detail": _DETAILS[status]})
    lines = [
        f"HTTP/1.1 {status.value} {status.phrase}",
        f"Date: {formatdate(usegmt=True)}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",
    ]
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        lines.append("Retry-After: 1")
    lines.append(f"Connection: {'close' if close else 'keep-alive'}")
    return "\r\n".join([*lines, "", "" if method == "HEAD" else body]).encode()


def count_rejection(reason: str) -> None:
    """Count a rejection, and log the first one per reason and LOG_INTERVAL."""
    REJECTED_REQUESTS.labels(reason).inc()
    data = {"reason": reason}
    log_event_rarely("request_rejected", reason, data, seconds=LOG_INTERVAL, level="WARNING")
