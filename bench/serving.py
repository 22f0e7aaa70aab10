"""Services, connections and cores for benchmarks."""

import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.service.servers import RedisServer
from tests.support import ROOT, BakedProject, generate, run, template

# DEBUG slows uncached views most, and so flatters ratios to them.
PRODUCTION = {
    "DEBUG": "false",
    "ALLOWED_HOSTS": "127.0.0.1",
    "SECRET_KEY": "0123456789-abcdefghijklmnopqrstuvwxyz-0123456789-abcdefghij",
    "SECURE_SSL_REDIRECT": "false",
    "NUM_PROXIES": "1",
    "ENV_FILE": os.devnull,
}
# A machine that is busy with a benchmark is not overloaded, and its Redis is not down.
PATIENT = {"QUEUE_SECONDS": "10", "REDIS_SOCKET_TIMEOUT": "1"}
_BLOGS = """
from {package}.blog.models import Author, Blog
authors = [Author.objects.get_or_create(name=f"Author {{n}}")[0] for n in range(5)]
Blog.objects.bulk_create(
    (
        Blog(author=authors[n % 5], title=f"Blog {{n}}", body="Some words of it. " * 20)
        for n in range({start}, {stop})
    ),
    batch_size=5000,
)
"""


@contextmanager
def installed(folder: Path) -> Iterator[tuple[BakedProject, RedisServer, dict[str, str]]]:
    """Yield an installed service with a migrated database, a Redis, and their environment."""
    project = generate(template(), folder)
    run(["make", "install"], cwd=project.path)
    redis = RedisServer(folder)
    redis.start()
    environment = {
        **PRODUCTION,
        "BENCH_PACKAGE": project.slug,
        "PYTHONPATH": f"{ROOT / 'bench' / 'inside'}{os.pathsep}{project.path}",
        "REDIS_URL": redis.url,
        "LOG_LEVEL": "ERROR",
        "DATABASE_URL": f"sqlite:///{folder / 'db.sqlite3'}",
    }
    python = project.path / ".venv/bin/python"
    run([python, "manage.py", "migrate", "-v0"], cwd=project.path, **environment)
    collect = "collectstatic --noinput -v0 --ignore redoc".split()
    run([python, "manage.py", *collect], cwd=project.path, **environment)
    try:
        yield project, redis, environment
    finally:
        redis.stop()


def load_blogs(
    project: BakedProject, environment: dict[str, str], start: int = 0, stop: int = 100
) -> None:
    """Create blogs of 5 authors in the service's database, numbered from start to stop."""
    script = _BLOGS.format(package=project.slug, start=start, stop=stop)
    python = project.path / ".venv/bin/python"
    run([python, "manage.py", "shell", "-v0", "-c", script], project.path, **environment)


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


@contextmanager
def separate_cores(*servers: int) -> Iterator[Callable[[Sequence[str | Path]], list[str | Path]]]:
    """Pin the servers to the first core and this process to the last one.

    Yields:
        a function that returns a command to run another command on the servers' core.
    """
    processes = [0, *servers]
    before = [os.sched_getaffinity(pid) for pid in processes]
    first, last = min(before[0]), max(before[0])
    for pid in processes:
        os.sched_setaffinity(pid, {first if pid else last})
    yield lambda command: ["taskset", "--cpu-list", str(first), *command]
    for pid, cores in zip(processes, before, strict=True):
        os.sched_setaffinity(pid, cores)


class Connection:
    """A persistent HTTP connection with minimal overhead in the client."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), 30)

    def get(self, path: str, **headers: str) -> tuple[int, bytes, bytes]:
        """Send a GET request; return the status, the head and the body of the response."""
        self._socket.sendall(request_for(path, **headers))
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


def request_for(path: str, **headers: str) -> bytes:
    """Return the bytes of a GET request; `_` in the names of headers is a hyphen."""
    lines = [f"GET {path} HTTP/1.1", "Host: 127.0.0.1"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode()


def requests_per_second(connection: Connection, path: str, seconds: float, **headers: str) -> float:
    """Return the rate of sequential GET requests over one connection."""
    count, started = 0, time.perf_counter()
    while (spent := time.perf_counter() - started) < seconds:
        status, _, _ = connection.get(path, **headers)
        assert status in {200, 304}, status
        count += 1
    return count / spent
