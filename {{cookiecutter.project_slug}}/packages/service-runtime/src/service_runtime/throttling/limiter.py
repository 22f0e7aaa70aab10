"""Limiters: they count requests in rolling windows, in Redis or in this process.

Both keep for each window a ring of 21 counters, each for a bucket of a twentieth of the window's
period. Everything that was let in within the period before a request lies in those buckets, the
oldest counted whole. Hence no window of that length, wherever it begins, ever holds more than the
limit, at a constant price in memory; a slot returns up to 5 % of the period late.

A clock that goes forward frees what that time would have freed. One that goes back by up to a
period stands still until it has caught up; by more, the past keeps its distance to the present.
Neither lets anyone in beyond the limit, nor shuts anyone out for longer than a period more.
"""

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import redis

from ..redis import ThreadClients

BUCKETS = 20
RING_SCRIPT = Path(__file__).with_name("ring.lua").read_text(encoding="utf-8")


class Limit(NamedTuple):
    """One window that a request must fit into.

    Attributes:
        key: where it is counted.
        limit: requests, or the sum of their costs, that the window holds.
        period: the window's length in seconds.
        shadow: 0, or a number that windows of the same shadow rate share: they never refuse.
    """

    key: str
    limit: int
    period: int
    shadow: int = 0


class Outcome(NamedTuple):
    """What became of a request in one window.

    Attributes:
        fits: whether it fitted; it was counted if it fitted into all windows.
        remaining: what the window holds now.
        wait: seconds until the same request would fit, 0 if it did.
        more: seconds until more remains, 0 if nothing is used.
    """

    fits: bool
    remaining: int
    wait: float
    more: float


class Limiter(Protocol):
    """Counts requests in windows."""

    def take(self, limits: Sequence[Limit], cost: int = 1) -> list[Outcome]:
        """Count a request in all of the windows, or in none unless it fits into each.

        Args:
            limits: the windows, each with a key of its own.
            cost: what the request counts for. 0 counts nothing and only looks. More than a limit
                needs, and fills, the whole window.

        Returns:
            an outcome for each window.
        """
        ...

    def reset(self, keys: Sequence[str]) -> int:
        """Forget what was counted under the keys; return how many there were."""
        ...


class RedisLimiter:
    """Counts in Redis, for any number of processes: one script call for a request, by Redis' clock.

    Raises:
        redis.RedisError: from every method, when Redis does not answer or refuses.
    """

    def __init__(self, client: redis.Redis, script: str = RING_SCRIPT) -> None:
        self._client = client
        self._clients = ThreadClients(client)
        self._script = script
        self._sha = hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()

    def take(self, limits: Sequence[Limit], cost: int = 1) -> list[Outcome]:
        """See `Limiter.take`."""
        arguments: list[str | int] = [limit.key for limit in limits]
        arguments.append(cost)
        for limit in limits:
            arguments += limit[1:]
        execute = self._clients.get().execute_command
        try:
            answer = execute("EVALSHA", self._sha, len(limits), *arguments)
        except redis.exceptions.NoScriptError:  # a new Redis, or one that forgot its scripts
            answer = execute("EVAL", self._script, len(limits), *arguments)
        return [
            Outcome(bool(fits), remaining, wait / 1e6, more / 1e6)
            for fits, remaining, wait, more in zip(*[iter(answer)] * 4, strict=True)
        ]

    def reset(self, keys: Sequence[str]) -> int:
        """See `Limiter.reset`."""
        removed: Any = self._client.delete(*keys)
        return int(removed)


class _Ring:
    """The counters of one window, the newest first; `ring.lua` says how they are used."""

    __slots__ = ("bucket", "counts", "width")

    def __init__(self, period: int) -> None:
        self.width = period * 1_000_000 // BUCKETS  # microseconds
        self.bucket = 0
        self.counts = [0] * (BUCKETS + 1)

    def advance(self, now: int) -> None:
        """Let the bucket of the present be the newest."""
        bucket = now // self.width
        age = bucket - self.bucket
        if -BUCKETS <= age < 0:
            return
        age = max(0, min(age, BUCKETS + 1))
        self.bucket = bucket
        self.counts = ([0] * age + self.counts)[: BUCKETS + 1]

    def leaves(self, age: int) -> int:
        """Return when a bucket's requests cease to count, in microseconds of the clock."""
        return (self.bucket - age + BUCKETS + 1) * self.width

    def wait(self, limit: Limit, price: int, now: int) -> int:
        """Return the microseconds until a request of this price would fit, 0 if it does."""
        left, wait = sum(self.counts), 0
        for age in range(BUCKETS, -1, -1):
            if left + price <= limit.limit:
                break
            left -= self.counts[age]
            wait = self.leaves(age) - now
        return wait

    def more(self, now: int) -> int:
        """Return the microseconds until something ceases to count, 0 if nothing does."""
        ages = [age for age, count in enumerate(self.counts) if count]
        return self.leaves(ages[-1]) - now if ages else 0


class LocalLimiter:
    """Counts in this process alone, for use without Redis. Threads may share it.

    Args:
        clock: microseconds, as `time.time_ns() // 1000`.
        max_keys: windows to remember; beyond them, the ones that were used least recently are
            forgotten.
    """

    def __init__(
        self,
        clock: Callable[[], int] = lambda: time.time_ns() // 1000,
        max_keys: int = 50_000,
    ) -> None:
        self._clock = clock
        self._max_keys = max_keys
        self._rings: OrderedDict[str, _Ring] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, limits: Sequence[Limit], cost: int = 1) -> list[Outcome]:
        """See `Limiter.take`."""
        with self._lock:
            now = self._clock()
            rings = {limit.key: self._ring(limit, now) for limit in limits}
            waits = [rings[limit.key].wait(limit, min(cost, limit.limit), now) for limit in limits]
            refused = {limit.shadow for limit, wait in zip(limits, waits, strict=True) if wait}
            if cost and 0 not in refused:
                # Two limits of one key are two opinions of one window, which counts once.
                prices = {
                    limit.key: min(cost, limit.limit)
                    for limit in limits
                    if limit.shadow not in refused
                }
                for key, price in prices.items():
                    rings[key].counts[0] += price
                    self._rings[key] = rings[key]
                self._forget(now)
            return [
                Outcome(
                    not wait,
                    max(0, limit.limit - sum(rings[limit.key].counts)),
                    wait / 1e6,
                    rings[limit.key].more(now) / 1e6,
                )
                for limit, wait in zip(limits, waits, strict=True)
            ]

    def reset(self, keys: Sequence[str]) -> int:
        """See `Limiter.reset`."""
        with self._lock:
            return sum(self._rings.pop(key, None) is not None for key in keys)

    def _ring(self, limit: Limit, now: int) -> _Ring:
        ring = self._rings.get(limit.key)
        if ring is None:
            ring = _Ring(limit.period)
        else:
            self._rings.move_to_end(limit.key)
        ring.advance(now)
        return ring

    def _forget(self, now: int) -> None:
        """Drop what has ended among the least recently used, and what is too much."""
        while self._rings:
            oldest = next(iter(self._rings))
            if len(self._rings) <= self._max_keys and self._rings[oldest].leaves(0) > now:
                return
            del self._rings[oldest]
