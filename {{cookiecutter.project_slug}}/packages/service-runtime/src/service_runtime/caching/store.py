"""Cached results that database writes invalidate; concurrent misses are coalesced."""

import math
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import redis
from cacheops.redis import redis_client
from cacheops.transaction import transaction_states
from django.db import connections

from ..conf import settings
from .dependencies import Dependencies
from .keys import Server, cacheops_prefix
from .slots import Slot


class Result(NamedTuple):
    """A result and how it was obtained.

    Attributes:
        value: the result.
        outcome: "hit"; "miss" if this request computed it; "collapsed" if it waited for another
            request that did; "stale" if another request was just computing a newer one; "bypass" if
            the cache must not be used or is unavailable.
    """

    value: bytes
    outcome: str


def get_or_compute(
    name: str,
    dependencies: Dependencies,
    compute: Callable[[], bytes],
    timeout: int | None = None,
    stale: float = 0,
) -> Result:
    """Return the result stored under a name, or compute and store it.

    If several requests miss at the same time, in any number of processes, one computes the result.
    The others wait for it, LOCK_WAIT_SECONDS at most.

    Args:
        name: identifies the result within the service.
        dependencies: the rows whose changes make the result stale.
        compute: computes the result. Its exceptions propagate.
        timeout: the TTL in seconds; the timeout of the dependencies if None.
        stale: for how many seconds after it was invalidated a result may be returned, while another
            request computes the next one (stale-while-revalidate, RFC 5861).
    """
    if not settings.CACHEOPS_ENABLED or is_bypassed(connections):
        return Result(compute(), "bypass")
    prefix = cacheops_prefix()
    key = prefix + name
    slot = Slot(prefix, key, dependencies.conditions)
    # Before the read, since another thread can find a newer result to be current.
    is_recent = bool(stale) and was_current(key, stale)
    try:
        value = slot.read()
    except redis.RedisError:
        return Result(compute(), "bypass")
    if value is not None:
        if stale:
            note_current(key)
        return Result(value, "hit")
    former = slot.former() if is_recent else None
    try:
        value = slot.claim(former)
        if value is not None:
            return Result(value, "collapsed" if value is not former else "stale")
        slot.prepare()
        value = compute()
        if not is_bypassed(connections):
            slot.write(value, dependencies.timeout if timeout is None else timeout)
        return Result(value, "miss")
    finally:
        slot.release()


def is_current_prefix(prefix: str) -> bool:
    """Return whether a prefix of cacheops names the server that any connection leads to now.

    A restarted server can have restored a result that was invalidated since its snapshot, and only
    cacheops' own connections notice a restart.
    """
    try:
        Server.verify(redis_client.breaker.connections)
    except redis.RedisError:
        return False
    return prefix == cacheops_prefix()


# When this process last found the result with a key to be current (monotonic seconds). Redis does
# not know when a result was invalidated; but then, it was so long ago at most.
_current: dict[str, float] = {}
MAX_CURRENT = 10_000


def note_current(key: str) -> None:
    """Remember that the result with a key is current now."""
    if len(_current) >= MAX_CURRENT:
        _current.clear()  # the next requests wait for a current result
    _current[key] = time.monotonic()


def was_current(key: str, seconds: float) -> bool:
    """Return whether the result with a key was current so many seconds ago or later."""
    return time.monotonic() - _current.get(key, -math.inf) <= seconds


def is_bypassed(databases: Any) -> bool:
    """Return whether the current transaction must neither read nor store results.

    If it has written, its rows are not visible to other clients yet. If it reads from a snapshot,
    the snapshot can be older than the latest invalidation.

    Args:
        databases: the aliases of the databases that are read.
    """
    for alias in databases:
        blocks = transaction_states[alias]  # cacheops' state of each open transaction.atomic()
        if blocks and (blocks.is_dirty() or _has_snapshot(connections[alias])):
            return True
    return False


def _has_snapshot(connection: Any) -> bool:
    if connection.vendor == "sqlite":  # IMMEDIATE locks out writers: the snapshot is current
        return connection.transaction_mode not in {"IMMEDIATE", "EXCLUSIVE"}
    level = getattr(connection, "isolation_level", None)
    return getattr(level, "name", "READ_COMMITTED") != "READ_COMMITTED"
