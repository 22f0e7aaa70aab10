"""Measure what a request costs the service, Redis and PostgreSQL: `python -m bench.cost`.

8 connections send requests to a real gunicorn of two workers with four threads each. All figures
are differences of counters: the processor time of each process by the kernel (/proc), and the
commands, bytes and processor time of Redis by its INFO. Then plain sockets send one of the
service's calls as fast as one Redis replies.
"""

import os
import socket
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import redis

from bench.serving import Connection, installed, load_blogs, publish
from tests.running import Service, descendants
from tests.service.servers import running_postgres
from tests.support import BakedProject, run

ROUNDS, REQUESTS, CONNECTIONS = 5, 1200, 8
WORKERS, THREADS = 2, 4
TICK = os.sysconf("SC_CLK_TCK")
_numbers = count()


class Subject(NamedTuple):
    """A kind of request: its path, in which `{}` is a new number, its headers and its status."""

    name: str
    path: str
    headers: dict[str, str]
    status: int


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
    queries: float
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


def processor_time(pid: int) -> float:
    """Return the microseconds of a process and its descendants, living and waited for."""
    ticks = 0
    for each in (pid, *descendants(pid)):
        fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        ticks += sum(map(int, fields[11:15] if each == pid else fields[11:13]))
    return ticks * 1e6 / TICK


def send(port: int, subject: Subject, requests: int, address: str) -> int:
    """Send requests over one connection; return the number of queries that they took."""
    connection, queries = Connection(port), 0
    for _ in range(requests):
        path = subject.path.format(next(_numbers))
        status, head, _ = connection.get(path, X_Forwarded_For=address, **subject.headers)
        assert status == subject.status, (subject, status)
        queries += int(head.partition(b"X-Queries: ")[2].split(b"\r\n")[0])
    return queries


def measure(service: Service, meter: Meter, subject: Subject, idle: Cost) -> Cost:
    """Return the cost of a request, without that of an idle service."""
    before = meter.read()
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        share = REQUESTS // CONNECTIONS
        queries = pool.map(
            lambda number: send(service.port, subject, share, f"203.0.113.{number}"),
            range(CONNECTIONS),
        )
        count = sum(queries)
    after = meter.read()
    return difference(before, after, REQUESTS, count, idle)


