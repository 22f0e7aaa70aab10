"""Results that a change of the database drops, computed once however many ask for them.

The keys, and what invalidates them, are those of cacheops in its INSIDEOUT mode: a result is kept
beside a checksum of the stamps of what it depends on, a change removes a stamp, and a result whose
checksum is not that of the present stamps is no longer one. One MGET reads a result and its stamps.
"""

import json
import random
import time
import uuid
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cache, cached_property
from typing import Any, NamedTuple

import redis
from cacheops.getset import dnfs_to_conj_keys, dnfs_to_schemes, join_stamps
from cacheops.redis import load_script, redis_client
from cacheops.transaction import transaction_states
from cacheops.tree import dnfs
from django.conf import settings
from django.db import connections
from django.db.models import Model, QuerySet

from ..redis import ThreadClients
from .cacheops import LOCK_POLL_SECONDS, LOCK_WAIT_SECONDS
from .keys import cacheops_prefix

# A computation that takes longer may be made twice; one whose process died holds others up so long.
LOCK_SECONDS = 10


class Dependencies(NamedTuple):
    """What a result is made of.

    Attributes:
        conditions: for each table, the conditions that a changed row has to meet.
        timeout: the smallest of the models' CACHEOPS timeouts, in seconds.
    """

    conditions: dict[str, list[dict[str, Any]]]
    timeout: int

    @classmethod
    def of(cls, samples: Iterable[type[Model] | QuerySet[Any]]) -> "Dependencies":
        """Find them for models (any row) and querysets (rows that meet its `=` and `in`).

        Raises:
            ImproperlyConfigured: the CACHEOPS setting has nothing for a model.
        """
        conditions: dict[str, list[dict[str, Any]]] = {}
        timeouts = []
        for sample in samples:
            found, timeout = _of_model(sample) if isinstance(sample, type) else _of_rows(sample)
            timeouts.append(timeout)
            for table, conjunctions in found.items():
                conditions.setdefault(table, []).extend(conjunctions)
        return cls(conditions, min(timeouts, default=0))


@cache
def _of_model(model: type[Model]) -> tuple[dict[str, list[dict[str, Any]]], int]:
    _, timeout = _of_rows(model._base_manager.all())
    table = model._meta.concrete_model._meta.db_table  # type: ignore[union-attr]
    return {table: [{}]}, timeout


def _of_rows(queryset: Any) -> tuple[dict[str, list[dict[str, Any]]], int]:
    queryset._require_cacheprofile()
    return dnfs(queryset), queryset._cacheprofile["timeout"]


class Result(NamedTuple):
    """A result, and what had to be done for it.

    Attributes:
        value: the bytes.
        outcome: "hit"; "miss", "collapsed" if another request's computation was waited for;
            "bypass" where nothing may be read from the cache or the cache does not answer.
    """

    value: bytes
    outcome: str


def get_or_compute(
    name: str, dependencies: Dependencies, compute: Callable[[], bytes], timeout: int | None = None
) -> Result:
    """Return what is kept under a name, or compute and keep it.

    Among requests that miss at the same time, in whatever process, one computes and the others wait
    for it, for LOCK_WAIT_SECONDS at most. A result is not kept if something that it depends on has
    changed while it was computed.

    Args:
        name: identifies the result among all of the service's.
        dependencies: what makes the result stale.
        compute: makes the result. What it raises is raised.
        timeout: seconds to keep it; that of the dependencies when None.
    """
    if not settings.CACHEOPS_ENABLED or transaction_states.is_dirty(connections):
        return Result(compute(), "bypass")
    slot = _Slot(name, dependencies, dependencies.timeout if timeout is None else timeout)
    try:
        value = slot.read()
    except redis.RedisError:
        return Result(compute(), "bypass")
    if value is not None:
        return Result(value, "hit")
    try:
        value = slot.claim()
        return Result(slot.fill(compute), "miss") if value is None else Result(value, "collapsed")
    finally:
        slot.release()


@cache
def _readers() -> ThreadClients:
    return ThreadClients(redis_client)


class _Slot:
    """Where one result is kept, or missing."""

    def __init__(self, name: str, dependencies: Dependencies, timeout: int) -> None:
        self._prefix = cacheops_prefix()
        self._key = self._prefix + name
        self._dependencies = dependencies
        self._timeout = timeout
        self._invalidators = dnfs_to_conj_keys(self._prefix, dependencies.conditions)

    @cached_property
    def _lock(self) -> Any:
        return redis_client.lock(f"{self._key}:lock", timeout=LOCK_SECONDS)

    def read(self) -> bytes | None:
        """Return the result, if there is one and it is fresh."""
        execute = _readers().get().execute_command
        return self._checked(execute("MGET", self._key, *self._invalidators))

    def _checked(self, values: list[bytes | None]) -> bytes | None:
        kept, *stamps = values
        if kept is None or None in stamps:
            return None
        checksum, _, value = kept.partition(b":")
        return value if checksum.decode() == join_stamps(stamps) else None

    def claim(self) -> bytes | None:
        """Return what another request computes just now; None if this one has to.

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
        if redis_client.get(self._lock.name) == token.encode():
            self._lock.local.token = token.encode()
            return True
        return False

    def _wait(self) -> bytes | None:
        """Return what the holder of the lock keeps; None if that is nothing, or takes too long."""
        holder = redis_client.get(self._lock.name)
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

    def fill(self, compute: Callable[[], bytes]) -> bytes:
        """Compute the result, and keep it unless it is stale already."""
        # Stamps that are there before show afterwards whether one was removed.
        checksum = self._write(b"", "of nothing, so that only the stamps are written")
        value = compute()
        if checksum and not transaction_states.is_dirty(connections):
            self._write(value, checksum.decode())
        return value

    def _write(self, value: bytes, checksum: str) -> bytes | None:
        """Keep a value if the stamps have this checksum; return theirs if they have not."""
        conditions = self._dependencies.conditions
        with suppress(redis.RedisError):
            answer: bytes | None = load_script("cache_thing_insideout")(
                keys=[self._prefix, self._key],
                args=[
                    value,
                    json.dumps(dnfs_to_schemes(conditions)),
                    json.dumps(self._invalidators),
                    self._timeout,
                    random.random(),  # noqa: S311 - a new stamp has to differ from the one before
                    checksum,
                ],
            )
            return answer
        return None

    def release(self) -> None:
        """Let others compute, if this request was the one to."""
        try:
            self._lock.release()
        except redis.exceptions.LockError:  # it is another's, or was held for too long
            return
        except redis.RedisError as error:
            self._forget_lock(error)
