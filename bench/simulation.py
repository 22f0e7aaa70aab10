"""Simulate what docs/scaling.md says of skew and stampedes: `python -m bench.simulation`.

Skew: clients are distributed over the masters of a Redis Cluster by the slots of their keys, and
some clients send more than others. How much more than the mean does the busiest master get?

Stampede: a popular response is invalidated. What happens to the requests that arrive while it is
computed, with and without coalescing?
"""

import random
import statistics
from binascii import crc_hqx
from collections import deque
from collections.abc import Iterator
from itertools import accumulate, pairwise, product
from typing import NamedTuple

from bench.publication import publish

SLOTS, CLIENTS, RUNS = 16384, 100_000, 20
MASTERS = (3, 6, 12, 24, 48, 60)
# The traffic of the n-th busiest client is proportional to n ** -exponent.
EXPONENTS = (0.0, 0.5, 0.8, 1.0)


def slot_loads(exponent: float, generator: random.Random) -> tuple[list[float], float]:
    """Return the share of the traffic of each slot, and that of the busiest client."""
    weights = [rank**-exponent for rank in range(1, CLIENTS + 1)]
    total, busiest = sum(weights), weights[0]
    generator.shuffle(weights)
    loads = [0.0] * SLOTS
    for number, weight in enumerate(weights):
        loads[crc_hqx(b"user:%d" % number, 0) % SLOTS] += weight / total
    return loads, busiest / total


def hottest(loads: list[float], masters: int) -> float:
    """Return the load of the busiest master, as a multiple of the mean."""
    sums = [0.0, *accumulate(loads)]
    bounds = [number * SLOTS // masters for number in range(masters + 1)]
    return masters * max(sums[end] - sums[start] for start, end in pairwise(bounds))


def skew() -> Iterator[str]:
    """Yield the lines of the table of skew."""
    yield (
        f"The load of the busiest master / the mean, for {CLIENTS:,} clients: the median and, in"
        f" brackets, the maximum of {RUNS} runs:"
    )
    yield ""
    yield f"| traffic of the n-th client | of the first | {' | '.join(map(str, MASTERS))} masters |"
    yield "|---" * (len(MASTERS) + 2) + "|"
    for exponent in EXPONENTS:
        generator = random.Random(1)
        runs = [slot_loads(exponent, generator) for _ in range(RUNS)]
        cells = []
        for masters in MASTERS:
            found = [hottest(loads, masters) for loads, _ in runs]
            cells.append(f"{statistics.median(found):.2f} ({max(found):.2f})")
        name = f"n^-{exponent}" if exponent else "equal"
        yield f"| {name} | {runs[0][1]:.2%} | {' | '.join(cells)} |"


class Stampede(NamedTuple):
    """A service whose most popular response has just been invalidated.

    Attributes:
        rate: requests for this response per second.
        compute: the seconds that its computation takes on a core of the database.
        coalesced: whether one request computes it, and the others wait for it.
    """

    rate: int
    compute: float
    coalesced: bool


HIT, DATABASE_CORES = 0.0005, 8  # a hit takes these seconds of a core of the service
QUEUE_SECONDS, POLL_SECONDS = 0.5, 0.02
STEP, SECONDS = 0.001, 30.0


class Result(NamedTuple):
    """What happened to the requests of a stampede; times are in seconds."""

    computations: int
    rejected: int
    slowest: float
    settled: float


def simulate(stampede: Stampede) -> Result:
    """Run in steps of a millisecond until a second after the first response is as quick as usual.

    The service has twice the cores that the hits need, and 4 threads for each core. Computations
    share the cores of the database.
    """
    generator = random.Random(1)
    cores = max(1.0, 2 * stampede.rate * HIT)
    threads = int(4 * cores)
    queue: deque[float] = deque()  # arrivals
    computing: dict[float, float] = {}  # seconds left, by a unique arrival
    waiting: deque[tuple[float, float]] = deque()  # the next poll, and the arrival
    hits: deque[float] = deque()  # arrivals whose response is in Redis
    is_cached, computations, rejected, credit, settled = False, 0, 0, 0.0, 0.0
    times: list[float] = []
    now, next_arrival = 0.0, generator.expovariate(stampede.rate)
    while now < SECONDS and now < settled + 1:
        now += STEP
        while next_arrival < now:
            queue.append(next_arrival)
            next_arrival += generator.expovariate(stampede.rate)
        while queue and now - queue[0] > QUEUE_SECONDS:
            queue.popleft()
            rejected += 1
            settled = now
        while queue and len(computing) + len(waiting) + len(hits) < threads:
            arrival = queue.popleft()
            if is_cached:
                hits.append(arrival)
            elif stampede.coalesced and computing:
                waiting.append((now + POLL_SECONDS, arrival))
            else:
                computing[arrival] = stampede.compute
                computations += 1
        for _ in range(len(waiting)):
            poll, arrival = waiting.popleft()
            if poll <= now and is_cached:
                hits.append(arrival)
            else:
                waiting.append((poll if poll > now else poll + POLL_SECONDS, arrival))
        work = STEP * min(1.0, DATABASE_CORES / len(computing)) if computing else 0.0
        for arrival in list(computing):
            computing[arrival] -= work
            if computing[arrival] <= 0:
                del computing[arrival]
                is_cached = True
                hits.append(arrival)
        credit = min(credit + STEP * cores / HIT, max(1.0, STEP * cores / HIT))
        while hits and credit >= 1:
            credit -= 1
            times.append(now - hits.popleft())
            if times[-1] > 0.1:
                settled = now
        if not is_cached:
            settled = now
    return Result(computations, rejected, max(times), settled)


def stampedes() -> Iterator[str]:
    """Yield the lines of the table of stampedes."""
    yield (
        f"A response is invalidated; the database has {DATABASE_CORES} cores, and a request waits"
        f" for a thread for {QUEUE_SECONDS} s at most:"
    )
    yield ""
    yield (
        "| requests/s | computation, s | | computations | 503 | slowest response, s |"
        " as usual after, s |"
    )
    yield "|---|---|---|---|---|---|---|"
    for rate, compute, coalesced in product((1000, 10_000), (0.1, 1.0), (False, True)):
        found = simulate(Stampede(rate, compute, coalesced))
        yield (
            f"| {rate:,} | {compute} | {'coalesced' if coalesced else 'not coalesced'} |"
            f" {found.computations} | {found.rejected:,} | {found.slowest:.2f} |"
            f" {found.settled:.2f} |"
        )


def main() -> None:
    publish("simulation", "\n".join([*skew(), "", *stampedes()]))
