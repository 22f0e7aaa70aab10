"""Helpers for benchmarks of a running service."""

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.service.servers import RedisServer
from tests.support import ROOT, BakedProject, generate, run, template

RESULTS = ROOT / "bench" / "results"
_BLOGS = """
from {package}.blog.models import Author, Blog
authors = [Author.objects.create(name=f"Author {{n}}") for n in range(5)]
Blog.objects.bulk_create(
    Blog(author=authors[n % 5], title=f"Blog {{n}}", body="Some words of it. " * 20)
    for n in range(100)
)
"""


def publish(name: str, text: str) -> None:
    """Print a benchmark's table and write it to the results."""
    print(text)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / name).write_text(text, encoding="utf-8")


@contextmanager
def installed(folder: Path) -> Iterator[tuple[BakedProject, RedisServer, dict[str, str]]]:
    """Yield an installed service with a migrated database, a Redis, and their environment."""
    project = generate(template(), folder)
    run(["make", "install"], cwd=project.path)
    redis = RedisServer(folder)
    redis.start()
    environment = {
        "BENCH_PACKAGE": project.slug,
        "PYTHONPATH": f"{ROOT / 'bench' / 'inside'}{os.pathsep}{project.path}",
        "REDIS_URL": redis.url,
        "NUM_PROXIES": "1",
        "DEBUG": "true",
        "ENV_FILE": os.devnull,
        "LOG_LEVEL": "ERROR",
        "DATABASE_URL": f"sqlite:///{folder / 'db.sqlite3'}",
    }
    python = project.path / ".venv/bin/python"
    run([python, "manage.py", "migrate", "-v0"], cwd=project.path, **environment)
    try:
        yield project, redis, environment
    finally:
        redis.stop()


def load_blogs(project: BakedProject, environment: dict[str, str]) -> None:
    """Create 100 blogs of 5 authors in the service's database."""
    script = _BLOGS.format(package=project.slug)
    command: list[str | Path] = [
        project.path / ".venv/bin/python",
        "manage.py",
        "shell",
        "-v0",
        "-c",
        script,
    ]
    run(command, project.path, **environment)


@contextmanager
def one_core(*servers: int) -> Iterator[None]:
    """Pin this process, its children and the servers to one core, if the system supports it.

    The measurement then includes the work of both sides, but not the wake-up time of idle cores.
    """
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    processes = [0, *servers]
    before = [os.sched_getaffinity(pid) for pid in processes]
    for pid in processes:
        os.sched_setaffinity(pid, {min(before[0])})
    yield
    for pid, cores in zip(processes, before, strict=True):
        os.sched_setaffinity(pid, cores)


class Connection:
    """A persistent HTTP connection with minimal overhead in the client."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), 30)

    def get(self, path: str, **headers: str) -> tuple[int, bytes, bytes]:
        """Send a GET request; return the status, the head and the body of the response."""
        lines = [f"GET {path} HTTP/1.1", "Host: 127.0.0.1"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self._socket.sendall("\r\n".join([*lines, "", ""]).encode())
        head, _, body = self._until(lambda data: b"\r\n\r\n" in data).partition(b"\r\n\r\n")
        status = int(head[9:12])
        if status != 304:
            length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
            body = self._until(lambda data: len(data) >= length, body)
        return status, head, body

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def _until(self, is_complete: Callable[[bytes], bool], data: bytes = b"") -> bytes:
        while not is_complete(data):
            received = self._socket.recv(1 << 16)
            if not received:
                raise ConnectionError("the server closed the connection")
            data += received
        return data


def requests_per_second(connection: Connection, path: str, seconds: float, **headers: str) -> float:
    """Return the rate of sequential GET requests over one connection."""
    count, started = 0, time.perf_counter()
    while (spent := time.perf_counter() - started) < seconds:
        status, _, _ = connection.get(path, **headers)
        assert status in {200, 304}, status
        count += 1
    return count / spent


def pyplot() -> Any:
    """Return matplotlib.pyplot, configured for reproducible SVG files."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "bench"
    import matplotlib.pyplot

    return matplotlib.pyplot
