"""Readiness: whether this process should receive requests."""

import logging
from mmap import mmap
from typing import Any

import redis
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from ..conf import settings
from ..database import is_busy
from ..redis import client, cluster_of, is_cluster, slot_of
from ..single_flight import SingleFlight

logger = logging.getLogger(__name__)
CHECK_SECONDS = 2.0  # well under the timeout of the probes
UNREACHABLE = "unreachable"
BUSY = "busy"  # requests use all connections of this process
# One byte that all workers share: a worker that starts while the database is down is ready too.
_migrated = mmap(-1, 1)


def readiness(*, draining: bool) -> tuple[bool, dict[str, Any]]:
    """Return whether this process should receive requests, and the state of its dependencies.

    A process is ready if it is not shutting down and the schema was up to date once. The database
    and Redis are reported only: all pods share them, and removing every pod from service would make
    their outage worse. For the same reason a database that hangs does not delay the response.
    """
    try:
        database = _database_check.run(CHECK_SECONDS)
    except (TimeoutError, RuntimeError):  # or no thread can be started
        database = UNREACHABLE
    migrated = bool(_migrated[0])
    ready = migrated and not draining
    status = "draining" if draining else "ready" if ready else "not ready"
    body = {"status": status, "migrated": migrated, "database": database, "redis": _redis()}
    return ready, body


def _database() -> str:
    try:
        if _migrated[0]:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
        else:
            executor = MigrationExecutor(connection)
            _migrated[0] = not executor.migration_plan(executor.loader.graph.leaf_nodes())
    except Exception as error:  # drivers raise errors of their own; the probe must get a response
        if is_busy(error):
            return BUSY
        logger.warning("The readiness probe cannot reach the database: %s", error)
        return UNREACHABLE
    finally:
        connection.close()
    return "ok"


_database_check = SingleFlight(_database, "health")


def _redis() -> str:
    if not settings.REDIS_URL:
        return "not configured"
    return "ok" if is_reachable(settings.REDIS_URL) else UNREACHABLE


def is_reachable(url: str) -> bool:
    """Return whether Redis accepts this service's commands; waits for one timeout per outage.

    Args:
        url: a server, or a cluster, of which one node is asked.
    """
    # Not PING: a user with rights to another prefix may run it too.
    key = f"{settings.CACHE_KEY_PREFIX}:readyz"
    try:
        if is_cluster(url):
            cluster_of(url).execute(slot_of(key), "EXISTS", key)
        else:
            client(url).exists(key)
    except redis.RedisError:
        return False
    return True
