"""The errors that a request may cause when the database cannot serve it now."""

import sqlite3
from typing import Any

from django import db
from psycopg_pool import PoolTimeout
from rest_framework.exceptions import APIException

from ..logging import log_event_rarely
from ..metrics import DATABASE_ERRORS

LOG_INTERVAL = 60  # seconds
_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
# SQLSTATEs: a standby after a failover; limits of the server's own, and an object's state.
_READ_ONLY = "25006"
_PERMANENT = ("54", "55000")


class DatabaseUnavailable(APIException):
    """The database cannot serve the request now: a 503."""

    status_code = 503
    default_detail = "The database is unavailable. Try again in a moment."
    default_code = "database_unavailable"
    wait = 1  # seconds; Django REST framework sends it as Retry-After


def is_unavailable(error: BaseException | None) -> bool:
    """Return whether a request failed because the database is gone, overloaded or locked."""
    cause = error.__cause__ if error else None
    state = getattr(cause, "sqlstate", None) or ""
    if state == _READ_ONLY:
        return True
    if not isinstance(error, db.OperationalError | db.InterfaceError):
        return False
    if isinstance(cause, sqlite3.Error):  # which also has this class for wrong names
        return getattr(cause, "sqlite_errorcode", None) in _BUSY
    return not state.startswith(_PERMANENT)


def is_busy(error: BaseException) -> bool:
    """Return whether this process had no free connection for a query."""
    return isinstance(error.__cause__, PoolTimeout)


def count_error(error: BaseException) -> None:
    """Count such a failure, and log the first one per kind and LOG_INTERVAL."""
    kind = type(error.__cause__ or error).__name__
    DATABASE_ERRORS.labels(kind).inc()
    data = {"error": kind, "message": str(error)}
    log_event_rarely("database_error", kind, data, seconds=LOG_INTERVAL, level="WARNING")


def connection_failure(connection: Any) -> str | None:
    """Return why a database accepts no new connection, as one line, or None if it does.

    The error of a pool is a timeout, which has no cause.
    """
    parameters = connection.get_connection_params()
    try:
        connection.Database.connect(**parameters).close()
    except connection.Database.Error as error:
        return str(error).splitlines()[0].rstrip(".")
    return None
