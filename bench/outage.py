"""What outages of Redis cost requests, second by second: `make bench-outage`.

The drill: 100 requests a second to 2 workers of 4 threads, whose Redis hangs for 8 seconds and is
killed for 8 seconds, while a blog is changed twice a second and read after each change. Then every
fault that the tests know, one after the other.
"""

import collections
import os
import signal
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from bench.serving import RESULTS, installed, publish, pyplot
from tests.running import Service
from tests.service.faults import FAULTS, World, observe
from tests.service.load import Background, Timed, timed
from tests.support import run

RATE, PHASE = 100, 8  # requests a second, seconds
WORKERS, THREADS, TIMEOUT = 2, 4, 0.05  # the default
SETTINGS = {
    "WEB_CONCURRENCY": str(WORKERS),
    "WEB_THREADS": str(THREADS),
    "REDIS_SOCKET_TIMEOUT": str(TIMEOUT),
    "THROTTLE_BLOG_LIMIT": "10000000/hour",
}


class Read(NamedTuple):
    """A blog that was read after it was changed: when, and whether it was an older state."""

    started: float
    stale: bool


class Drill(Background):
    """Requests at a steady rate, and a blog that changes."""

    def __init__(self, service: Service, **header: str) -> None:
        self.answers: list[Timed] = []
        self.reads: list[Read] = []
        self._service, self._header = service, header
        super().__init__(self._ask, self._change)

    def _ask(self) -> None:
        begun, number = time.monotonic(), 0
        with ThreadPoolExecutor(64) as pool:
            while not self._over.wait(max(0, begun + number / RATE - time.monotonic())):
                pool.submit(self._one)
                number += 1

    def _one(self) -> None:
        self.answers.append(timed(self._service, "/api/blogs/"))

    def _change(self) -> None:
        number = 0
        while not self._over.wait(0.5):
            number += 1
            title = {"title": f"Change {number}"}
            answer = self._service.request("/api/blogs/1/", "PATCH", title, **self._header)
            assert answer.status == 200, answer
            for _ in range(8):
                started = time.monotonic()
                read = self._service.get("/api/blogs/1/").json()
                self.reads.append(Read(started, read["title"] != title["title"]))


def drill(service: Service, redis, header: dict[str, str]) -> tuple[list[str], list, list[Timed]]:
    """Return the table's rows, the phases and the answers."""
    phases: list[tuple[str, float, float]] = []

    def phase(name: str) -> None:
        started = time.monotonic()
        time.sleep(PHASE)
        phases.append((name, started, time.monotonic()))

    with Drill(service, **header) as load:
        phase("warming up")
        load.answers.clear()
        phase("healthy")
        redis.process.send_signal(signal.SIGSTOP)
        phase("hung")
        redis.process.send_signal(signal.SIGCONT)
        phase("after it")
        redis.stop(signal.SIGKILL)
        phase("killed")
        redis.start()
        phase("restarted")
    rows = []
    for name, begun, ended in phases[1:]:
        found = [
            answer for answer in load.answers if begun <= answer.started + answer.duration < ended
        ]
        times = sorted(answer.duration for answer in found)
        stalled = [duration for duration in times if duration > TIMEOUT * 0.9]
        rest = times[: len(times) - len(stalled)]
        late = begun + 1 if name in {"after it", "restarted"} else begun
        settled = [answer.duration for answer in found if answer.started >= late]
        stale = [read for read in load.reads if begun <= read.started < ended and read.stale]
        statuses = collections.Counter(answer.status for answer in found)
        rows.append(
            f"| {name} | {len(times)} | {', '.join(f'{s}: {n}' for s, n in statuses.items())} |"
            f" {statistics.median(times) * 1e3:.1f} | {percentile(rest, 0.99) * 1e3:.1f} |"
            f" {percentile(settled, 0.99) * 1e3:.1f} | {times[-1] * 1e3:.0f} | {len(stalled)} |"
            f" {len(stale)} |"
        )
    return rows, phases[1:], load.answers


def percentile(values: list[float], share: float) -> float:
    """Return the value that this share of the values does not exceed."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def faults(project, environment: dict[str, str], header: dict[str, str], folder: Path) -> list[str]:
    """Return a row for each fault."""
    rows = []
    for name, fault in FAULTS.items():
        place = folder / name.replace(" ", "-")
        place.mkdir()
        world = World(place)
        own = {**environment, **world.environment}
        own["PYTHONPATH"] += os.pathsep + environment["PYTHONPATH"]
        gunicorn = [project.path / ".venv/bin/gunicorn"]
        with Service(gunicorn, project.path, place / "gunicorn.log", **own) as service:
            seen = observe(service, world, fault, TIMEOUT, **header)
        world.stop()
        statuses = ", ".join(f"{status}: {count}" for status, count in seen.statuses.items())
        rows.append(
            f"| {name} | {statuses} | {seen.slowest * 1e3:.0f} | {seen.recovered:.2f} |"
            f" {'no' if seen.seen == {'During'} else 'yes'} |"
        )
    return rows


def plot(phases: list, answers: list[Timed], path: Path) -> None:
    """Draw each answer's time over the drill."""
    begun = phases[0][1]
    figure, axes = pyplot().subplots(figsize=(9, 3.5))
    axes.scatter(
        [answer.started - begun for answer in answers],
        [answer.duration * 1e3 for answer in answers],
        s=2,
    )
    for name, start, end in phases:
        if name in {"hung", "killed"}:
            axes.axvspan(start - begun, end - begun, alpha=0.15, color="red")
        axes.text((start + end) / 2 - begun, 400, name, ha="center")
    axes.set_yscale("log")
    axes.set_ylim(0.5, 700)
    axes.set_xlabel("s")
    axes.set_ylabel("ms")
    axes.set_title(f"{RATE} requests a second while Redis is away")
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


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
                rows, phases, answers = drill(service, redis, header)
            matrix = faults(project, environment, header, folder)
    lines = [
        f"{RATE} requests a second for {PHASE} s each, {WORKERS} workers of {THREADS} threads,"
        f" socket timeout {TIMEOUT * 1e3:.0f} ms; times in ms:",
        "",
        "| Redis is | requests | statuses | p50 | p99 of the rest | p99 from the 2nd second |"
        " slowest | stalled | stale reads |",
        "|---|---|---|---|---|---|---|---|---|",
        *rows,
        "",
        "Stalled are answers that took nearly a timeout; the rest are the others. Every blog that"
        " was changed was read eight times after it.",
        "",
        "Each fault once, under load, with a write meanwhile:",
        "",
        "| fault | statuses | slowest, ms | all hits again after, s | stale |",
        "|---|---|---|---|---|",
        *matrix,
    ]
    text = "\n".join(lines) + "\n"
    publish("outage.md", text)
    plot(phases, answers, RESULTS / "outage.svg")


if __name__ == "__main__":
    sys.exit(main())
