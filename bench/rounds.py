"""Measure rounds of requests to a server that shares a core with Redis."""

import os
from collections.abc import Iterator
from typing import NamedTuple

from bench.client import load
from bench.processes import processor_time
from tests.running import Service

# A trial run has fewer and shorter rounds.
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "5"))
SECONDS = float(os.environ.get("BENCH_SECONDS", "2"))


class Figures(NamedTuple):
    """What a round has measured; the processor times are in microseconds per request."""

    per_second: float
    p50: float
    p99: float
    service: float
    redis: float


def measure(
    service: Service, redis: int, requests: list[Iterator[bytes]], status: int = 200
) -> Figures:
    """Return the figures of one round.

    Args:
        service: the server.
        redis: the process ID of Redis.
        requests: the requests of each connection.
        status: the status that each response must have.
    """
    before = processor_time(service.process.pid), processor_time(redis)
    found = load(service.port, requests, SECONDS, status)
    after = processor_time(service.process.pid), processor_time(redis)
    own, its = ((new - old) / len(found.durations) for old, new in zip(before, after, strict=True))
    return Figures(found.per_second, found.milliseconds(0.5), found.milliseconds(0.99), own, its)
