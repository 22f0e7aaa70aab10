"""What the probes report: is this process to be kept, and is it to be sent requests."""

import logging
from typing import Any

import redis
from django.conf import settings
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from .redis import client

logger = logging.getLogger(__name__)
_migrated = False


def readiness(*, draining: bool) -> tuple[bool, dict[str, Any]]:
    """Return whether this process should get requests, and what is known of what it needs.

    It gates on two things only: the process is not shutting down, and the schema was up to date
    once. The database and Redis are reported and do not gate, since every pod shares them: taking
    all pods out of service at once would make their outage worse.
    """
    database = _database()
    ready = _migrated and not draining
    body = {
        "status": "draining" if draining else "ready" if ready else "not ready",
        "migrated": _migrated,
        "database": database,
        "redis": _redis(),
    }
    return ready, body


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
        return "unreachable"
    finally:
        connection.close()
    return "ok"


def _redis() -> str:
    if not settings.REDIS_URL:
        return "not configured"
    try:
        client(settings.REDIS_URL).ping()
    except redis.RedisError:
        return "unreachable"
    return "ok"
