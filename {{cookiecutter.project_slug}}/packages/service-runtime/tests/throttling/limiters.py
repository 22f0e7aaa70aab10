"""Simulated time, new keys and concurrent calls for tests of limiters."""

import itertools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import redis

SECOND = 1_000_000


START = 1_800_000_000 * SECOND


_numbers = itertools.count()


class Clock:
    """Simulated time in microseconds."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        return self.now


def new_key() -> str:
    return f"tests:ring:{next(_numbers)}"


def take_in_threads(take: Callable[[], bool], times: int) -> int:
    """Return the number of admitted calls from 16 concurrent threads."""
    start = threading.Barrier(16)

    def run(number: int) -> int:
        start.wait()
        return sum(take() for _ in range(times // 16))

    with ThreadPoolExecutor(16) as pool:
        return sum(pool.map(run, range(16)))


class UnavailableLimiter:
    """A limiter whose Redis refuses connections."""

    def take(self, limits, cost=1):
        raise redis.ConnectionError("connection refused")
