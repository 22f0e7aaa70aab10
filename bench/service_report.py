"""The tables and the figure of bench/service.py."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from bench.publication import bars, publish, spread, table_of
from bench.servers import THREADS

COLOURS = {
    "the floor": "#9a9a9a",
    "this template": "#2f7ed8",
    "stock": "#e07b39",
    "others": "#3a9d5d",
}
NOTES = f"""\
The servers and Redis share one core; the client has another one and keeps 8 connections busy, so
that p50 and p99 contain the wait for that core. Medians of interleaved rounds, with the lowest and
the highest in brackets; the ratios are those of medians. DEBUG is off. All lists have the same 20
rows. Clients change their address after 1000 requests of a limit of 1000 per hour: DRF's throttle
costs more with each request of a client, and is half used on average. The cost of the service's
throttle does not depend on its limit, which is higher, since one token sends all its requests.

- The floor and "this template" are views of the generated service, with all its middleware, its
  JSON access log, and its metrics; `bare WSGI application` is in its process, without Django.
- "Stock" is `django-admin startproject` with the settings of Django's, REST framework's and
  cacheops' documentation: Django's RedisCache, cacheops' default mode, DRF's throttle, text logs.
  gunicorn has {THREADS} threads per worker and its access log, like the service, but no metrics:
  its default, a synchronous worker without an access log, closes each connection.
- django-ninja (gunicorn with {THREADS} threads per worker) and FastAPI (uvicorn) serve the list as
  JSON bytes from Redis, with django-ninja's throttle and slowapi's; their access logs are on.
"""

# Measured once, apart from the rounds of this benchmark.
MEMORY = """\
What was tried for memory, with 2 workers after 10 to 20 s of such requests, one to six runs each.
The same service differs by 5 MiB from run to run, with the share of the connections that each
worker has:

| | PSS, MiB |
| --- | --- |
| as it is: loaded before the fork, garbage collected and frozen (`gc.freeze`) | 121 to 125 |
| not frozen | 141 to 147 |
| no collection of garbage before `gc.freeze` | 115 to 121 |
| no collection of garbage until the fork, as Python's documentation advises | 125 to 126 |
| the modules that the first requests import are imported before the fork | 119 to 124 |
| `MALLOC_ARENA_MAX=2`, `MALLOC_ARENA_MAX=1` | 128, 126 |
| `PYTHONMALLOC=malloc` | 146 to 150 |
| Python 3.13, as in the image | 119 to 122 |

A worker at rest has 5 MiB of its own. The first readiness check, which reads the migrations, adds 9
MiB in one worker, and the first requests 7 to 10 in each. Only 2.7 MiB of that are new objects. The
rest are pages of shared objects, which the kernel copies because Python counts references in them.
"""


class Target(NamedTuple):
    """A subject that must be faster than another one by a factor."""

    subject: str
    other: str
    minimum: float


TARGETS = [
    Target("cached list", "bare WSGI application", 0.40),
    Target("cached list", "stock: cacheops + DRF throttle", 6),
    Target("cached list", "stock: cache_page + DRF throttle", 2.5),
    Target("cached list, token", "empty DRF view, token", 0.75),
    Target("uncached list", "stock: uncached + DRF throttle", 1),
    Target("denied request (429)", "stock: denied request (429)", 3),
    Target("cached list, 304", "cached list", 1),
]


def group_of(subject: str) -> str:
    """Return the group of a subject in the figure."""
    if subject.startswith("stock"):
        return "stock"
    if subject.startswith(("django-ninja", "FastAPI")):
        return "others"
    return "the floor" if subject.startswith(("bare", "empty")) else "this template"


def medians(figures: Mapping[str, Sequence[Any]]) -> dict[str, float]:
    """Return the median of the requests per second of each subject."""
    return {
        name: statistics.median(each.per_second for each in rounds)
        for name, rounds in figures.items()
    }


def main_table(figures: Mapping[str, Sequence[Any]]) -> str:
    """Return the table of all subjects with one number of workers."""
    rates = medians(figures)
    bare = rates["bare WSGI application"]
    rows = []
    for name, rounds in figures.items():
        per_second, p50, p99, service, redis = zip(*rounds, strict=True)
        rows.append(
            [
                name,
                spread(per_second),
                f"{rates[name] / bare:.2f}",
                f"{statistics.median(p50):.1f}",
                f"{statistics.median(p99):.1f}",
                f"{statistics.median(service):.0f}",
                f"{statistics.median(redis):.0f}",
            ]
        )
    head = ["", "requests/s", "of bare", "p50 ms", "p99 ms", "µs CPU of server", "of Redis"]
    return table_of(head, rows)


def targets(figures: Mapping[str, Sequence[Any]]) -> list[list[object]]:
    """Return a row for each target: its subjects, the ratio, and the target."""
    rates = medians(figures)
    return [
        [
            f"{name} / {other}",
            f"{rates[name] / rates[other]:.2f}",
            f"{minimum:.2f}",
            "yes" if rates[name] >= minimum * rates[other] else "no",
        ]
        for name, other, minimum in TARGETS
    ]


def process_table(processes: Mapping[int, Mapping[str, Any]]) -> str:
    """Return the table of memory and of the time to the first response."""
    rows = [
        [
            name,
            workers,
            f"{found.memory:.0f}",
            spread(found.starts, 2),
        ]
        for workers, each in processes.items()
        for name, found in each.items()
    ]
    return table_of(["", "workers", "PSS after the load, MiB", "s to the first 200"], rows)


def text_of(
    figures: Mapping[int, Mapping[str, Sequence[Any]]],
    processes: Mapping[int, Mapping[str, Any]],
    size: tuple[float, float],
) -> Iterator[str]:
    """Yield the parts of the report."""
    first = min(figures)
    yield NOTES
    for workers, found in figures.items():
        yield f"With {workers} worker{'s' if workers > 1 else ''}:\n"
        yield main_table(found) + "\n"
    yield f"Targets, with {first} worker{'s' if first > 1 else ''}:\n"
    head = ["", "ratio", "target", "reached"]
    yield table_of(head, targets(figures[first])) + "\n"
    yield process_table(processes) + "\n"
    yield MEMORY
    environment, files = size
    yield (
        f"The image adds {environment + files:.0f} MB to its base: {environment:.0f} MB of packages"
        f" with compiled bytecode, and {files:.0f} MB of the service's files. This is the size of"
        " what its Dockerfile installs, without a build of the image."
    )


def publish_report(
    figures: Mapping[int, Mapping[str, Sequence[Any]]],
    processes: Mapping[int, Mapping[str, Any]],
    size: tuple[float, float],
) -> None:
    """Publish the figures by number of workers, the servers' processes, and the size in MB."""
    data = {
        "subjects": {
            workers: {name: [each._asdict() for each in rounds] for name, rounds in found.items()}
            for workers, found in figures.items()
        },
        "servers": {
            workers: {name: each._asdict() for name, each in found.items()}
            for workers, found in processes.items()
        },
        "image_megabytes": {"packages": size[0], "files": size[1]},
    }
    rates = medians(figures[min(figures)])

    def figure() -> Any:
        rows = [(name, rate, group_of(name)) for name, rate in rates.items()]
        return bars(
            rows, COLOURS, title="A list of 20 rows, on one core with Redis", unit="requests/s"
        )

    publish("service", "\n".join(text_of(figures, processes, size)), data, figure)
