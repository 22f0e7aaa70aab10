"""Compare a cached response with the alternatives: `make bench ARGS=cache`.

One gunicorn worker with one thread shares a core with Redis. The rounds are interleaved, and the
ratios compare the medians of the rounds.
"""

import statistics
import tempfile
from pathlib import Path

from bench.publication import publish, spread, table_of
from bench.serving import Connection, installed, load_blogs, one_core, requests_per_second
from tests.running import Service

ROUNDS, SECONDS = 9, 1.0
SUBJECTS = {
    "a bare WSGI application": "/bare/",
    "an empty view of Django REST framework": "/empty/",
    "the list, cached": "/api/blogs/",
    "the list, cached: 304": "/api/blogs/",
    "the list, cached_as on the payload": "/cached_as/",
    "the list, cacheops' querysets and stock throttle": "/seed/",
    "the list, uncached": "/uncached/",
}


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with installed(folder) as (project, redis, environment):
            load_blogs(project, environment)
            environment |= {
                "DJANGO_SETTINGS_MODULE": "cache_service",
                "WEB_CONCURRENCY": "1",
                "WEB_THREADS": "1",
            }
            gunicorn = [str(project.path / ".venv/bin/gunicorn"), "cache_wsgi:application"]
            with (
                one_core(redis.process.pid),
                Service(gunicorn, project.path, folder / "gunicorn.log", **environment) as service,
            ):
                rates = measure(service.port)
    medians = {subject: statistics.median(rounds) for subject, rounds in rates.items()}
    bare, empty, *_, uncached = medians.values()
    head = ["", "requests/s", "of bare", "of empty", "of uncached"]
    rows = [
        [
            subject,
            spread(rates[subject]),
            *(f"{rate / bare:.2f}", f"{rate / empty:.2f}", f"{rate / uncached:.1f}"),
        ]
        for subject, rate in medians.items()
    ]
    publish("cache", table_of(head, rows), rates)


def measure(port: int) -> dict[str, list[float]]:
    """Return the requests per second of each subject in each round."""
    connection = Connection(port)
    _, head, _ = connection.get("/api/blogs/")
    etag = head.decode().partition("ETag: ")[2].split("\r\n")[0]
    rates: dict[str, list[float]] = {subject: [] for subject in SUBJECTS}
    for number in range(ROUNDS + 1):
        for subject, path in SUBJECTS.items():
            headers = {"If_None_Match": etag} if subject.endswith("304") else {}
            rate = requests_per_second(connection, path, SECONDS, **headers)
            if number:  # the first round is a warm-up
                rates[subject].append(rate)
    return rates