def difference(
    before: Counters, after: Counters, requests: int, queries: int, idle: Cost | None
) -> Cost:
    """Return the cost of each of the requests between two readings.

    Args:
        before: the counters before.
        after: the counters after.
        requests: the number of requests.
        queries: the number of queries.
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
    return Cost(service, database, spent, received, sent, trips, queries / requests, rates)


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


def capacity(url: str, command: list[bytes], seconds: float = 3.0, sockets: int = 50) -> float:
    """Return how often per second one Redis executes a command, with one call in flight per socket.

    This process sends from another core; a reply is at most 64 KiB.
    """
    packed = b"*%d\r\n" % len(command)
    packed += b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in command)
    with redis.Redis.from_url(url) as client:
        size = reply_size(url, packed)
        client.ping()
        connections = [connected(url) for _ in range(sockets)]
        for each in connections:
            each.sendall(packed)
        before: dict[str, Any] = client.info("cpu")
        calls, started = 0, time.monotonic()
        while time.monotonic() - started < seconds:
            for each in connections:
                left = size
                while left > 0:
                    left -= len(each.recv(65536))
                each.sendall(packed)
            calls += sockets
        spent = time.monotonic() - started
        after: dict[str, Any] = client.info("cpu")
        for each in connections:
            each.close()
    busy = sum(after[name] - before[name] for name in CPU) / spent
    # The share of a core that Redis had no work is this process's.
    return calls / spent / busy


CPU = ("used_cpu_sys_main_thread", "used_cpu_user_main_thread")


def reply_size(url: str, packed: bytes) -> int:
    """Return the size of a reply, once it is complete for 50 ms."""
    with connected(url) as probe:
        probe.sendall(packed)
        probe.settimeout(0.05)
        size = 0
        try:
            while received := len(probe.recv(65536)):
                size += received
        except TimeoutError:
            return size
    return size


def connected(url: str) -> socket.socket:
    """Return a socket that is connected to Redis."""
    port = redis.connection.parse_url(url)["port"]
    return socket.create_connection(("127.0.0.1", port))


def calls(project: BakedProject, client: redis.Redis) -> Iterator[tuple[str, list[bytes]]]:
    """Yield the calls whose capacity is measured, as the service sends them."""
    ring = project.path / "packages/service-runtime/src/service_runtime/throttling/ring.lua"
    sha = client.script_load(ring.read_text()).encode()
    for windows in (1, 2):
        keys = [b"bench:throttling:{user:7}:scope:%d" % number for number in range(windows)]
        limits = [word for n in range(windows) for word in (b"1000000000", b"%d" % (60 + n), b"0")]
        yield (
            f"throttle check, {windows} window{'s'[: windows - 1]}",
            [b"EVALSHA", sha, b"%d" % windows, *keys, b"1", *limits],
        )
    strings = [key for key in client.scan_iter("*cacheops*") if client.type(key) == b"string"]
    (largest, *_) = sorted(strings, key=client.strlen, reverse=True)
    stamps = [key for key in strings if b"conj:" in key]
    size = client.strlen(largest)
    yield f"read of a cached response, {size} bytes", [b"MGET", largest, *stamps[:2]]


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
        }
        run([python, "manage.py", "migrate", "-v0"], project.path, **environment)
        load_blogs(project, environment)
        settings = {**environment, "DJANGO_SETTINGS_MODULE": "cost_service"}
        gunicorn = [project.path / ".venv/bin/gunicorn"]
        log = Path(name) / "gunicorn.log"
        with (
            Service(gunicorn, project.path, log, **settings) as service,
            redis.Redis.from_url(server.url) as client,
        ):
            token = project.sign_in(service, **environment)
            head = Connection(service.port).get("/api/blogs/")[1].decode()
            kinds = subjects(token, head.partition("ETag: ")[2].split("\r\n")[0])
            for number in range(CONNECTIONS):
                Connection(service.port).get("/denied/", X_Forwarded_For=f"203.0.113.{number}")
            costs = rounds(service, Meter(service, postgres.process.pid, client), kinds)
            connections = len(client.client_list()) - 1
            rates = {name: capacity(server.url, call) for name, call in calls(project, client)}
            size = memory_of_a_connection(server.url, client)
    text = table(costs, rates)
    text += (
        f"\nThe service's {WORKERS} workers with {THREADS} threads each have {connections}"
        f" connections to Redis. An idle connection takes {size:.0f} bytes of Redis' memory.\n"
    )
    publish("cost.md", text)


def rounds(service: Service, meter: Meter, kinds: list[Subject]) -> dict[str, list[Cost]]:
    """Return the costs of each kind of request in interleaved rounds, after a warm-up."""
    before = meter.read()
    time.sleep(5)
    after = meter.read()
    idle = difference(before, after, int(after.elapsed - before.elapsed), 0, None)
    costs: dict[str, list[Cost]] = {kind.name: [] for kind in kinds}
    for number in range(ROUNDS + 1):
        for kind in kinds:
            cost = measure(service, meter, kind, idle)
            if number:
                costs[kind.name].append(cost)
    return costs


def memory_of_a_connection(url: str, client: redis.Redis, number: int = 1000) -> float:
    """Return the bytes of memory that an idle connection takes in Redis."""
    before: dict[str, Any] = client.info("memory")
    sockets = [connected(url) for _ in range(number)]
    for each in sockets:
        each.sendall(b"PING\r\n")
        each.recv(64)
    after: dict[str, Any] = client.info("memory")
    for each in sockets:
        each.close()
    return float(after["used_memory"] - before["used_memory"]) / number


def table(costs: dict[str, list[Cost]], rates: dict[str, float]) -> str:
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
        columns = zip(*(cost[:7] for cost in found), strict=True)
        service, database, spent, received, sent, trips, queries = map(statistics.median, columns)
        lines.append(
            f"| {name} | {service:.0f} | {database:.0f} | {queries:.1f} | {spent:.0f} |"
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


if __name__ == "__main__":
    main()
