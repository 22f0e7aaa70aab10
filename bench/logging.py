"""Measure the cost of logging per record and per request: `make bench ARGS=logging`."""

import statistics
import tempfile
from pathlib import Path

from bench.publication import publish
from bench.serving import Connection, installed, one_core, requests_per_second
from tests.running import Service
from tests.support import ROOT, UV, BakedProject, run

# Short rounds, so that a temporarily slow machine affects all variants.
ROUNDS, SECONDS = 200, 0.08
# Each variant removes one more part; the last is the baseline.
VARIANTS: dict[str, dict[str, str]] = {
    "the service": {},
    "without the access line": {"LOG_LEVEL_GUNICORN__ACCESS": "WARNING"},
    "without access line and metrics": {
        "LOG_LEVEL_GUNICORN__ACCESS": "WARNING",
        "BENCH_WITHOUT": "MetricsMiddleware",
    },
    "without access line, metrics and context": {
        "LOG_LEVEL_GUNICORN__ACCESS": "WARNING",
        "BENCH_WITHOUT": "MetricsMiddleware RequestContextMiddleware",
    },
}


def main() -> None:
    with (
        tempfile.TemporaryDirectory() as name,
        installed(Path(name)) as (project, redis, environment),
    ):
        folder = Path(name)
        python = project.path / ".venv/bin/python"
        run([UV, "pip", "install", "--quiet", "--python", python, "structlog==25.5.0"], cwd=folder)
        environment |= {
            "DJANGO_SETTINGS_MODULE": "cache_service",
            "WEB_CONCURRENCY": "1",
            "WEB_THREADS": "1",
        }
        with one_core(redis.process.pid):
            table = run(
                [python, ROOT / "bench/inside/logging_service.py"],
                project.path,
                **environment | {"DJANGO_SETTINGS_MODULE": f"{project.slug}.settings"},
            )
            rates = per_request(project, environment | {"LOG_LEVEL": "INFO"}, folder)
    base = rates["without access line, metrics and context"]
    overhead = {
        name: statistics.median(1 - rate / other for rate, other in zip(rounds, base, strict=True))
        for name, rounds in rates.items()
    }
    lines = [
        table,
        "",
        "An empty view of Django REST framework, one worker with one thread on one core;"
        f" medians of {ROUNDS} rounds, each compared with the baseline in the same round:",
        "",
        "| | requests/s | middle half of the rounds | overhead |",
        "|---|---|---|---|",
        *(
            f"| {name} | {statistics.median(rounds):.0f} | {quartiles(rounds)} |"
            f" {overhead[name]:.1%} |"
            for name, rounds in rates.items()
        ),
    ]
    publish("logging", "\n".join(lines), rates)


def quartiles(values: list[float]) -> str:
    """Return the range of the middle half of values; 200 short rounds have outliers."""
    low, _, high = statistics.quantiles(values, n=4)
    return f"{low:.0f} to {high:.0f}"


def per_request(
    project: BakedProject, environment: dict[str, str], folder: Path
) -> dict[str, list[float]]:
    """Return the requests per second of each variant in each of the interleaved rounds."""
    gunicorn = [str(project.path / ".venv/bin/gunicorn"), "cache_wsgi:application"]
    services = {
        name: Service(gunicorn, project.path, folder / f"{number}.log", **environment | more)
        for number, (name, more) in enumerate(VARIANTS.items())
    }
    rates: dict[str, list[float]] = {name: [] for name in services}
    for service in services.values():
        service.__enter__()
    connections = {name: Connection(service.port) for name, service in services.items()}
    for number in range(-5, ROUNDS):
        for name, connection in connections.items():
            rate = requests_per_second(connection, "/empty/", SECONDS)
            if number >= 0:  # the first rounds are a warm-up
                rates[name].append(rate)
    for service in services.values():
        service.stop()
    return rates
