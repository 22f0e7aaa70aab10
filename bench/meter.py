"""What requests cost the service, PostgreSQL and Redis, as differences of counters."""

import time
from collections import Counter
from typing import Any, NamedTuple

import redis

from bench.processes import processor_time
from tests.running import Service


class Counters(NamedTuple):
    """Counters before or after a measurement; times are in microseconds."""

    elapsed: float
    service: float
    database: float
    redis: float
    bytes_in: int
    bytes_out: int
    round_trips: int
    commands: dict[str, int]


class Cost(NamedTuple):
    """The cost of one request; times are in microseconds."""

    service: float
    database: float
    redis: float
    bytes_in: float
    bytes_out: float
    round_trips: float
    commands: dict[str, float]


class Meter:
    """Read the counters of the service, PostgreSQL and Redis."""

    def __init__(self, service: Service, postgres: int, client: redis.Redis) -> None:
        self._service, self._postgres, self._client = service, postgres, client

    def read(self) -> Counters:
        """Return the counters."""
        info: dict[str, Any] = self._client.info("everything")
        commands = {
            name.removeprefix("cmdstat_"): row["calls"]
            for name, row in info.items()
            if name.startswith("cmdstat_") and name != "cmdstat_info"
        }
        seconds = info["used_cpu_sys_main_thread"] + info["used_cpu_user_main_thread"]
        return Counters(
            time.monotonic() * 1e6,
            processor_time(self._service.process.pid),
            processor_time(self._postgres),
            seconds * 1e6,
            info["total_net_input_bytes"],
            info["total_net_output_bytes"],
            info["total_reads_processed"],  # a client sends the next command after the reply
            commands,
        )


def difference(before: Counters, after: Counters, requests: int, idle: Cost | None) -> Cost:
    """Return the cost of each of the requests between two readings.

    Args:
        before: the counters before.
        after: the counters after.
        requests: the number of requests.
        idle: the cost of an idle microsecond, which is subtracted.
    """
    share = (after.elapsed - before.elapsed) / requests
    each = [(new - old) / requests for old, new in zip(before[1:7], after[1:7], strict=True)]
    if idle:
        each = [cost - share * spent for cost, spent in zip(each, idle[:6], strict=True)]
    commands = Counter(after.commands)
    commands.subtract(before.commands)
    rates = {name: calls / requests for name, calls in commands.items() if calls > requests / 50}
    service, database, spent, received, sent, trips = each
    return Cost(service, database, spent, received, sent, trips, rates)
