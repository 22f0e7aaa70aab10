"""Measure what a request costs the service, Redis and PostgreSQL: `python -m bench.cost`.

8 connections send requests to a real gunicorn of two workers with four threads each. All figures
are differences of counters: the processor time of each process by the kernel (/proc), and the
commands, bytes and processor time of Redis by its INFO. Then plain sockets send one of the
service's calls as fast as one Redis replies. The queries are counted before, by another service,
whose middleware would turn the fast path off.
"""

import statistics
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count
from pathlib import Path
from typing import NamedTuple

import redis

from bench.capacity import capacity, memory_of_a_connection
from bench.client import exhaust
from bench.meter import Cost, Meter, difference
from bench.publication import publish
from bench.serving import Connection, installed, load_blogs
from tests.running import Service
from tests.service.servers import running_postgres
from tests.support import BakedProject, run

ROUNDS, REQUESTS, CONNECTIONS = 5, 1200, 8
WORKERS, THREADS = 2, 4
START = 57  # bytes of a stored response that are read to compare it: slots.START in the runtime
_numbers = count()


class Subject(NamedTuple):
    """A kind of request: its path, in which `{}` is a new number, its headers and its status."""

    name: str
    path: str
    headers: dict[str, str]
    status: int


def send(port: int, subject: Subject, requests: int, address: str) -> bytes:
    """Send requests over one connection; return the head of the last response."""
    connection, head = Connection(port), b""
    for _ in range(requests):
        path = subject.path.format(next(_numbers))
        status, head, _ = connection.get(path, X_Forwarded_For=address, **subject.headers)
        assert status == subject.status, (subject, status)
    return head


def queries_of(service: Service, subject: Subject) -> int:
    """Return the number of queries of a request."""
    head = send(service.port, subject, 2, "203.0.113.0")  # the first one could be a miss
    return int(head.partition(b"X-Queries: ")[2].split(b"\r\n")[0])


def measure(service: Service, meter: Meter, subject: Subject, idle: Cost) -> Cost:
    """Return the cost of a request, without that of an idle service."""
    before = meter.read()
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        share = REQUESTS // CONNECTIONS
        addresses = [f"203.0.113.{number}" for number in range(CONNECTIONS)]
        list(pool.map(partial(send, service.port, subject, share), addresses))
    return difference(before, meter.read(), REQUESTS, idle)


def subjects(token: dict[str, str], etag: str) -> list[Subject]:
    """Return the kinds of requests."""
    return [
        Subject("hit", "/api/blogs/", {}, 200),
        Subject("hit, 304", "/api/blogs/", {"If_None_Match": etag}, 304),
        Subject("hit of a user (token)", "/api/blogs/", token, 200),
        Subject("miss", "/api/blogs/?number={}", {}, 200),
        Subject("uncached list", "/uncached/", {}, 200),
        Subject("429", "/denied/", {}, 429),
    ]


def calls(project: BakedProject, client: redis.Redis) -> Iterator[tuple[str, list[list[bytes]]]]:
    """Yield the calls whose capacity is measured: their commands, as the service sends them."""
    ring = project.path / "packages/service-runtime/src/service_runtime/throttling/ring.lua"
    sha = client.script_load(ring.read_text()).encode()
    for windows in (1, 2):
        keys = [b"bench:throttling:{user:7}:scope:%d" % number for number in range(windows)]
        limits = [word for n in range(windows) for word in (b"1000000000", b"%d" % (60 + n), b"0")]
        yield (
            f"throttle check, {windows} window{'s'[: windows - 1]}",
            [[b"EVALSHA", sha, b"%d" % windows, *keys, b"1", *limits]],
        )
    strings = [key for key in client.scan_iter("*cacheops*") if client.type(key) == b"string"]
    (largest, *_) = sorted(strings, key=client.strlen, reverse=True)
    stamps = [key for key in strings if b"conj:" in key]
    size = client.strlen(largest)
    yield f"read of a cached response, {size} bytes", [[b"MGET", largest, *stamps[:2]]]
    start = [b"GETRANGE", largest, b"0", b"%d" % (START - 1)]
    yield "check of a response that the process has", [start, [b"MGET", *stamps[:2]]]


