"""Measure what slow clients and overload do to a service, and what its worker costs.

`make bench ARGS=limits`; `ARGS=limits:soak` is one part. The service has 2 workers with 4 threads
on one core, and its clients share the other one. DEBUG is off; the access log and the metrics are
on. "gthread" is gunicorn's own worker, which that of the service extends.
"""

import json
import math
import os
import re
import statistics
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from threading import Thread
from typing import Any

from bench.publication import publish
from bench.serving import (
    Connection,
    installed,
    load_blogs,
    requests_per_second,
    separate_cores,
)
from tests.running import Service
from tests.support import ROOT

QUIET_RATE, SECONDS = 50, 15
CONNECTIONS = 200
OVERLOAD_SECONDS = 60
ROUNDS = 3
SOAK_REQUESTS = 500_000
ADDRESSES = [f"127.0.1.{number}" for number in range(1, 201)]
SLOW: dict[str, dict[str, Any]] = {
    "none": {},
    "200 idle": {"kind": "idle"},
    "200 dripping heads": {"kind": "head"},
    "200 dripping heads, each from another address": {"kind": "head", "sources": ADDRESSES},
    "200 dripping bodies": {"kind": "body"},
    "200 dripping bodies, each from another address": {"kind": "body", "sources": ADDRESSES},
}
GTHREAD = {"GUNICORN_CMD_ARGS": "--worker-class gthread"}
SETTINGS = {
    "NUM_PROXIES": "0",
    "THROTTLE_BLOG_LIMIT": "off",
    "LOG_LEVEL": "INFO",
    "WEB_CONCURRENCY": "2",
    "WEB_THREADS": "4",
}


def start(module: str, **options: Any) -> subprocess.Popen[str]:
    """Start a program of the runtime's drills; it ends when its standard input ends."""
    path = {"PYTHONPATH": str(ROOT / "runtime/src")}
    command = [sys.executable, "-m", f"service_runtime.drills.{module}", json.dumps(options)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=os.environ | path, stdin=pipe, stdout=pipe, text=True)


def load(service: Service, paths: list[str], **options: Any) -> list[dict[str, Any]]:
    """Send requests and return the results."""
    defaults = {"host": "127.0.0.1", "port": service.port, "paths": paths, "headers": {}}
    limits = {"count": 10_000_000, "threads": 64}
    with start("load", **defaults, **limits | options) as process:
        output = process.stdout.read() if process.stdout else ""
    found: list[dict[str, Any]] = json.loads(output.splitlines()[-1])
    return found


def percentile(results: list[dict[str, Any]], share: float) -> float:
    """Return a quantile of the durations in milliseconds."""
    durations: list[float] = sorted(result["duration"] for result in results)
    return 1000 * durations[max(0, math.ceil(share * len(durations)) - 1)] if durations else 0


def slow_clients(serve: Any) -> list[str]:
    """Return a row for each kind of slow client, and for each worker."""
    rows = []
    for name, environment in {"the service's": {}, "gthread": GTHREAD}.items():
        with serve(**environment) as service:
            for what, options in SLOW.items():
                with ExitStack() as stack:
                    if options:
                        target = {"host": "127.0.0.1", "port": service.port}
                        slow = start("slow", connections=CONNECTIONS, **target, **options)
                        stack.callback(slow.communicate)
                    results = load(service, ["/api/blogs/"], rate=QUIET_RATE, seconds=SECONDS)
                served = [result for result in results if result.get("status") == 200]
                rows.append(
                    f"| {name} | {what} | {len(served)} of {len(results)} |"
                    f" {percentile(served, 0.5):.1f} | {percentile(served, 0.99):.1f} |"
                )
    return rows


def overload(serve: Any) -> list[str]:
    """Return a row with and without shedding at twice the capacity."""
    rows = []
    path = ["/api/blogs/?n={n}"]
    capacity = 0.0
    for name, environment in {"yes": {}, "no": {"QUEUE_SECONDS": "1000000"}}.items():
        with serve(**environment) as service:
            if not capacity:
                closed = load(service, path, threads=8, seconds=20)
                capacity = sum(result.get("status") == 200 for result in closed) / 20
            options = {"rate": 2 * capacity, "threads": 1500, "timeout": 5}
            results = load(service, path, seconds=OVERLOAD_SECONDS, **options)
            served = [result for result in results if result.get("status") == 200]
            late = [result for result in served if result["start"] > OVERLOAD_SECONDS - 20]
            outcomes = Counter(
                str(result.get("status") or result["error"].partition(":")[0]) for result in results
            )
            after = load(service, path, rate=capacity / 2, seconds=10, timeout=5)
            served_after = sum(result.get("status") == 200 for result in after)
            rows.append(
                f"| {name} | {capacity:.0f} | {len(served) / OVERLOAD_SECONDS / capacity:.2f} |"
                f" {len(late) / 20 / capacity:.2f} | {percentile(served, 0.99):.0f} |"
                f" {', '.join(f'{count} x {what}' for what, count in outcomes.items())} |"
                f" {served_after} of {len(after)} |"
            )
    return rows


