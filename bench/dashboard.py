"""Draw the dashboard of helm/web from the metrics of a service: `make bench ARGS=dashboard`.

A real Prometheus, with the configuration of `make observe`, scrapes a service under load, and
evaluates the queries of the panels. Redis fails, PostgreSQL fails, and more requests arrive than
the threads can handle. A panel without data is an error.
"""

import json
import math
import re
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

from bench.dashboard_figure import Panel, Phase, draw
from bench.limits import start
from bench.prometheus import SCRAPE_SECONDS, STEP_SECONDS, Prometheus, running_prometheus
from bench.publication import publish, table_of
from bench.serving import installed, load_blogs
from tests.running import Service
from tests.service.load import Background
from tests.service.proxy import Proxy
from tests.service.servers import RedisServer, running_postgres
from tests.support import BakedProject, run

CALM, FAULT = 25, 15  # seconds between faults, and of each fault
SETTINGS = {
    "LOG_LEVEL": "INFO",
    "WEB_CONCURRENCY": "2",
    "WEB_THREADS": "4",
    "THROTTLE_BLOG_LIMIT": "10/s",
    "THROTTLE_AUTHOR_LIMIT": "10/s",
}
PATHS = [
    *["/api/blogs/", "/api/blogs/7/", "/api/blogs/?author=1", "/api/authors/"] * 2,
    "/api/blogs/?n={n}",
    "/api/blogs/999/",
]
FROM_MANY_ADDRESSES = {"X-Forwarded-For": "10.0.{a}.{b}"}
# Grafana's $__rate_interval.
RATE_INTERVAL = f"{max(STEP_SECONDS + SCRAPE_SECONDS, 4 * SCRAPE_SECONDS)}s"


class Writer(Background):
    """Change a blog every two seconds, so that cached responses are invalidated."""

    def __init__(self, service: Service, **header: str) -> None:
        self._service, self._header = service, header
        super().__init__(self._write)

    def _write(self) -> None:
        number = 0
        while not self.stopping.wait(2):
            number += 1
            title = {"title": f"Change {number}"}
            self._service.request("/api/blogs/7/", "PATCH", title, **self._header)


@contextmanager
def load(
    service: Service, rate: float, threads: int, paths: list[str], **header: str
) -> Iterator[None]:
    """Send requests at a rate, from a separate process, until the block ends."""
    options = {"rate": rate, "threads": threads, "paths": paths, "headers": header}
    limits = {"count": 10_000_000, "seconds": 3600, "timeout": 5}
    with start("load", host="127.0.0.1", port=service.port, **options, **limits) as process:
        yield
        process.communicate()


def phases(service: Service, redis: RedisServer, database: Proxy) -> Iterator[Phase]:
    """Cause each fault, and yield it when it has ended."""

    @contextmanager
    def redis_down() -> Iterator[None]:
        redis.stop(signal.SIGKILL)
        yield
        redis.start()

    @contextmanager
    def database_down() -> Iterator[None]:
        database.refuse()
        yield
        database.listen()

    faults: dict[str, Callable[[], AbstractContextManager[None]]] = {
        "Redis is down": redis_down,
        "PostgreSQL is down": database_down,
        "overload": lambda: load(service, 500, 300, ["/api/blogs/?n={n}"], **FROM_MANY_ADDRESSES),
    }
    for name, fault in faults.items():
        time.sleep(CALM)
        started = time.time()
        with fault():
            time.sleep(FAULT)
        yield Phase(name, started, time.time())
    time.sleep(CALM)


def variables(prometheus: Prometheus, dashboard: dict[str, Any]) -> dict[str, str]:
    """Return the values that Grafana selects first for the dashboard's variables."""
    found = {"__rate_interval": RATE_INTERVAL}
    for variable in dashboard["templating"]["list"]:
        if query := re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]):
            values = prometheus.label_values(substitute(query[1], found), query[2])
            found[variable["name"]] = variable.get("allValue") or values[0]
    return found


def substitute(query: str, values: dict[str, str]) -> str:
    """Replace the variables in a query."""
    return re.sub(r"\$(\w+)", lambda name: values[name[1]], query)


def panels(
    prometheus: Prometheus, dashboard: dict[str, Any], first: float, last: float
) -> list[Panel]:
    """Evaluate the queries of all panels between two times in Unix seconds.

    Raises:
        AssertionError: a panel has no data.
    """
    values = variables(prometheus, dashboard)
    found = []
    for definition in dashboard["panels"]:
        series = {
            legend(target["legendFormat"], each.labels): each
            for target in definition["targets"]
            for each in prometheus.query_range(substitute(target["expr"], values), first, last)
        }
        has_data = any(map(math.isfinite, (v for each in series.values() for v in each.values)))
        assert has_data, f"the panel {definition['title']!r} has no data"
        found.append(Panel(definition, series))
    return found


def legend(text: str, labels: dict[str, str]) -> str:
    """Return the name of a series: the legend with the values of its labels."""
    return re.sub(r"\{\{(\w+)\}\}", lambda label: labels.get(label[1], ""), text).strip()


def record(
    project: BakedProject, redis: RedisServer, environment: dict[str, str], folder: Path
) -> tuple[list[Panel], list[Phase]]:
    """Return the panels and the faults of a service under load."""
    python = project.path / ".venv/bin/python"
    with running_postgres() as postgres, ExitStack() as stack:
        database = Proxy(postgres.port)
        url = postgres.url.replace(str(postgres.port), str(database.port))
        environment = environment | SETTINGS | {"DATABASE_URL": url}
        run([python, "manage.py", "migrate", "-v0"], project.path, **environment)
        load_blogs(project, environment)
        gunicorn = [project.path / ".venv/bin/gunicorn"]
        log = folder / "gunicorn.log"
        service = stack.enter_context(Service(gunicorn, project.path, log, **environment))
        header = project.sign_in(service, **environment)
        prometheus = stack.enter_context(running_prometheus(project, service.ops_port, folder))
        with (
            Writer(service, **header),
            load(service, 60, 30, PATHS, **FROM_MANY_ADDRESSES),
            load(service, 15, 10, ["/api/blogs/"], **{"X-Forwarded-For": "192.0.2.1"}),
        ):
            time.sleep(5)  # until the cache is filled
            first = time.time()
            faults = list(phases(service, redis, database))
            last = time.time()
        dashboard = json.loads(project.read("helm/web/files/dashboard.json"))
        return panels(prometheus, dashboard, first, last), faults


def highest(values: Sequence[float]) -> str:
    """Return the highest value that is a number."""
    return f"{max(filter(math.isfinite, values), default=math.nan):.3g}"


def main() -> None:
    with tempfile.TemporaryDirectory() as name, installed(Path(name)) as installation:
        found, faults = record(*installation, Path(name))
    rows = [
        [
            panel.definition["title"],
            panel.definition["fieldConfig"]["defaults"]["unit"],
            ", ".join(f"{each}: {highest(s.values)}" for each, s in sorted(panel.series.items())),
        ]
        for panel in found
    ]
    text = (
        "The dashboard of helm/web, with what Prometheus returned for the queries of its panels."
        f" Scraped every second; rates over {RATE_INTERVAL}.\n\n"
        + table_of(["panel", "unit", "highest value of each series"], rows)
    )
    publish("dashboard", text, figure=lambda: draw(found, faults))