def main() -> None:
    with (
        tempfile.TemporaryDirectory() as name,
        installed(Path(name)) as (project, server, environment),
        running_postgres() as postgres,
    ):
        python = project.path / ".venv/bin/python"
        environment |= {
            "DATABASE_URL": postgres.url,
            "WEB_CONCURRENCY": str(WORKERS),
            "WEB_THREADS": str(THREADS),
            "LOG_LEVEL": "INFO",  # with access lines
        }
        run([python, "manage.py", "migrate", "-v0"], project.path, **environment)
        load_blogs(project, environment)
        gunicorn = [project.path / ".venv/bin/gunicorn"]
        log = Path(name) / "gunicorn.log"

        def serve(settings: str) -> Service:
            variables = environment | {"DJANGO_SETTINGS_MODULE": settings}
            return Service(gunicorn, project.path, log, **variables)

        with serve("cost_service") as service:
            token = project.sign_in(service, **environment)
            head = Connection(service.port).get("/api/blogs/")[1].decode()
            kinds = subjects(token, head.partition("ETag: ")[2].split("\r\n")[0])
            for number in range(CONNECTIONS):
                exhaust(service.port, "/denied/", f"203.0.113.{number}")
            queries = {kind.name: queries_of(service, kind) for kind in kinds}
        with serve("cache_service") as service, redis.Redis.from_url(server.url) as client:
            costs = rounds(service, Meter(service, postgres.process.pid, client), kinds)
            connections = len(client.client_list()) - 1
            rates = {name: capacity(server.url, *call) for name, call in calls(project, client)}
            size = memory_of_a_connection(server.url, client)
    text = table(costs, queries, rates)
    text += (
        f"\nThe service's {WORKERS} workers with {THREADS} threads each have {connections}"
        f" connections to Redis. An idle connection takes {size:.0f} bytes of Redis' memory.\n"
    )
    publish(
        "cost", text, {name: [cost._asdict() for cost in found] for name, found in costs.items()}
    )


def rounds(service: Service, meter: Meter, kinds: list[Subject]) -> dict[str, list[Cost]]:
    """Return the costs of each kind of request in interleaved rounds, after a warm-up."""
    before = meter.read()
    time.sleep(5)
    after = meter.read()
    idle = difference(before, after, int(after.elapsed - before.elapsed), None)
    costs: dict[str, list[Cost]] = {kind.name: [] for kind in kinds}
    for number in range(ROUNDS + 1):
        for kind in kinds:
            cost = measure(service, meter, kind, idle)
            if number:
                costs[kind.name].append(cost)
    return costs


def table(costs: dict[str, list[Cost]], queries: dict[str, int], rates: dict[str, float]) -> str:
    """Return the results as Markdown."""
    lines = [
        f"Medians of {ROUNDS} interleaved rounds of {REQUESTS} requests over {CONNECTIONS}"
        " connections; PostgreSQL has 100 blogs, and a list has 20 of them:",
        "",
        "| request | service, µs CPU | PostgreSQL, µs CPU | queries | Redis, µs CPU |"
        " round trips to Redis | bytes to it | bytes from it |"
        " its commands, with those of scripts |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, found in costs.items():
        columns = zip(*(cost[:6] for cost in found), strict=True)
        service, database, spent, received, sent, trips = map(statistics.median, columns)
        lines.append(
            f"| {name} | {service:.0f} | {database:.0f} | {queries[name]} | {spent:.0f} |"
            f" {trips:.1f} | {received:.0f} | {sent:.0f} | {described(found[-1].commands)} |"
        )
    lines += [
        "",
        "What one Redis can do per second with one thread, 50 connections:",
        "",
        "| call | per second | µs |",
        "|---|---|---|",
        *(f"| {name} | {rate:.0f} | {1e6 / rate:.1f} |" for name, rate in rates.items()),
    ]
    return "\n".join(lines) + "\n"


def described(commands: dict[str, float]) -> str:
    """Return the calls per request."""
    return ", ".join(f"{name} {calls:.1f}" for name, calls in sorted(commands.items()))
