"""Compare the service with the stock set-up, the floor and its peers: `make bench ARGS=service`.

The servers and Redis share one core; the client has another one and keeps 8 connections busy. The
rounds are interleaved, and all ratios are ratios of medians. Clients change their address after
1000 requests of a limit of 1000 per hour, since the cost of DRF's throttle grows with the requests
of a client: it is half used, on average. BENCH_ROUNDS and BENCH_SECONDS shorten a trial run;
`python -m bench service:2` measures 2 workers only.
"""

import json
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from bench import service_report
from bench.client import address, exhaust, repeated, rotating
from bench.processes import proportional_memory
from bench.rounds import ROUNDS, Figures, measure
from bench.servers import (
    FASTAPI,
    NINJA,
    OURS,
    STOCK,
    SYNC,
    Server,
    install_peers,
    installed_size,
    seconds_to_first_200,
    servers,
)
from bench.serving import Connection, installed, load_blogs, separate_cores
from tests.running import Service
from tests.support import BakedProject

CONNECTIONS, STARTS = 8, 3
WORKERS = (1, 2, 4)
EXHAUSTED = "192.0.2.1"  # of documentation: no other client has it


class Subject(NamedTuple):
    """A kind of request, and the server that receives it."""

    name: str
    server: str
    path: str
    headers: dict[str, str] = {}
    status: int = 200

    def requests(self) -> list[Iterator[bytes]]:
        """Return the requests of each connection."""
        if self.status == 429:
            return [repeated(self.path, X_Forwarded_For=EXHAUSTED)] * CONNECTIONS
        return [rotating(self.path, **self.headers) for _ in range(CONNECTIONS)]


class Process(NamedTuple):
    """The memory of a server in MiB, and the seconds of each start to the first 200."""

    memory: float
    starts: list[float]


def subjects(token: dict[str, str], etag: str) -> list[Subject]:
    """Return the kinds of requests, by the names that service_report.py compares."""
    unchanged = {"If_None_Match": etag}
    return [
        Subject("bare WSGI application", OURS, "/bare/"),
        Subject("empty Django view", OURS, "/django/"),
        Subject("empty DRF view", OURS, "/empty/"),
        Subject("empty DRF view, token", OURS, "/empty/", token),
        Subject("cached list", OURS, "/api/blogs/"),
        Subject("cached list, 304", OURS, "/api/blogs/", unchanged, 304),
        Subject("cached list, token", OURS, "/api/blogs/", token),
        Subject("uncached list", OURS, "/uncached/"),
        Subject("denied request (429)", OURS, "/denied/", {}, 429),
        Subject("stock: cacheops + DRF throttle", STOCK, "/cacheops/"),
        Subject("stock: cacheops, gunicorn's defaults", SYNC, "/cacheops/"),
        Subject("stock: cache_page + DRF throttle", STOCK, "/cache_page/"),
        Subject("stock: uncached + DRF throttle", STOCK, "/uncached/"),
        Subject("stock: uncached, no throttle", STOCK, "/unthrottled/"),
        Subject("stock: denied request (429)", STOCK, "/cacheops/", {}, 429),
        Subject("django-ninja: cached JSON + throttle", NINJA, "/api/blogs/"),
        Subject("FastAPI: cached JSON + slowapi", FASTAPI, "/api/blogs/"),
    ]


def compare(
    running: dict[str, Service], redis: int, kinds: list[Subject]
) -> dict[str, list[Figures]]:
    """Return the figures of each subject in interleaved rounds, after a warm-up."""
    for name in {subject.server for subject in kinds if subject.status == 429}:
        path = next(each.path for each in kinds if (each.server, each.status) == (name, 429))
        exhaust(running[name].port, path, EXHAUSTED)
    figures: dict[str, list[Figures]] = {subject.name: [] for subject in kinds}
    for number in range(ROUNDS + 1):
        for subject in kinds:
            service = running[subject.server]
            found = measure(service, redis, subject.requests(), subject.status)
            if number:
                figures[subject.name].append(found)
    return figures


def check_same_list(running: dict[str, Service], kinds: list[Subject], expected: bytes) -> None:
    """Fail unless all lists have the same rows, so that all subjects do the same work."""
    rows = json.loads(expected)["results"]
    lists = [each for each in kinds if each.status == 200 and "list" in each.name]
    for subject in lists + [each for each in kinds if each.server != OURS and each.status == 200]:
        for _ in range(2):  # a miss and a hit
            connection = Connection(running[subject.server].port)
            head = {"X_Forwarded_For": address(0), **subject.headers}
            status, _, body = connection.get(subject.path, **head)
            connection.close()
            assert status == 200, (subject, body)
            assert json.loads(body)["results"] == rows, (subject, body)


def with_workers(
    found: dict[str, Server],
    workers: int,
    redis: int,
    project: BakedProject,
    environment: dict[str, str],
    folder: Path,
) -> tuple[dict[str, list[Figures]], dict[str, Process]]:
    """Return the figures of all subjects and servers with a number of workers."""
    with ExitStack() as stack:
        ours = stack.enter_context(found[OURS].start(workers))
        token = sign_in(project, ours, environment, folder)
        for _ in range(2):
            _, head, body = Connection(ours.port).get("/api/blogs/", X_Forwarded_For=address(0))
        (folder / "list.json").write_bytes(body)
        etag = head.decode().partition("ETag: ")[2].split("\r\n")[0]
        running = {OURS: ours} | {
            name: stack.enter_context(server.start(workers))
            for name, server in found.items()
            if name != OURS
        }
        kinds = [kind for kind in subjects(token, etag) if kind.server in running]
        check_same_list(running, kinds, body)
        figures = compare(running, redis, kinds)
        memory = {name: proportional_memory(each.process.pid) for name, each in running.items()}
    processes = {
        name: Process(used, [seconds_to_first_200(found[name], workers) for _ in range(STARTS)])
        for name, used in memory.items()
    }
    return figures, processes


def sign_in(
    project: BakedProject, service: Service, environment: dict[str, str], folder: Path
) -> dict[str, str]:
    """Return the Authorization header of a user, who is created the first time."""
    path = folder / "token.json"
    if not path.exists():
        path.write_text(json.dumps(project.sign_in(service, **environment)))
    header: dict[str, str] = json.loads(path.read_text())
    return header


def main(*workers: str) -> None:
    """Measure with some numbers of workers, by default 1, 2 and 4."""
    install_peers()
    with (
        tempfile.TemporaryDirectory() as name,
        installed(Path(name)) as (project, redis, environment),
        separate_cores(redis.process.pid) as pin,
    ):
        folder = Path(name)
        load_blogs(project, environment)
        found = servers(project, environment, folder, pin)
        figures, processes = {}, {}
        for number in map(int, workers or WORKERS):
            figures[number], processes[number] = with_workers(
                found, number, redis.process.pid, project, environment, folder
            )
        size = installed_size(project, folder)
    service_report.publish_report(figures, processes, size)