def throughput(serve: Any) -> list[str]:
    """Return rows that compare the workers in interleaved rounds."""
    subjects = {"a bare WSGI application": "/bare/", "a cached list": "/api/blogs/"}
    rows = []
    with serve() as own, serve(**GTHREAD) as stock:
        connections = [Connection(service.port) for service in (own, stock)]
        for subject, path in subjects.items():
            rates: list[list[float]] = [[], []]
            for number in range(ROUNDS + 1):
                for connection, found in zip(connections, rates, strict=True):
                    rate = requests_per_second(connection, path, 5)
                    if number:
                        found.append(rate)
            ratios = [own_rate / other for own_rate, other in zip(*rates, strict=True)]
            rows.append(
                f"| {subject} | {statistics.median(rates[0]):.0f} |"
                f" {statistics.median(rates[1]):.0f} |"
                f" {', '.join(f'{ratio:.3f}' for ratio in ratios)} |"
            )
    return rows


def processes(service: Service) -> list[tuple[float, ...]]:
    """Return the private memory in MiB, the descriptors and the threads of all processes."""
    main = service.process.pid
    children = Path(f"/proc/{main}/task/{main}/children").read_text().split()
    found = []
    for process in [Path(f"/proc/{pid}") for pid in (main, *children)]:
        memory = re.findall(r"Private_\w+: +(\d+)", (process / "smaps_rollup").read_text())
        descriptors, threads = (len(list((process / name).iterdir())) for name in ("fd", "task"))
        found.append((sum(map(int, memory)) / 1024, descriptors, threads))
    return list(zip(*found, strict=True))


def soak(serve: Any) -> list[str]:
    """Return a row after each part of many requests, a tenth of them over a new connection."""
    rows = []
    paths = ["/api/blogs/", "/api/blogs/?page=2", "/api/blogs/7/", "/api/authors/", "/api/none/"]
    with serve() as service:

        def client(count: int, statuses: Counter[int]) -> None:
            connection = Connection(service.port)
            for number in range(count):
                if not number % 10:
                    connection.close()
                    connection = Connection(service.port)
                statuses[connection.get(paths[number % len(paths)])[0]] += 1
            connection.close()

        for requests in (1_000, *[SOAK_REQUESTS // 10] * 10):
            found: list[Counter[int]] = [Counter() for _ in range(8)]
            threads = [Thread(target=client, args=(requests // 8, each)) for each in found]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            statuses = ", ".join(f"{n} x {status}" for status, n in sum(found, Counter()).items())
            columns = [" + ".join(f"{n:.0f}" for n in each) for each in processes(service)]
            rows.append(f"| {statuses} | {' | '.join(columns)} |")
    return rows


SECTIONS: dict[str, tuple[str, str, Callable[[Any], list[str]]]] = {
    "slow": (
        f"{QUIET_RATE} requests per second, next to slow clients.",
        "| worker | slow clients | served | p50 ms | p99 ms |",
        slow_clients,
    ),
    "overload": (
        "Twice the maximum; clients wait 5 s.",
        "| sheds | maximum, requests/s | served, of it | in the last 20 s | their p99 ms |"
        " responses | at half the maximum after it |",
        overload,
    ),
    "throughput": (
        "One client on one connection; requests/s.",
        "| | the service's worker | gthread | ratios of the rounds |",
        throughput,
    ),
    "soak": (
        f"{SOAK_REQUESTS} requests, as fast as possible: the main process and two workers.",
        "| responses since the row above | private MiB | descriptors | threads |",
        soak,
    ),
}


def main(*parts: str) -> None:
    """Measure some parts, or all."""
    lines: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with (
            installed(folder) as (project, redis, environment),
            separate_cores(redis.process.pid) as pin,
        ):
            load_blogs(project, environment)
            gunicorn = [str(project.path / ".venv/bin/gunicorn"), "cache_wsgi:application"]
            numbers = iter(range(100))

            def serve(**more: str) -> Service:
                """Start the service on the first core, with Redis."""
                log = folder / f"gunicorn-{next(numbers)}.log"
                return Service(pin(gunicorn), project.path, log, **environment | SETTINGS | more)

            for part in parts or SECTIONS:
                title, head, measure = SECTIONS[part]
                columns = head.count("|") - 1
                lines += [title, "", head, "|---" * columns + "|", *measure(serve), ""]
    publish("limits", "\n".join(lines))
