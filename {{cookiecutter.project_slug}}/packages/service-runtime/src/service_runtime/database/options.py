"""The options of a database connection."""

from typing import Any

from ..conf import settings


def database_options(runtime: Any) -> dict[str, Any]:
    """Return OPTIONS of DATABASES for PostgreSQL.

    Args:
        runtime: the settings that begin with DATABASE_, and WEB_THREADS.
    """
    return {
        "connect_timeout": runtime.DATABASE_CONNECT_TIMEOUT,
        # A network that drops packets, or a host that vanished, must not keep a thread.
        "keepalives_idle": 15,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": (runtime.DATABASE_STATEMENT_TIMEOUT or 30) * 1000,
        "pool": {
            "min_size": 0,
            # A connection for each request thread, and one for the probes.
            "max_size": runtime.WEB_THREADS + 1,
            "timeout": runtime.DATABASE_POOL_TIMEOUT,
            # Idle connections would keep other pods from connecting when the server has no more.
            "max_idle": runtime.DATABASE_MAX_IDLE,
            # One attempt; the pool would delay later ones for longer each time.
            "reconnect_timeout": 0,
            "num_workers": 1,
        },
    }


class _Limits:
    apply = False


def limit_statements() -> None:
    """Apply the limits of statements in this process, which serves requests.

    Commands such as `migrate` have no limits.
    """
    _Limits.apply = True


def statement_options() -> str:
    """Return the limits as `options` of a PostgreSQL connection; empty if there are none.

    PgBouncer rejects `options`: with it, set the limits of the role (ALTER ROLE … SET …).
    """
    if not _Limits.apply or settings.DATABASE_PGBOUNCER:
        return ""
    limits = {
        "statement_timeout": settings.DATABASE_STATEMENT_TIMEOUT,
        "lock_timeout": settings.DATABASE_LOCK_TIMEOUT,
        "idle_in_transaction_session_timeout": settings.DATABASE_IDLE_TRANSACTION_TIMEOUT,
    }
    return " ".join(f"-c {name}={int(seconds * 1000)}" for name, seconds in limits.items())


def response_seconds() -> float | None:
    """Return how long a server may take to respond to a statement; None for any time."""
    timeout = settings.DATABASE_STATEMENT_TIMEOUT
    return timeout + 0.5 if timeout and _Limits.apply else None
