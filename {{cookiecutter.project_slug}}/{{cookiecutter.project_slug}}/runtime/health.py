"""What the probes report: is this process to be kept, and is it to be sent requests."""

import logging
import threading
from collections.abc import Callable
from typing import Any

import redis
from django.conf import settings
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from .redis import client

logger = logging.getLogger(__name__)
CHECK_SECONDS = 2.0  # well under the probes' own timeout
UNREACHABLE = "unreachable"
_migrated = False


def readiness(*, draining: bool) -> tuple[bool, dict[str, Any]]:
    """Return whether this process should get requests, and what is known of what it needs.

    It gates on two things only: the process is not shutting down, and the schema was up to date
    once. The database and Redis are reported and do not gate, since every pod shares them: taking
    all pods out of service at once would make their outage worse. For the same reason a database
    that hangs does not hold up the answer.
    """
    database = _database_check.run()
    ready = _migrated and not draining
    body = {
        "status": "draining" if draining else "ready" if ready else "not ready",
        "migrated": _migrated,
        "database": database,
        "redis": _redis(),
    }
    return ready, body


class BoundedCheck:
    """Runs a check in a thread and waits no longer than CHECK_SECONDS; one at a time."""

    def __init__(self, check: Callable[[], str]) -> None:
        self._check = check
        self._running = threading.Lock()

    def run(self) -> str:
        """Return the check's result, or "unreachable" while it takes too long."""
        results: list[str] = []
        if not self._running.acquire(blocking=False):
            return UNREACHABLE

        def run() -> None:
            try:
                results.append(self._check())
            finally:
                self._running.release()

        thread = threading.Thread(target=run, name="health", daemon=True)
        thread.start()
        thread.join(CHECK_SECONDS)
        return results[0] if results else UNREACHABLE


def _database() -> str:
    global _migrated
    try:
        if _migrated:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
        else:
            executor = MigrationExecutor(connection)
            _migrated = not executor.migration_plan(executor.loader.graph.leaf_nodes())
    except Exception as error:  # whatever a driver raises, the probe answers
        logger.warning("The readiness probe cannot reach the database: %s", error)
        return UNREACHABLE
    finally:
        connection.close()
    return "ok"


_database_check = BoundedCheck(_database)


def _redis() -> str:
    if not settings.REDIS_URL:
        return "not configured"
    try:
        client(settings.REDIS_URL).ping()
    except redis.RedisError:
        return UNREACHABLE
    return "ok"
