"""Start, query and stop real servers, with the standard library only."""

import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Any


def free_port() -> int:
    """Return a TCP port that is free on the loopback interface."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(condition: Callable[[], Any], subject: str, seconds: float = 60) -> Any:
    """Poll a condition and return its first true value; fail after the timeout."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.02)
    raise AssertionError(f"timed out after {seconds:.0f} s waiting for {subject}")


@dataclass(frozen=True)
class Response:
    """An HTTP response."""

    status: int
    reason: str
    headers: Message
    body: str

    def json(self) -> Any:
        """Parse the body."""
        return json.loads(self.body)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any) -> None:
        return None


_opener = urllib.request.build_opener(_NoRedirect)


def request(url: str, method: str = "GET", data: Any = None, **headers: str) -> Response:
    """Send a request, with `data` as JSON. Neither follow redirects nor raise on error statuses."""
    prepared = urllib.request.Request(
        url, json.dumps(data).encode() if data is not None else None, method=method
    )
    if data is not None:
        prepared.add_header("Content-Type", "application/json")
    for name, value in headers.items():
        prepared.add_header(name.replace("_", "-"), value)
    try:
        reply = _opener.open(prepared, timeout=30)
    except urllib.error.HTTPError as error:
        reply = error
    with reply:
        return Response(reply.status, reply.reason, reply.headers, reply.read().decode())


class Service:
    """A generated service in a child process, with its output in a file."""

    def __init__(self, command: Sequence[str | Path], cwd: Path, log: Path, **environment: str):
        self.port, self.ops_port = free_port(), free_port()
        self.log = log
        with log.open("w") as output:
            self.process = subprocess.Popen(
                command,
                cwd=cwd,
                env={
                    **os.environ,
                    "PORT": str(self.port),
                    "OPS_PORT": str(self.ops_port),
                    **environment,
                },
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # A separate process group, so that it can get signals as from a terminal.
                start_new_session=True,
            )

    def __enter__(self) -> "Service":
        try:
            wait_for(self.is_ready, f"{self.process.args!r} to be ready", 120)
        except BaseException:
            self.stop(signal.SIGKILL)
            print(self.log.read_text())
            raise
        self._processes = descendants(self.process.pid)
        return self

    def __exit__(self, *error: object) -> None:
        self.stop(signal.SIGTERM)  # like Kubernetes

    def is_ready(self) -> bool:
        """Return whether the readiness probe succeeds; fail if the process has exited."""
        assert self.process.poll() is None, f"the service exited:\n{self.log.read_text()}"
        try:
            return self.probe("readyz").status == 200
        except OSError:
            return False

    def get(self, path: str, **headers: str) -> Response:
        """Send a GET request to the service."""
        return self.request(path, **headers)

    def request(self, path: str, method: str = "GET", data: Any = None, **headers: str) -> Response:
        """Send a request to the service."""
        return request(f"http://127.0.0.1:{self.port}{path}", method, data, **headers)

    def probe(self, name: str) -> Response:
        """Send a GET request to the ops port."""
        return request(f"http://127.0.0.1:{self.ops_port}/{name}")

    def lines(self) -> list[dict[str, Any]]:
        """Return the JSON lines of the log."""
        lines = self.log.read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def workers(self) -> list[int]:
        """Return the process IDs of gunicorn's workers."""
        return descendants(self.process.pid)

    def stop(self, number: int = signal.SIGINT, seconds: float = 60) -> int:
        """Signal the process group, like Ctrl-C in a terminal; return the exit status."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, number)
        return self.process.wait(seconds)

    def left_behind(self) -> list[int]:
        """Return the child processes that are still running."""
        return [pid for pid in self._processes if is_running(pid)]


def descendants(pid: int) -> list[int]:
    """Return the process IDs of all descendants of a process."""
    listed = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid="], stdout=subprocess.PIPE, text=True, check=True
    )
    children: dict[int, list[int]] = {}
    for line in listed.stdout.splitlines():
        child, parent = map(int, line.split())
        children.setdefault(parent, []).append(child)
    found = children.get(pid, []).copy()
    for child in found:
        found.extend(children.get(child, []))
    return found


def is_running(pid: int) -> bool:
    """Return whether a process exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
