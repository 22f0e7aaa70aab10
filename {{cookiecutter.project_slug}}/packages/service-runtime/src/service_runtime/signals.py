"""Receivers of Django's and cacheops' signals: failed logins, cache reads, slow queries."""

import time
from collections.abc import Callable
from typing import Any

from cacheops.signals import cache_read
from django.contrib.auth.signals import user_login_failed
from django.db.backends.signals import connection_created
from django.dispatch import receiver
from django.http import HttpRequest

from .client_address import client_address
from .conf import settings
from .logging import log_event
from .metrics import cache_requests


@receiver(user_login_failed)
def log_failed_login(request: HttpRequest | None = None, **kwargs: Any) -> None:
    """Log a failed login without the username, since users type passwords there."""
    data = {"client": str(client_address(request))} if request is not None else {}
    log_event("login_failed", data, level="WARNING")


@receiver(cache_read)
def count_read(hit: bool, **kwargs: Any) -> None:
    """Count a hit or a miss of cacheops."""
    cache_requests("cacheops", "hit" if hit else "miss").inc()


@receiver(connection_created)
def watch_queries(connection: Any, **kwargs: Any) -> None:
    """Log the slow queries of a new connection if DEBUG is on."""
    is_watched = log_slow_query in connection.execute_wrappers
    if settings.DEBUG and settings.SLOW_QUERY_SECONDS and not is_watched:
        # First, since the end of a `with connection.execute_wrapper()` removes the last.
        connection.execute_wrappers.insert(0, log_slow_query)


def log_slow_query(
    execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any
) -> Any:
    """Run a query, and log its SQL, without parameters, if it was slow."""
    started = time.perf_counter()
    try:
        return execute(sql, params, many, context)
    finally:
        elapsed = time.perf_counter() - started
        if elapsed > settings.SLOW_QUERY_SECONDS:
            data = {"sql": sql, "duration_ms": round(elapsed * 1000, 1)}
            log_event("slow_query", data, level="WARNING")
