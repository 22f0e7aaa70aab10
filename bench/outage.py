"""Measure the effects of outages of Redis on requests: `make bench ARGS=outage`.

The drill sends 100 requests per second to 2 workers with 4 threads each. Redis hangs for 8 seconds
and is later killed for 8 seconds. A blog is changed twice per second and read after each change.
Then each fault of tests/service/faults.py is injected once.
"""

import collections
import os
import signal
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from bench.publication import publish, pyplot
from bench.serving import installed
from tests.running import Service
from tests.service.faults import FAULTS, World
from tests.service.load import Background, Timed, timed
from tests.service.observation import observe
from tests.service.servers import RedisServer
from tests.support import BakedProject, run

RATE, PHASE = 100, 8  # requests per second, seconds
WORKERS, THREADS, TIMEOUT = 2, 4, 0.05  # the default
SETTINGS = {
    "WEB_CONCURRENCY": str(WORKERS),
    "WEB_THREADS": str(THREADS),
    "REDIS_SOCKET_TIMEOUT": str(TIMEOUT),
    "THROTTLE_BLOG_LIMIT": "10000000/hour",
}


class Read(NamedTuple):
    """A read after a change: its start, and whether it returned an older state."""

    started: float
    stale: bool


class Phase(NamedTuple):
    """A phase of the drill, in monotonic seconds."""

    name: str
    start: float
    end: float


class Drill(Background):
    """Requests at a constant rate, and regular changes of a blog."""

    def __init__(self, service: Service, **header: str) -> None:
        self.responses: list[Timed] = []
        self.reads: list[Read] = []
        self._service, self._header = service, header
        super().__init__(self._request_all, self._change)

    def _request_all(self) -> None:
        started, number = time.monotonic(), 0
        with ThreadPoolExecutor(64) as pool:
            while not self.stopping.wait(max(0, started + number / RATE - time.monotonic())):
                pool.submit(self._request)
                number += 1

    def _request(self) -> None:
        self.responses.append(timed(self._service, "/api/blogs/"))

    def _change(self) -> None:
        number = 0
        while not self.stopping.wait(0.5):
            number += 1
            title = {"title": f"Change {number}"}
            response = self._service.request("/api/blogs/1/", "PATCH", title, **self._header)
            assert response.status == 200, response
            for _ in range(8):
                started = time.monotonic()
                read = self._service.get("/api/blogs/1/").json()
                self.reads.append(Read(started, read["title"] != title["title"]))


def drill(
    service: Service, redis: RedisServer, header: dict[str, str]
) -> tuple[list[Phase], Drill]:
    """Run the phases of the drill; return them and the recorded requests."""
    phases: list[Phase] = []

    def phase(name: str) -> None:
        started = time.monotonic()
        time.sleep(PHASE)
        phases.append(Phase(name, started, time.monotonic()))

    with Drill(service, **header) as load:
        phase("warming up")
        load.responses.clear()
        phase("healthy")
        redis.process.send_signal(signal.SIGSTOP)
        phase("hung")
        redis.process.send_signal(signal.SIGCONT)
        phase("after it")
        redis.stop(signal.SIGKILL)
        phase("killed")
        redis.start()
        phase("restarted")
    return phases, load


def row(phase: Phase, load: Drill) -> str:
    """Return the table's row for a phase."""
    name, start, end = phase
    found = [
        response
        for response in load.responses
        if start <= response.started + response.duration < end
    ]
    times = sorted(response.duration for response in found)
    stalled = [duration for duration in times if duration > TIMEOUT * 0.9]
    rest = times[: len(times) - len(stalled)]
    settled_from = start + 1 if name in {"after it", "restarted"} else start
    settled = [response.duration for response in found if response.started >= settled_from]
    stale = [read for read in load.reads if start <= read.started < end and read.stale]
    statuses = collections.Counter(response.status for response in found)
    return (
        f"| {name} | {len(times)} | {', '.join(f'{s}: {n}' for s, n in statuses.items())} |"
        f" {statistics.median(times) * 1e3:.1f} | {percentile(rest, 0.99) * 1e3:.1f} |"
        f" {percentile(settled, 0.99) * 1e3:.1f} | {times[-1] * 1e3:.0f} | {len(stalled)} |"
        f" {len(stale)} |"
    )


