"""What the probes report: is this process to be kept, and is it to be sent requests."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import redis
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from ..conf import settings
from ..redis import client

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
    """Runs a check in a thread and waits no longer than CHECK_SECONDS; one at a time, for all."""

    def __init__(self, check: Callable[[], str]) -> None:
        self._check = check
        self._lock = threading.Lock()
        self._running: Future[str] = Future()
        self._running.set_result(UNREACHABLE)

    def run(self) -> str:
        """Return the result of a check, begun already or now; "unreachable" if it takes too long.

        Raises:
            RuntimeError: no thread is to be had.
        """
        with self._lock:
            if self._running.done():
                begun: Future[str] = Future()
                arguments = (begun,)
                threading.Thread(
                    target=self._complete, args=arguments, name="health", daemon=True
                ).start()
                self._running = begun
            running = self._running
        try:
            return running.result(CHECK_SECONDS)
        except TimeoutError:
            return UNREACHABLE

    def _complete(self, begun: "Future[str]") -> None:
        try:
            begun.set_result(self._check())
        except BaseException as error:
            begun.set_exception(error)


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
        # No PING: a user whose rights are for another prefix may do that as well.
        client(settings.REDIS_URL).exists(f"{settings.CACHE_KEY_PREFIX}:readyz")
    except redis.RedisError:
        return UNREACHABLE
    return "ok"
