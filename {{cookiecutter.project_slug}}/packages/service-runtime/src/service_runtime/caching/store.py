"""Results that a change of the database invalidates, computed once for concurrent requests.

Keys and invalidation are those of cacheops' INSIDEOUT mode. A result is stored with a checksum of
the stamps of its dependencies. A change deletes a stamp, and a result whose checksum does not match
the current stamps is a miss. One MGET reads a result and its stamps.

A result is stored only if its stamps have not changed since before it was computed.
"""

import json
import time
import uuid
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import redis
from cacheops.getset import dnfs_to_conj_keys, dnfs_to_schemes, join_stamps
from cacheops.redis import load_script, redis_client
from cacheops.transaction import transaction_states
from django.db import connections

from ..conf import settings
from ..redis import ThreadClients
from .dependencies import Conditions, Dependencies
from .keys import cacheops_prefix
from .signing import InvalidSignatureError, sign, unsign

# A longer computation may run twice. If its process dies, other requests wait that long at most.
LOCK_SECONDS = 10
LOCK_POLL_SECONDS = 0.02
LOCK_WAIT_SECONDS = 5.0
# The minimum TTL of a stamp that no stored result needs yet.
STAMP_SECONDS = 60
_UNLOCK = "if redis.call('get', KEYS[1]) == ARGV[1] then redis.call('del', KEYS[1]) end"


class Result(NamedTuple):
    """A result and how it was obtained.

    Attributes:
        value: the bytes.
        outcome: "hit"; "miss"; "collapsed" if another request computed it meanwhile; "bypass" if
            the cache must not be read or is unavailable.
    """

    value: bytes
    outcome: str


def get_or_compute(
    name: str, dependencies: Dependencies, compute: Callable[[], bytes], timeout: int | None = None
) -> Result:
    """Return the result stored under a name, or compute and store it.

    Of concurrent requests that miss, in all processes, one computes the result. The others wait for
    it, LOCK_WAIT_SECONDS at most.

    Args:
        name: identifies the result within the service.
        dependencies: the rows whose changes make the result stale.
        compute: computes the result. Its exceptions propagate.
        timeout: the TTL in seconds; the timeout of the dependencies if None.
    """
    if not settings.CACHEOPS_ENABLED or is_bypassed(connections):
        return Result(compute(), "bypass")
    prefix = cacheops_prefix()
    slot = Slot(prefix, prefix + name, dependencies.conditions)
    try:
        value = slot.read()
    except redis.RedisError:
        return Result(compute(), "bypass")
    if value is not None:
        return Result(value, "hit")
    try:
        value = slot.claim()
        if value is not None:
            return Result(value, "collapsed")
        slot.prepare()
        value = compute()
        if not is_bypassed(connections):
            slot.write(value, dependencies.timeout if timeout is None else timeout)
        return Result(value, "miss")
    finally:
        slot.release()


def is_bypassed(databases: Any) -> bool:
    """Return whether results must be neither read nor stored now.

    That is the case in a transaction that has written, whose rows are not visible to other clients,
    and in one that reads from a snapshot, which may be older than the latest invalidation.

    Args:
        databases: the aliases of the databases that are read.
    """
    for alias in databases:
        blocks = transaction_states[alias]  # cacheops' state of each open transaction.atomic()
        if blocks and (blocks.is_dirty() or _has_snapshot(connections[alias])):
            return True
    return False


def _has_snapshot(connection: Any) -> bool:
    if connection.vendor == "sqlite":  # IMMEDIATE locks out other writers
        return connection.transaction_mode not in {"IMMEDIATE", "EXCLUSIVE"}
    level = getattr(connection, "isolation_level", None)
    return getattr(level, "name", "READ_COMMITTED") != "READ_COMMITTED"


@cache
def _readers() -> ThreadClients:
    return ThreadClients(redis_client)


