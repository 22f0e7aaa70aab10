"""Results in Redis: their keys, their stamps and their locks.

Keys and invalidation are those of cacheops' INSIDEOUT mode. Redis has a stamp, a random value, for
each condition that a result depends on. The result is stored with a checksum of its stamps. A write
deletes the stamps of the conditions that it affects, and a result whose checksum does not match the
current stamps is a miss. One MGET reads a result and its stamps.

A result is stored only if its stamps have not changed since before it was computed. Otherwise a
write during the computation could leave a stale result.
"""

import json
import time
import uuid
from functools import cache
from typing import Any

import redis
from cacheops.getset import dnfs_to_conj_keys, dnfs_to_schemes, join_stamps
from cacheops.redis import load_script, redis_client

from ..redis import ThreadClients
from .dependencies import Conditions
from .signing import SIZE, InvalidSignatureError, sign, unsign

# The TTL of the lock, which frees the lock of a process that died. A computation that takes longer
# can run twice.
LOCK_SECONDS = 10
LOCK_POLL_SECONDS = 0.02
# How long a request waits for another one's computation before it computes the result itself.
LOCK_WAIT_SECONDS = 5.0
# The minimum TTL of stamps that are created before the computation. `write` extends it. If a stamp
# expires during a longer computation, the result is not stored.
STAMP_SECONDS = 60
_UNLOCK = "if redis.call('get', KEYS[1]) == ARGV[1] then redis.call('del', KEYS[1]) end"


@cache
def readers() -> ThreadClients:
    """Return the clients that read results."""
    return ThreadClients(redis_client)


def verify(key: str, values: list[bytes | None]) -> tuple[bytes | None, str | None]:
    """Return a result, and the checksum of its stamps.

    The result is None if it is missing, stale or not signed by this service. The checksum is None
    if a stamp is missing.

    Args:
        key: the key of the result.
        values: what Redis has stored for `Slot.keys`.
    """
    stored, *stamps = values
    if None in stamps:
        return None, None
    current: str = join_stamps(stamps)
    if stored is None:
        return None, current
    if not stored.startswith(f"{current}:".encode()):
        return None, current
    return signed_value(key, stored), current


def signed_value(key: str, stored: bytes | None) -> bytes | None:
    """Return a result, stale or not; None if there is none that this service has signed."""
    checksum, _, signed = (stored or b"").partition(b":")
    try:
        return unsign(_place(key, checksum.decode("latin-1")), signed)
    except InvalidSignatureError:  # the next write replaces it
        return None


# The length of the start of a stored result: a checksum, a colon and a signature. Results at one
# key are equal if their starts are.
START = 40 + 1 + SIZE


def _place(key: str, checksum: str) -> bytes:
    """What the signature covers in addition to the value: the key and the stamps."""
    return f"{key} {checksum}".encode()


def lock_of(key: str) -> str:
    """Return the key that exists while a request computes the result with a key."""
    return f"{key}:lock"


class Slot:
    """One result in Redis, with its stamps and its lock.

    Args:
        prefix: cacheops' prefix, which starts the keys of stamps.
        key: the key of the result.
        conditions: the conditions of its dependencies.
    """

    def __init__(self, prefix: str, key: str, conditions: Conditions) -> None:
        self._prefix = prefix
        self._key = key
        self._conditions = conditions
        self._stamps = dnfs_to_conj_keys(prefix, conditions)
        # Of the result and its stamps, for one MGET.
        self.keys = [key, *self._stamps]
        # The checksum of the stamps at the last read; None if one was missing.
        self._checksum: str | None = None
        self._stored: bytes | None = None
        self._lock = lock_of(key)
        self._token = ""

    def read(self) -> bytes | None:
        """Return the result, or None if it is missing, stale or not signed by this service.

        Raises:
            redis.RedisError: Redis is unavailable.
        """
        return self._verify(readers().execute("MGET", *self.keys))

    def _verify(self, values: list[bytes | None]) -> bytes | None:
        value, self._checksum = verify(self._key, values)
        self._stored = values[0]
        return value

    def former(self) -> bytes | None:
        """Return the result that the last read has found, even if it is stale."""
        return signed_value(self._key, self._stored)

    def claim(self, former: bytes | None = None) -> bytes | None:
        """Return the result of another request; None if the caller has to compute it.

        While another request computes it, a former result is returned at once. Without one, the
        caller waits, for one other computation only. If no computation stores a valid result,
        because it fails or because of frequent writes, waiting for the next one would only queue
        requests.
        """
        try:
            holder = self._acquire()
            if holder is None:
                return self.read()  # the lock's last holder may have stored it after our read
            if former is not None:
                return former
            value = self._wait(holder)
            if value is None:
                self._acquire()
        except redis.RedisError:
            return None
        return value

    def _acquire(self) -> bytes | None:
        """Take the lock and return None, or return the token of the request that holds it."""
        self._token = uuid.uuid4().hex
        holder: Any = redis_client.set(self._lock, self._token, nx=True, get=True, ex=LOCK_SECONDS)
        # If the connection breaks, the command is repeated, and can then return our own token.
        if holder in {None, self._token.encode()}:
            return None
        self._token = ""
        return holder  # type: ignore[no-any-return]

    def _wait(self, holder: bytes) -> bytes | None:
        """Return the result of the lock's holder; None if it stores none or takes too long."""
        deadline = time.monotonic() + LOCK_WAIT_SECONDS
        while time.monotonic() < deadline:
            *values, current = redis_client.mget(*self.keys, self._lock)
            value = self._verify(values)
            if value is not None or current != holder:
                return value
            time.sleep(LOCK_POLL_SECONDS)
        return None

    def release(self) -> None:
        """Release the lock if this request holds it, or if a failed call may have taken it."""
        if not self._token:
            return
        try:
            _unlock()(keys=[self._lock], args=[self._token])
        except redis.RedisError:
            if redis_client.breaker.is_open:
                redis_client.breaker.repeat_on_recovery(redis.Redis.delete, self._lock)

    def prepare(self) -> None:
        """Create missing stamps, so that a write during the computation can delete them."""
        if self._checksum is None:
            self._run_script(b"", STAMP_SECONDS, "no checksum, so only stamps are written")

    def write(self, value: bytes, timeout: int) -> None:
        """Store a result with a TTL in seconds, unless a stamp has changed since the last read."""
        if self._checksum is not None:
            self._run_script(
                sign(_place(self._key, self._checksum), value), timeout, self._checksum
            )

    def _run_script(self, value: bytes, timeout: int, expected: str) -> None:
        """Store a value if the stamps have the expected checksum; else remember their checksum."""
        schemes, stamps = json.dumps(dnfs_to_schemes(self._conditions)), json.dumps(self._stamps)
        # The value of new stamps. It has to be unique even where an application seeds `random`.
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
