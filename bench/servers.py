"""The servers that bench/service.py compares, each with its usual configuration."""

import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from bench.serving import PATIENT, PRODUCTION, Connection
from tests.running import Service
from tests.support import ROOT, UV, BakedProject, run

INSIDE = ROOT / "bench" / "inside"
PEERS = ROOT / "build" / "bench-peers"
THREADS = 4  # of each worker; the service's default
OURS, STOCK, SYNC = "this template", "stock", "stock, gunicorn's defaults"
NINJA, FASTAPI = "django-ninja", "FastAPI"
Pin = Callable[[Sequence[str | Path]], list[str | Path]]


class Peer(Service):
    """A server without an operations port: ready when a path returns 200."""

    def __init__(
        self, path: str, command: Sequence[str | Path], cwd: Path, log: Path, **environment: str
    ) -> None:
        self._path = path
        super().__init__(command, cwd, log, **environment)

    def is_ready(self) -> bool:
        """Return whether the path returns 200; fail if the process has exited."""
        assert self.process.poll() is None, f"the server exited:\n{self.log.read_text()}"
        try:
            connection = Connection(self.port)
        except OSError:
            return False
        with suppress(OSError):
            return connection.get(self._path)[0] == 200
        return False


class Server(NamedTuple):
    """A server that can be started with any number of workers.

    Attributes:
        name: its name in tables.
        path: the list of blogs.
        start: starts it on the servers' core with a number of workers.
    """

    name: str
    path: str
    start: Callable[[int], Service]


def install_peers() -> None:
    """Install the pinned versions of the peers into an environment in build/."""
    run([UV, "venv", "--quiet", "--allow-existing", PEERS], ROOT)
    run([UV, "pip", "install", "--quiet", "--python", PEERS, "--group", "bench-peers"], ROOT)


def servers(
    project: BakedProject, environment: dict[str, str], folder: Path, pin: Pin
) -> dict[str, Server]:
    """Return the servers by name. Logs and metrics are on; each log is a file.

    Args:
        project: the installed service.
        environment: its environment, with the URLs of the database and Redis.
        folder: a folder for logs; it has the list's JSON as list.json.
        pin: returns a command that runs on the servers' core.
    """
    packages = install_production(project, folder)
    work = folder / "peers"
    work.mkdir(exist_ok=True)
    shared = {name: environment[name] for name in ("REDIS_URL", "DATABASE_URL")} | {
        "SECRET_KEY": PRODUCTION["SECRET_KEY"],
        "LOG_FILE": str(folder / "django.log"),
        "BENCH_LIST": str(folder / "list.json"),
        "PYTHONPATH": f"{INSIDE / 'stock'}{os.pathsep}{INSIDE / 'peers'}",
    }

    def ours(workers: int) -> Service:
        more = PATIENT | {
            "DJANGO_SETTINGS_MODULE": "cache_service",
            "LOG_LEVEL": "INFO",
            "WEB_CONCURRENCY": str(workers),
            "WEB_THREADS": str(THREADS),
        }
        command = [str(packages / "bin/gunicorn"), "cache_wsgi:application"]
        log = folder / f"service-{workers}.log"
        return Service(pin(command), project.path, log, **environment | more)

    def peer(
        name: str,
        path: str,
        settings: str,
        program: str,
        threads: str = f"-k gthread --threads {THREADS}",
    ) -> Server:
        def start(workers: int) -> Service:
            options = f"--workers {workers} {threads}"
            line = f"exec {PEERS / 'bin'}/{program} {options}"
            more = {"DJANGO_SETTINGS_MODULE": settings}
            log = folder / f"{name.replace(' ', '-')}-{workers}.log"
            return Peer(path, pin(["sh", "-c", line]), work, log, **shared | more)

        return Server(name, path, start)

    gunicorn = 'gunicorn --bind "127.0.0.1:$PORT" wsgi:application'
    with_log = f"{gunicorn} --access-logfile -"
    uvicorn = 'uvicorn --port "$PORT" fastapi_app:app'
    found = [
        Server(OURS, "/api/blogs/", ours),
        peer(STOCK, "/cacheops/", "settings", with_log),
        # A synchronous worker closes each connection, and there is no access log.
        peer(SYNC, "/cacheops/", "settings", gunicorn, ""),
        peer(NINJA, "/api/blogs/", "ninja_settings", with_log),
        peer(FASTAPI, "/api/blogs/", "", uvicorn, ""),
    ]
    return {server.name: server for server in found}


def seconds_to_first_200(server: Server, workers: int) -> float:
    """Start and stop a server; return the seconds until the list's first 200."""
    started = time.perf_counter()
    service = server.start(workers)
    try:
        while True:
            assert service.process.poll() is None, service.log.read_text()
            with suppress(OSError):
                connection = Connection(service.port)
                status = connection.get(server.path)[0]
                connection.close()
                assert status == 200, status
                return time.perf_counter() - started
            time.sleep(0.002)
    finally:
        service.stop()


def install_production(project: BakedProject, folder: Path) -> Path:
    """Install the packages that the image has, and return their environment."""
    environment = folder / "production"
    variables = {
        "UV_PROJECT_ENVIRONMENT": str(environment),
        "UV_COMPILE_BYTECODE": "1",
        "UV_LINK_MODE": "copy",
    }
    run([UV, "sync", "--quiet", "--no-dev", "--no-editable"], project.path, **variables)
    return environment


def installed_size(project: BakedProject, folder: Path) -> tuple[float, float]:
    """Return the MB of the service's packages as its image has them, and those of its files."""
    names = ["pyproject.toml", "manage.py", "gunicorn.conf.py", "staticfiles", project.slug]
    return _size(folder / "production"), sum(_size(project.path / name) for name in names)


def _size(path: Path) -> float:
    files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
    return sum(each.lstat().st_size for each in files) / 1e6
