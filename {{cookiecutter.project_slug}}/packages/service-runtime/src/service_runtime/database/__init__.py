"""PostgreSQL connections whose failures are short: no request waits for a database that is gone.

Every wait has a limit: for a connection, for a lock, for a statement and for a server that does not
respond. While the database is unavailable, a circuit breaker lets requests fail at once, and
requests that do not need it are served.
"""

from .errors import DatabaseUnavailable, connection_failure, count_error, is_busy, is_unavailable
from .options import database_settings, limit_locks, limit_statements
from .urls import url_fault

__all__ = [
    "DatabaseUnavailable",
    "connection_failure",
    "count_error",
    "database_settings",
    "is_busy",
    "is_unavailable",
    "limit_locks",
    "limit_statements",
    "url_fault",
]