class Slot:
    """The place of one result in Redis.

    Args:
        prefix: cacheops' prefix, with which the keys of stamps start.
        key: the key of the result.
        conditions: the conditions of its dependencies.
    """

    def __init__(self, prefix: str, key: str, conditions: Conditions) -> None:
        self._prefix = prefix
        self._key = key
        self._conditions = conditions
        self._stamps = dnfs_to_conj_keys(prefix, conditions)
        # The checksum of the stamps at the last read; None if one was missing.
        self._checksum: str | None = None
        self._lock = f"{key}:lock"
        self._token = ""

    def read(self) -> bytes | None:
        """Return the result if it is there, fresh, and signed by this service.

        Raises:
            redis.RedisError: Redis is unavailable.
        """
        return self._verify(_readers().get().execute_command("MGET", self._key, *self._stamps))

    def _verify(self, values: list[bytes | None]) -> bytes | None:
        stored, *stamps = values
        self._checksum = None if None in stamps else join_stamps(stamps)
        if stored is None or self._checksum is None:
            return None
        checksum, _, signed = stored.partition(b":")
        if checksum.decode("latin-1") != self._checksum:
            return None
        try:
            return unsign(self._place, signed)
        except InvalidSignatureError:  # the next write replaces it
            return None

    @property
    def _place(self) -> bytes:
        """The key and the stamps of a result, which its signature covers."""
        return f"{self._key} {self._checksum}".encode()

    def claim(self) -> bytes | None:
        """Return the result that another request computes; None if this one has to.

        It waits for one other computation only. Where results do not last, because writes are as
        frequent as reads or because the computation fails, a queue would make it worse.
        """
        try:
            holder = self._acquire()
            if holder is None:
                return self.read()  # another request may have stored it before the lock was free
            value = self._wait(holder)
            if value is None:
                self._acquire()
        except redis.RedisError:
            return None
        return value

    def _acquire(self) -> bytes | None:
        """Take the lock, or return the token of the request that holds it."""
        self._token = uuid.uuid4().hex
        holder: Any = redis_client.set(self._lock, self._token, nx=True, get=True, ex=LOCK_SECONDS)
        # The command is repeated if its connection breaks, and may then find its own token.
        if holder in {None, self._token.encode()}:
            return None
        self._token = ""
        return holder  # type: ignore[no-any-return]

    def _wait(self, holder: bytes) -> bytes | None:
        """Return the result of the lock's holder; None if it fails or takes too long."""
        deadline = time.monotonic() + LOCK_WAIT_SECONDS
        while time.monotonic() < deadline:
            *values, current = redis_client.mget(self._key, *self._stamps, self._lock)
            value = self._verify(values)
            if value is not None or current != holder:
                return value
            time.sleep(LOCK_POLL_SECONDS)
        return None

    def release(self) -> None:
        """Release the lock, if this request may hold it."""
        if not self._token:
            return
        try:
            _unlock()(keys=[self._lock], args=[self._token])
        except redis.RedisError:
            if redis_client.breaker.is_open:
                redis_client.breaker.repeat_on_recovery(redis.Redis.delete, self._lock)

    def prepare(self) -> None:
        """Create missing stamps before the computation, so that a change meanwhile shows."""
        if self._checksum is None:
            self._run_script(b"", STAMP_SECONDS, "no checksum, so only stamps are written")

    def write(self, value: bytes, timeout: int) -> None:
        """Store a result for some seconds, unless a stamp has changed since the last read."""
        if self._checksum is not None:
            self._run_script(sign(self._place, value), timeout, self._checksum)

    def _run_script(self, value: bytes, timeout: int, expected: str) -> None:
        """Store a value if the checksum of the stamps is as expected; else note the checksum."""
        schemes, stamps = json.dumps(dnfs_to_schemes(self._conditions)), json.dumps(self._stamps)
        # The value of new stamps: unique, whatever seeds `random`.
        stamp = uuid.uuid4().hex
        arguments = [value, schemes, stamps, timeout, stamp, expected]
        try:
            store = load_script("cache_thing_insideout")
            checksum: bytes | None = store(keys=[self._prefix, self._key], args=arguments)
        except redis.RedisError:
            return
        if checksum is not None:
            self._checksum = checksum.decode()


@cache
def _unlock() -> Any:
    return redis_client.register_script(_UNLOCK)