def percentile(values: list[float], share: float) -> float:
    """Return the value that this share of the values does not exceed."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def faults(
    project: BakedProject, environment: dict[str, str], header: dict[str, str], folder: Path
) -> list[str]:
    """Return a row for each fault."""
    rows = []
    for name, fault in FAULTS.items():
        place = folder / name.replace(" ", "-")
        place.mkdir()
        world = World(place)
        variables = {**environment, **world.environment}
        variables["PYTHONPATH"] += os.pathsep + environment["PYTHONPATH"]
        gunicorn = [project.path / ".venv/bin/gunicorn"]
        with Service(gunicorn, project.path, place / "gunicorn.log", **variables) as service:
            observed = observe(service, world, fault, TIMEOUT, **header)
        world.stop()
        statuses = ", ".join(f"{status}: {count}" for status, count in observed.statuses.items())
        rows.append(
            f"| {name} | {statuses} | {observed.slowest * 1e3:.0f} | {observed.recovered:.2f} |"
            f" {'no' if observed.titles == {'During'} else 'yes'} |"
        )
    return rows


def plot(phases: list[Phase], responses: list[Timed]) -> Any:
    """Return a figure of the response times of the drill."""
    origin = phases[0].start
    figure, axes = pyplot().subplots(figsize=(9, 3.5))
    axes.scatter(
        [response.started - origin for response in responses],
        [response.duration * 1e3 for response in responses],
        s=2,
        rasterized=True,  # thousands of points
    )
    for name, start, end in phases:
        if name in {"hung", "killed"}:
            axes.axvspan(start - origin, end - origin, alpha=0.15, color="red")
        axes.text((start + end) / 2 - origin, 400, name, ha="center")
    axes.set_yscale("log")
    axes.set_ylim(0.5, 700)
    axes.set_xlabel("s")
    axes.set_ylabel("ms")
    axes.set_title(f"Response times at {RATE} requests per second during outages of Redis")
    return figure


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with installed(folder) as (project, redis, environment):
            environment |= SETTINGS
            python = project.path / ".venv/bin/python"
            run([python, "manage.py", "load_blogs"], project.path, **environment)
            gunicorn = [project.path / ".venv/bin/gunicorn"]
            log = folder / "gunicorn.log"
            with Service(gunicorn, project.path, log, **environment) as service:
                header = project.sign_in(service, **environment)
                (_, *phases), load = drill(service, redis, header)
            matrix = faults(project, environment, header, folder)
    lines = [
        f"{RATE} requests per second for {PHASE} s each, {WORKERS} workers of {THREADS} threads,"
        f" socket timeout {TIMEOUT * 1e3:.0f} ms; times in ms:",
        "",
        "| Redis is | requests | statuses | p50 | p99 of the rest | p99 from the 2nd second |"
        " slowest | stalled | stale reads |",
        "|---|---|---|---|---|---|---|---|---|",
        *(row(phase, load) for phase in phases),
        "",
        "Stalled requests took nearly a socket timeout; the rest are all others. After each change"
        " of the blog, it was read eight times.",
        "",
        "Each fault once, under load, with a write during the fault:",
        "",
        "| fault | statuses | slowest, ms | all hits after, s | stale |",
        "|---|---|---|---|---|",
        *matrix,
    ]
    data = {
        phase.name: [
            [round(each.started - phase.start, 4), round(each.duration, 5), each.status]
            for each in load.responses
            if phase.start <= each.started < phase.end
        ]
        for phase in phases
    }
    publish("outage", "\n".join(lines), data, lambda: plot(phases, load.responses))
