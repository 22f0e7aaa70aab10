"""Results that a change of the database invalidates, computed once for concurrent requests.

The keys, and what invalidates them, are those of cacheops in its INSIDEOUT mode: a result is stored
next to a checksum of the stamps of its dependencies, a change removes a stamp, and a result whose
checksum does not match the present stamps is a miss. One MGET reads a result and its stamps.

A result is stored only if no stamp has changed since before it was computed.
"""

import json
import time
import uuid
from collections.abc import Callable
from functools import cache, cached_property
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

# A computation that takes longer may run twice; if its process dies, others wait so long.
LOCK_SECONDS = 10
LOCK_POLL_SECONDS = 0.02
LOCK_WAIT_SECONDS = 5.0
# A stamp lives at least so long before a result needs it for longer.
STAMP_SECONDS = 60


class Result(NamedTuple):
    """A result, and how it was obtained.

    Attributes:
        value: the bytes.
        outcome: "hit"; "miss"; "collapsed" if another request's computation was waited for;
            "bypass" where the cache must not be read or is unavailable.
    """

    value: bytes
    outcome: str


def get_or_compute(
    name: str, dependencies: Dependencies, compute: Callable[[], bytes], timeout: int | None = None
) -> Result:
    """Return the result stored under a name, or compute and store it.

    Among requests that miss at the same time, in whatever process, one computes and the others wait
    for it, for LOCK_WAIT_SECONDS at most.

    Args:
        name: identifies the result among all of the service's.
        dependencies: whose changes make the result stale.
        compute: computes the result. Its exceptions propagate.
        timeout: seconds to store it; the timeout of the dependencies when None.
    """
    if not settings.CACHEOPS_ENABLED or is_bypassed(connections):
        return Result(compute(), "bypass")
    timeout = dependencies.timeout if timeout is None else timeout
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
            slot.write(value, timeout)
        return Result(value, "miss")
    finally:
        slot.release()


def is_bypassed(databases: Any) -> bool:
    """Return whether results of now must be neither read nor stored.

    That is inside a transaction which has written, whose rows nobody else may see, and inside one
    that reads from a snapshot, which may be older than what was invalidated since.

    Args:
        databases: the aliases of the databases that are read.
    """
    for alias in databases:
        blocks = transaction_states[alias]  # what is kept of each transaction.atomic() around this
        if blocks and (blocks.is_dirty() or _has_snapshot(connections[alias])):
            return True
    return False


def _has_snapshot(connection: Any) -> bool:
    if connection.vendor == "sqlite":  # under IMMEDIATE nobody else writes meanwhile
        return connection.transaction_mode not in {"IMMEDIATE", "EXCLUSIVE"}
    level = getattr(connection, "isolation_level", None)
    return getattr(level, "name", "READ_COMMITTED") != "READ_COMMITTED"


@cache
def _readers() -> ThreadClients:
    return ThreadClients(redis_client)


class Slot:
    """The place of one result in Redis.

    Args:
        prefix: cacheops' prefix, with which the keys of stamps begin.
        key: the result's key.
        conditions: of its dependencies.
    """

    def __init__(self, prefix: str, key: str, conditions: Conditions) -> None:
        self._prefix = prefix
        self._key = key
        self._conditions = conditions
        self._invalidators = dnfs_to_conj_keys(prefix, conditions)
        # Of the stamps when they were last read; None while one is missing.
        self._checksum: str | None = None

    @cached_property
    def _lock(self) -> Any:
        return redis_client.lock(f"{self._key}:lock", timeout=LOCK_SECONDS)

    def read(self) -> bytes | None:
        """Return the result if it is there, fresh, and signed by this service.

        Raises:
            redis.RedisError: Redis is unavailable.
        """
        execute = _readers().get().execute_command
        return self._checked(execute("MGET", self._key, *self._invalidators))

    def _checked(self, values: list[bytes | None]) -> bytes | None:
        stored, *stamps = values
        self._checksum = None if None in stamps else join_stamps(stamps)
        if stored is None or self._checksum is None:
            return None
        checksum, _, signed = stored.partition(b":")
        if checksum.decode("latin-1") != self._checksum:
            return None
        try:
            return unsign(self._place, signed)
        except InvalidSignatureError:
            self.discard()
            return None

    @property
    def _place(self) -> bytes:
        """The key and the stamps of a result, to which its signature binds it."""
        return f"{self._key} {self._checksum}".encode()

    def discard(self) -> None:
        """Remove a result that cannot be read.

        Raises:
            redis.RedisError: Redis is unavailable.
        """
        redis_client.plain.unlink(self._key)

    def claim(self) -> bytes | None:
        """Return the result that another request is computing; None if this one has to.

        Waits for one other computation and no more: where results do not last, because writing is
        as frequent as reading or because computing fails, queueing up would make it worse.
        """
        try:
            if self._acquire():
                return self.read()  # one may have finished between the first look and the lock
            value = self._wait()
            if value is None:
                self._acquire()
        except redis.RedisError as error:
            self._forget_lock(error)
            return None
        return value

    def _acquire(self) -> bool:
        token = uuid.uuid4().hex
        if self._lock.acquire(blocking=False, token=token):
            return True
        # A command whose connection broke is sent again, and may find what it has done itself.
        if redis_client.plain.get(self._lock.name) == token.encode():
            self._lock.local.token = token.encode()
            return True
        return False

    def _wait(self) -> bytes | None:
        """Return the result of the lock's holder; None if there is none, or it takes too long."""
        holder = redis_client.plain.get(self._lock.name)
        deadline = time.monotonic() + LOCK_WAIT_SECONDS
        while time.monotonic() < deadline:
            *values, current = redis_client.mget(self._key, *self._invalidators, self._lock.name)
            value = self._checked(values)
            if value is not None or current is None or current != holder:
                return value
            time.sleep(LOCK_POLL_SECONDS)
        return None

    def _forget_lock(self, error: redis.RedisError) -> None:
        """Have the lock removed when Redis is back, if it may have taken it without saying so."""
        if not isinstance(error.__cause__, redis.ResponseError):
            # Not as UNLINK, which is for results: a Redis that took the other's place has no lock.
            redis_client.lost.add(("DEL", self._lock.name))

    def release(self) -> None:
        """Let others compute, if this request was the one to."""
        if "_lock" not in self.__dict__:
            return
        try:
            self._lock.release()
        except redis.exceptions.LockError:  # it is another's, or was held for too long
            return
        except redis.RedisError as error:
            self._forget_lock(error)

    def prepare(self) -> None:
        """Create the stamps that are missing, before a result is computed: a removed one shows."""
        if self._checksum is None:
            self._run_script(b"", STAMP_SECONDS, "of nothing, so that only stamps are written")

    def write(self, value: bytes, timeout: int) -> None:
        """Store a result for some seconds, unless a stamp has changed since they were last read."""
        if self._checksum is not None:
            self._run_script(sign(self._place, value), timeout, self._checksum)

    def _run_script(self, value: bytes, timeout: int, expected: str) -> None:
        """Store a value if the stamps have the expected checksum, else learn which they have."""
        try:
            checksum: bytes | None = load_script("cache_thing_insideout")(
                keys=[self._prefix, self._key],
                args=[
                    value,
                    json.dumps(dnfs_to_schemes(self._conditions)),
                    json.dumps(self._invalidators),
                    timeout,
                    uuid.uuid4().hex,  # a new stamp, unlike any before whatever seeds `random`
                    expected,
                ],
            )
        except redis.RedisError:
            return
        if checksum is not None:
            self._checksum = checksum.decode()
