"""Count requests in sliding windows, in Redis or in this process.

Both limiters store a ring of 21 counters per window. Each counter is for a bucket: a twentieth of
the period. The ring therefore covers at least the whole period before a request, and no interval of
that length contains more admitted requests than the limit. Memory per window is constant. In
exchange, an admitted request can count for up to 5 % longer than the period, since a bucket expires
as a whole.

If the clock jumps forward, requests expire as if that time had passed. If it goes back by up to a
period, the ring does not change until the clock has caught up. If it goes back further, the
counters keep their age. Whenever it goes back, no more than the limit is admitted, and no request
is denied for more than one extra period.
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
    """One window in which a request must not exceed the limit.

    Attributes:
        key: the key of the window's counters.
        limit: the maximum number of requests in the window, or the maximum sum of their costs.
        period: the window's length in seconds.
        shadow: 0 for a window that can deny requests. The windows of a shadow rate, which only
            reports, have the same positive number.
    """

    key: str
    limit: int
    period: int
    shadow: int = 0


class Outcome(NamedTuple):
    """The outcome of a request in one window.

    Attributes:
        fits: whether the limit allows it. It is counted only if no window denies it.
        remaining: the capacity that is left in the window.
        wait: the seconds until the same request would fit; 0 if it fits now.
        more: the seconds until `remaining` grows; 0 if the window is empty.
        error: why the window is unavailable, while others of the request are available.
    """

    fits: bool
    remaining: int
    wait: float
    more: float
    error: redis.RedisError | None = None


class Limiter(Protocol):
    """Count requests in windows."""

    @property
    def is_available(self) -> bool:
        """Whether every window is available, as far as is known."""
        ...

    def take(self, limits: Sequence[Limit], cost: int = 1) -> list[Outcome]:
        """Count a request in all of the windows if it fits each of them, else in none.

        Shadow windows do not deny it. If it does not fit one window of a shadow rate, it is counted
        in none of that rate.

        Args:
            limits: the windows.
            cost: how many requests this one counts as. 0 counts nothing. If the cost exceeds the
                limit, the request needs an empty window and fills it.

        Returns:
            an outcome for each window.
        """
        ...

    def reset(self, keys: Sequence[str]) -> int:
        """Delete the counters of the keys and return how many existed."""
        ...


class RingScript:
    """Run `ring.lua` for windows on one server."""

    def __init__(self, script: str = RING_SCRIPT) -> None:
        self._script = script
        self._sha = hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()

    def run(self, execute: Callable[..., Any], limits: Sequence[Limit], cost: int) -> list[Outcome]:
        """Return the outcomes of a request; a negative cost is checked, but not counted.

        Args:
            execute: sends a command to the server and returns its reply.
            limits: the windows.
            cost: how many requests this one counts as.
        """
        arguments: list[str | int] = [limit.key for limit in limits]
        arguments.append(cost)
        for limit in limits:
            arguments += limit[1:]
        try:
            reply = execute("EVALSHA", self._sha, len(limits), *arguments)
        except redis.exceptions.NoScriptError:  # Redis has restarted or flushed its scripts
            reply = execute("EVAL", self._script, len(limits), *arguments)
        return [
            Outcome(bool(fits), remaining, wait / 1e6, more / 1e6)
            for fits, remaining, wait, more in zip(*[iter(reply)] * 4, strict=True)
        ]


class RedisLimiter:
    """Count in Redis, for any number of processes, with one script call per request.

    The clock is that of Redis, so the clocks of the processes do not matter.

    Raises:
        redis.RedisError: every method raises it if Redis is unavailable or rejects the call.
    """

    def __init__(self, client: redis.Redis, script: str = RING_SCRIPT) -> None:
        self._client = client
        self.clients = ThreadClients(client)
        self._ring = RingScript(script)

    @property
    def is_available(self) -> bool:
        """See `Limiter.is_available`."""
        return not getattr(self._client.get_retry(), "is_open", False)  # the circuit breaker's

    def take(self, limits: Sequence[Limit], cost: int = 1) -> list[Outcome]:
        """See `Limiter.take`."""
        return self._ring.run(self.clients.execute, limits, cost)

    def reset(self, keys: Sequence[str]) -> int:
        """See `Limiter.reset`."""
        deleted: Any = self._client.delete(*keys)
        return int(deleted)


class _Ring:
    """The counters of one window, the newest first; the same algorithm as in `ring.lua`."""

    __slots__ = ("bucket", "counts", "width")

    def __init__(self, period: int) -> None:
        self.width = period * 1_000_000 // BUCKETS  # microseconds
        self.bucket = 0
        self.counts = [0] * (BUCKETS + 1)

    def advance(self, now: int) -> None:
        """Make the current bucket the newest one."""
        bucket = now // self.width
        age = bucket - self.bucket
        if -BUCKETS <= age < 0:
            return
        self.bucket = bucket
        self.counts = ([0] * min(age, BUCKETS + 1) + self.counts)[: BUCKETS + 1]

    def end(self, age: int) -> int:
        """Return the time at which the bucket of an age expires, in microseconds of the clock."""
        return (self.bucket - age + BUCKETS + 1) * self.width

    def wait(self, limit: int, charge: int, now: int) -> int:
        """Return the microseconds until a request with this charge fits; 0 if it fits now."""
        used, wait = sum(self.counts), 0
        for age in range(BUCKETS, -1, -1):
            if used + charge <= limit:
                break
            used -= self.counts[age]
            wait = self.end(age) - now
        return wait

    def outcome(self, limit: int, wait: int, now: int) -> Outcome:
        """Return the outcome of a request that fits after a wait in microseconds."""
        ages = [age for age, count in enumerate(self.counts) if count]
        more = self.end(ages[-1]) - now if ages else 0
        return Outcome(not wait, max(0, limit - sum(self.counts)), wait / 1e6, more / 1e6)


class LocalLimiter:
    """Count in the memory of this process, for use without Redis. It is thread-safe.

    Args:
        clock: returns the time in microseconds.
        max_keys: the maximum number of windows; the least recently used are evicted first.
    """

    is_available = True

    def __init__(
        self, clock: Callable[[], int] = lambda: time.time_ns() // 1000, max_keys: int = 50_000
    ) -> None:
        self._clock = clock
        self._max_keys = max_keys
        self._rings: OrderedDict[str, _Ring] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, limits: Sequence[Limit], cost: int = 1) -> list[Outcome]:
        """See `Limiter.take`."""
        with self._lock:
            now = self._clock()
            rings = [self._ring(limit, now) for limit in limits]
            pairs = list(zip(limits, rings, strict=True))
            waits = [ring.wait(limit.limit, min(cost, limit.limit), now) for limit, ring in pairs]
            denied = {limit.shadow for limit, wait in zip(limits, waits, strict=True) if wait}
            if 0 not in denied:
                counted = [pair for pair in pairs if pair[0].shadow not in denied]
                # Limits with the same key share a ring, which counts the request once.
                charges = {ring: min(cost, limit.limit) for limit, ring in counted}
                for ring, charge in charges.items():
                    ring.counts[0] += charge
            self._evict(now)
            return [
                ring.outcome(limit.limit, wait, now)
                for (limit, ring), wait in zip(pairs, waits, strict=True)
            ]

    def reset(self, keys: Sequence[str]) -> int:
        """See `Limiter.reset`."""
        with self._lock:
            return sum(self._rings.pop(key, None) is not None for key in keys)

    def _ring(self, limit: Limit, now: int) -> _Ring:
        ring = self._rings.setdefault(limit.key, _Ring(limit.period))
        self._rings.move_to_end(limit.key)
        ring.advance(now)
        return ring

    def _evict(self, now: int) -> None:
        """Evict the least recently used windows while they are expired or exceed max_keys."""
        while self._rings:
            oldest = next(iter(self._rings))
            if len(self._rings) <= self._max_keys and self._rings[oldest].end(0) > now:
                return
            del self._rings[oldest]
