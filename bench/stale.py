"""Compare invalidations of a response that takes a second, with and without `stale`.

`make bench ARGS=stale`. Eight connections request it, and every 2.5 seconds a write invalidates it.
"""

import tempfile
import threading
from pathlib import Path

from bench.client import Load, load, repeated
from bench.publication import publish, table_of
from bench.rounds import ROUNDS
from bench.serving import PATIENT, Connection, installed, load_blogs
from tests.running import Service

CONNECTIONS, SECONDS, INTERVAL = 8, 10.0, 2.5
SUBJECTS = {
    "no write": ("/slow/stale/", False),
    "a write every 2.5 s, `stale=30`": ("/slow/stale/", True),
    "a write every 2.5 s": ("/slow/", True),
}


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with installed(folder) as (project, _, environment):
            load_blogs(project, environment)
            environment |= {
                **PATIENT,
                "DJANGO_SETTINGS_MODULE": "cache_service",
                "WEB_CONCURRENCY": "1",
                # A thread for each connection: in the last case, all wait for one computation.
                "WEB_THREADS": str(CONNECTIONS),
            }
            gunicorn = [str(project.path / ".venv/bin/gunicorn"), "cache_wsgi:application"]
            log = folder / "gunicorn.log"
            with Service(gunicorn, project.path, log, **environment) as service:
                found: dict[str, list[Load]] = {subject: [] for subject in SUBJECTS}
                for _ in range(ROUNDS):
                    for subject, (path, is_written) in SUBJECTS.items():
                        found[subject].append(measure(service.port, path, is_written))
    publish("stale", table_of(HEAD, [row(*each) for each in found.items()]))


def measure(port: int, path: str, is_written: bool) -> Load:
    """Return the durations of requests during some writes, if there are any."""
    Connection(port).get(path)
    ended = threading.Event()
    writer = threading.Thread(target=_write, args=(port, ended))
    if is_written:
        writer.start()
    try:
        return load(port, [repeated(path)] * CONNECTIONS, SECONDS)
    finally:
        ended.set()
        if is_written:
            writer.join()


def _write(port: int, ended: threading.Event) -> None:
    connection = Connection(port)
    while not ended.wait(INTERVAL):
        connection.get("/write/")
    connection.close()


HEAD = ["", "requests", "p50 ms", "p99 ms", "p99.9 ms", "slowest ms"]


def row(subject: str, rounds: list[Load]) -> list[object]:
    """Return the durations of all rounds together."""
    durations = sorted(duration for each in rounds for duration in each.durations)
    total = Load(sum(each.seconds for each in rounds), durations)
    shares = (0.5, 0.99, 0.999, 1)
    return [subject, len(durations), *(f"{total.milliseconds(share):.1f}" for share in shares)]
