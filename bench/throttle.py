"""Compare the cost and the accuracy of throttles: `make bench ARGS=throttle`.

The rounds are interleaved: Django REST framework's throttle on Django's Redis cache, the moving
window of `limits`, and this template's throttle. 32 connections send requests to real gunicorn.
"""

import http.client
import itertools
import json
import statistics
import tempfile
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from bench.publication import publish, pyplot, spread
from bench.serving import PATIENT, installed, one_core
from tests.running import Service
from tests.support import ROOT, UV, BakedProject, run

RUNS, CONNECTIONS, PROCESSES = 10, 32, 4
_addresses = (f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}" for n in itertools.count(1))


def send_requests(
    ports: list[int], path: str, address: str, connection: int, count: int
) -> list[int]:
    """Send requests over one connection; return the number of allowed, denied and others."""
    client = http.client.HTTPConnection("127.0.0.1", ports[connection % len(ports)])
    outcomes = [0, 0, 0]
    for _ in range(count):
        client.request("GET", path, headers={"X-Forwarded-For": address})
        response = client.getresponse()
        response.read()
        outcomes[{200: 0, 429: 1}.get(response.status, 2)] += 1
    client.close()
    return outcomes


def send_in_threads(
    ports: list[int], path: str, address: str, connections: range, count: int
) -> list[int]:
    """Send requests over each connection in a separate thread; return the outcomes."""
    with ThreadPoolExecutor(len(connections)) as pool:
        futures = [
            pool.submit(send_requests, ports, path, address, connection, count)
            for connection in connections
        ]
    return [sum(column) for column in zip(*(future.result() for future in futures), strict=True)]


def admitted(pool: ProcessPoolExecutor, ports: list[int], path: str, limit: int) -> list[int]:
    """Send three times the limit of concurrent requests as one client; return the outcomes."""
    count = -(-3 * limit // CONNECTIONS)
    share = CONNECTIONS // PROCESSES
    address = next(_addresses)
    futures = [
        pool.submit(send_in_threads, ports, path, address, range(n * share, (n + 1) * share), count)
        for n in range(PROCESSES)
    ]
    return [sum(column) for column in zip(*(future.result() for future in futures), strict=True)]


class Admission(NamedTuple):
    """The outcomes of runs with a limit: admitted, denied and other responses of each run."""

    masters: int
    limit: int
    throttle: str
    runs: list[list[int]]


def over_admission(
    project: BakedProject, environment: dict[str, str], folder: Path
) -> list[Admission]:
    """Return the admitted requests for each limit and throttle, on 1 and 3 gunicorns."""
    found = []
    for masters in (1, 3):
        with ExitStack() as stack:
            services = [
                stack.enter_context(
                    Service(
                        [project.path / ".venv/bin/gunicorn"],
                        project.path,
                        folder / f"gunicorn-{number}.log",
                        **environment | PATIENT,
                        WEB_CONCURRENCY="4",
                        WEB_THREADS="4",
                    )
                )
                for number in range(masters)
            ]
            pool = stack.enter_context(ProcessPoolExecutor(PROCESSES))
            ports = [service.port for service in services]
            for limit in (10, 100, 1000):
                counts: dict[str, list[list[int]]] = {"stock": [], "this": []}
                for _ in range(RUNS):
                    for name, runs in counts.items():
                        runs.append(admitted(pool, ports, f"/{name}/{limit}/", limit))
                for name, runs in counts.items():
                    assert all(run[2] == 0 for run in runs), runs
                    found.append(Admission(masters, limit, name, runs))
    return found


def row(found: Admission) -> str:
    """Return the table's row."""
    allowed = [run[0] for run in found.runs]
    return (
        f"| {found.masters} x 4 x 4 | {found.limit}/hour | {found.throttle} | {min(allowed)} |"
        f" {statistics.median(allowed):.0f} | {max(allowed)} |"
        f" {sum(count > found.limit for count in allowed)} |"
        f" {sum(run[1] > 0 for run in found.runs)} |"
    )


def plot(figures: dict[str, dict[str, dict[str, float]]]) -> Any:
    """Return a figure of the cost of a check by rate."""
    figure, axes = pyplot().subplots(figsize=(7, 3.5))
    names = list(next(iter(figures.values())))
    for position, name in enumerate(names):
        axes.bar(
            [n + 0.27 * (position - 1) for n in range(len(figures))],
            [checks[name]["µs"] for checks in figures.values()],
            width=0.25,
            label=name,
        )
    axes.set_xticks(range(len(figures)), list(figures))
    axes.set_ylabel("µs per check")
    axes.set_title("A client that has used half of its limit")
    axes.legend(frameon=False)
    return figure


def main() -> None:
    with (
        tempfile.TemporaryDirectory() as name,
        installed(Path(name)) as (project, redis, environment),
    ):
        folder = Path(name)
        python = project.path / ".venv/bin/python"
        run([UV, "pip", "install", "--python", python, "limits==5.8.0"], cwd=folder)
        with one_core(redis.process.pid):
            figures = json.loads(
                run(
                    [python, ROOT / "bench/inside/throttle_service.py"],
                    cwd=project.path,
                    **environment,
                )
            )
        environment["DJANGO_SETTINGS_MODULE"] = "throttle_service"
        admissions = over_admission(project, environment, folder)

    stock = {rate: row["stock"]["µs"] for rate, row in figures.items()}
    lines = [
        "One check for a client that has used half of its limit; Redis on the same core; median of"
        " interleaved rounds:",
        "",
        "| rate | | µs | of stock | round trips | bytes | memory |",
        "|---|---|---|---|---|---|---|",
    ]
    for rate, checks in figures.items():
        for subject, f in checks.items():
            lines.append(
                f"| {rate} | {subject} | {spread(f['rounds'])} | {f['µs'] / stock[rate]:.2f} |"
                f" {f['round trips']} | {f['bytes']} | {f['memory']} |"
            )
    ours = [row["this"]["µs"] for row in figures.values()]
    lines += [
        "",
        f"The highest cost of this template's throttle is {max(ours) / min(ours):.2f} times the"
        " lowest.",
        "",
        f"Three times the limit of requests over {CONNECTIONS} connections, {RUNS} runs:",
        "",
        "| gunicorns x workers x threads | limit | | least admitted | median | most |"
        " runs over | runs with denials |",
        "|---|---|---|---|---|---|---|---|",
        *map(row, admissions),
    ]
    data = {"checks": figures, "admitted": [each._asdict() for each in admissions]}
    publish("throttle", "\n".join(lines), data, lambda: plot(figures))
