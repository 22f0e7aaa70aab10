"""Measure how the cost of a request grows: `make bench ARGS=growth`.

The service has 2 workers on one core with Redis; the client has another core. Each table changes
one size. Sizes only grow, so the rounds of one size follow each other; those of scopes and clients
are interleaved.
"""

import random
import statistics
import tempfile
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from hashlib import sha256
from itertools import count, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import redis

from bench.client import address, repeated, rotating
from bench.publication import publish, pyplot, spread, table_of
from bench.rounds import ROUNDS, Figures, measure
from bench.serving import PATIENT, installed, load_blogs, request_for, separate_cores
from tests.running import Service
from tests.service.servers import RedisServer
from tests.support import ROOT, BakedProject, run

CONNECTIONS = 8
ROWS = (100, 1_000, 10_000, 100_000)
CLIENTS = (1, 4, 16, 64, 256)
SCOPES = (1, 2, 4, 8)
ENTRIES = (0, 1_000, 100_000, 1_000_000)
USERS = (1, 100, 10_000, 100_000)
BODY, BATCH = b"x" * 500, 10_000
Found = Iterator[tuple[int, str, list[Figures]]]
_numbers = count()


class World(NamedTuple):
    """A running service, its project and environment, and its Redis."""

    service: Service
    project: BakedProject
    environment: dict[str, str]
    server: RedisServer

    def flush(self) -> None:
        """Empty Redis."""
        with redis.Redis.from_url(self.server.url) as client:
            client.flushall()

    def rounds(self, requests: Callable[[], list[Iterator[bytes]]]) -> list[Figures]:
        """Return the figures of rounds, after a warm-up."""
        found = [self.round(requests) for _ in range(ROUNDS + 1)]
        return found[1:]

    def round(self, requests: Callable[[], list[Iterator[bytes]]]) -> Figures:
        """Return the figures of one round."""
        return measure(self.service, self.server.process.pid, requests())


def on_all(requests: Callable[[], Iterator[bytes]]) -> Callable[[], list[Iterator[bytes]]]:
    """Return a function that returns the requests of each connection."""
    return lambda: [requests() for _ in range(CONNECTIONS)]


def misses() -> Iterator[bytes]:
    """Yield requests for the list that no response is cached for."""
    while True:
        yield request_for(f"/api/blogs/?number={next(_numbers)}", X_Forwarded_For=address(0))


def of_random_user(users: int) -> Iterator[bytes]:
    """Yield requests of random users."""
    generator = random.Random(users)
    while True:
        token = sha256(b"%d" % generator.randrange(users)).hexdigest()
        yield request_for("/api/blogs/", Authorization=f"Token {token}")


def by_rows(world: World) -> Found:
    """Measure the first page of a table that grows."""
    for start, rows in pairwise((ROWS[0], *ROWS)):
        load_blogs(world.project, world.environment, start, rows)
        world.flush()
        for name, path in {"cached": "/api/blogs/", "uncached": "/uncached/"}.items():
            yield rows, name, world.rounds(on_all(partial(rotating, path)))


def by_clients(world: World) -> Found:
    """Measure clients, each with an address and a connection."""

    def clients(number: int) -> Callable[[], list[Iterator[bytes]]]:
        return lambda: [
            repeated("/api/blogs/", X_Forwarded_For=address(1 << 20 | each))
            for each in range(number)
        ]

    yield from interleaved(world, {number: clients(number) for number in CLIENTS})


def by_scopes(world: World) -> Found:
    """Measure a cached list that counts in several scopes."""
    paths = {number: f"/scopes/{number}/" for number in SCOPES}
    kinds = {number: on_all(partial(rotating, path)) for number, path in paths.items()}
    yield from interleaved(world, kinds)


def by_users(world: World) -> Found:
    """Measure a cached list for random users with tokens, who did not come before."""
    python, script = world.project.path / ".venv/bin/python", ROOT / "bench/inside/growth_users.py"
    environment = world.environment | {"DJANGO_SETTINGS_MODULE": f"{world.project.slug}.settings"}
    for start, users in pairwise((0, *USERS)):
        run([python, script, str(start), str(users)], world.project.path, **environment)
        world.flush()
        requests = on_all(partial(of_random_user, users))
        yield users, "cached, token", world.rounds(requests)


def by_entries(world: World) -> Found:
    """Measure hits and misses next to other results in Redis."""
    world.flush()
    for start, entries in pairwise((0, *ENTRIES)):
        with redis.Redis.from_url(world.server.url) as client:
            fill(client, start, entries)
        yield entries, "hit", world.rounds(on_all(partial(rotating, "/api/blogs/")))
        yield entries, "miss", world.rounds(on_all(misses))
    world.flush()


