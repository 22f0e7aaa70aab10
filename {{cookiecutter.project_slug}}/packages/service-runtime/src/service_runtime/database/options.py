"""The settings of a database, and the limits of its statements."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from ..conf import settings


def database_settings(entry: dict[str, Any], runtime: Any) -> dict[str, Any]:
    """Return an entry of DATABASES with the runtime's backend and options.

    Args:
        entry: the entry of a URL, whose options take precedence.
        runtime: the settings that begin with DATABASE_, and WEB_THREADS.

    Raises:
        ImproperlyConfigured: prepared statements are requested, which PgBouncer cannot use.
    """
    own = entry.get("OPTIONS", {})
    if entry["ENGINE"].endswith("sqlite3"):
        # Writers queue instead of failing; readers never wait for writers.
        pragmas = "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"
        options = {"transaction_mode": "IMMEDIATE", "timeout": 20, "init_command": pragmas}
        # Opening the file for each request takes a quarter of the time of an uncached list.
        return {**entry, "CONN_MAX_AGE": None, "OPTIONS": {**options, **own}}
    if runtime.DATABASE_PGBOUNCER and own.get("prepare_threshold"):
        raise ImproperlyConfigured(
            "DATABASE_URL: prepare_threshold must not be set while DATABASE_PGBOUNCER is on: a"
            " prepared statement belongs to one server connection."
        )
    return {
        **entry,
        "ENGINE": "service_runtime.database.postgresql",
        "CONN_MAX_AGE": 0,  # the pool holds the connections
        # A cursor's next query may reach another connection.
        "DISABLE_SERVER_SIDE_CURSORS": runtime.DATABASE_PGBOUNCER,
        "OPTIONS": {**_postgresql_options(runtime), **own},
    }


def _postgresql_options(runtime: Any) -> dict[str, Any]:
    return {
        "connect_timeout": runtime.DATABASE_CONNECT_TIMEOUT,
        # A network that drops packets, or a host that vanished, must not keep a thread.
        "keepalives_idle": 15,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": int((runtime.DATABASE_STATEMENT_TIMEOUT or 30) * 1000),
        "pool": {
            "min_size": 0,
            # A thread is left for requests that need no database while it does not respond.
            "max_size": max(runtime.WEB_THREADS - 1, 1),
            "timeout": runtime.DATABASE_POOL_TIMEOUT,
            # Idle connections would keep other pods from connecting when the server has no more.
            "max_idle": runtime.DATABASE_MAX_IDLE,
            # One attempt; the pool would delay later ones for longer each time.
            "reconnect_timeout": 0,
            "num_workers": 1,
        },
    }


# Limits of new connections, by their names in PostgreSQL, in seconds.
_limits: dict[str, float] = {}


def limit_statements() -> None:
    """Apply the limits of statements in this process, which serves requests.

    Commands have no limits.
    """
    _limits.update(
        statement_timeout=settings.DATABASE_STATEMENT_TIMEOUT,
        lock_timeout=settings.DATABASE_LOCK_TIMEOUT,
        idle_in_transaction_session_timeout=settings.DATABASE_IDLE_TRANSACTION_TIMEOUT,
    )


@contextmanager
def limit_locks(seconds: float) -> Iterator[None]:
    """Within the context, new connections wait at most so many seconds for a lock."""
    before = dict(_limits)
    _limits["lock_timeout"] = seconds
    try:
        yield
    finally:
        _limits.clear()
        _limits.update(before)


def statement_options() -> str:
    """Return the limits as `options` of a PostgreSQL connection; empty if there are none.

    PgBouncer rejects `options`: with it, set the limits of the role (ALTER ROLE … SET …).
    """
    if settings.DATABASE_PGBOUNCER:
        return ""
    return " ".join(f"-c {name}={int(seconds * 1000)}" for name, seconds in _limits.items())


def response_seconds() -> float | None:
    """Return how long a server may take to respond to a statement; None for any time."""
    timeout = _limits.get("statement_timeout")
    return timeout + 0.5 if timeout else None