def fill(client: redis.Redis, start: int, stop: int) -> None:
    """Store results of other views."""
    for first in range(start, stop, BATCH):
        with client.pipeline(transaction=False) as pipeline:
            for number in range(first, min(first + BATCH, stop)):
                pipeline.set(f"others:result:{number:032x}", BODY, ex=3600)
            pipeline.execute()


def interleaved(
    world: World, kinds: dict[int, Callable[[], list[Iterator[bytes]]]], name: str = "cached"
) -> Found:
    """Yield the figures of each size, measured in interleaved rounds after a warm-up."""
    found: dict[int, list[Figures]] = {size: [] for size in kinds}
    for number in range(ROUNDS + 1):
        for size, requests in kinds.items():
            figures = world.round(requests)
            if number:
                found[size].append(figures)
    yield from ((size, name, rounds) for size, rounds in found.items())


PARTS: dict[str, tuple[str, Callable[[World], Found]]] = {
    "rows": ("Rows of the table; a page has 20", by_rows),
    "clients": ("Clients, each with its address and its connection", by_clients),
    "scopes": ("Throttle scopes of the view", by_scopes),
    "users": ("Users, a random one for each request", by_users),
    "entries": (f"Other cached results of {len(BODY)} bytes in Redis", by_entries),
}


def table(title: str, found: Iterable[tuple[int, str, list[Figures]]]) -> str:
    """Return a table of the figures by size."""
    rows = []
    for size, name, rounds in found:
        per_second, p50, p99, service, server = zip(*rounds, strict=True)
        middle = [f"{statistics.median(values):.1f}" for values in (p50, p99)]
        rows.append(
            [f"{size:,}", name, spread(per_second), *middle, spread(service), spread(server)]
        )
    head = ["", "list", "requests/s", "p50 ms", "p99 ms", "µs CPU of the service", "of Redis"]
    return f"{title}:\n\n{table_of(head, rows)}\n"


def plot(data: dict[str, list[dict[str, Any]]]) -> Any:
    """Return a figure of the processor time per request by size, with a panel for each part."""
    figure, panels = pyplot().subplots(1, len(data), figsize=(2.4 * len(data), 2.8), sharey=True)
    for axes, (part, sizes) in zip(
        panels if len(data) > 1 else [panels], data.items(), strict=True
    ):
        for name in dict.fromkeys(each["list"] for each in sizes):
            found = [each for each in sizes if each["list"] == name]
            axes.plot(
                [short(each["size"]) for each in found],
                [median_cost(each["rounds"]) for each in found],
                marker="o",
                label=name,
            )
        axes.set_ylim(bottom=0)
        axes.set_xlabel(part)
        axes.legend(frameon=False, fontsize="small")
    figure.supylabel("µs CPU per request, with Redis", fontsize="medium")
    return figure


def short(size: int) -> str:
    """Return a size as a label."""
    for unit, letter in ((1_000_000, "M"), (1_000, "k")):
        if size >= unit:
            return f"{size // unit}{letter}"
    return str(size)


def median_cost(rounds: list[dict[str, float]]) -> float:
    """Return the median of the processor time of the service and Redis."""
    return statistics.median(each["service"] + each["redis"] for each in rounds)


def main(*parts: str) -> None:
    """Measure some parts, or all."""
    lines = [
        f"2 workers with 4 threads share a core with Redis; the client has another one. Medians of"
        f" {ROUNDS} rounds, with the lowest and the highest in brackets. {CONNECTIONS} connections,"
        " unless their number changes.\n"
    ]
    data: dict[str, list[dict[str, Any]]] = {}
    with (
        tempfile.TemporaryDirectory() as folder,
        installed(Path(folder)) as (project, server, environment),
        separate_cores(server.process.pid) as pin,
    ):
        settings = PATIENT | {
            "DJANGO_SETTINGS_MODULE": "growth_service",
            "LOG_LEVEL": "INFO",
            "WEB_CONCURRENCY": "2",
            "WEB_THREADS": "4",
        }
        load_blogs(project, environment, 0, ROWS[0])
        command = pin([project.path / ".venv/bin/gunicorn"])
        log = Path(folder) / "gunicorn.log"
        with Service(command, project.path, log, **environment | settings) as service:
            world = World(service, project, environment, server)
            for part in parts or PARTS:
                title, by_size = PARTS[part]
                found = list(by_size(world))
                lines.append(table(title, found))
                data[part] = [
                    {"size": size, "list": name, "rounds": [each._asdict() for each in rounds]}
                    for size, name, rounds in found
                ]
    publish("growth", "\n".join(lines), data, lambda: plot(data))
