"""The HTTP server of the operations port, separate from the port of the service.

A thread in each worker serves it, so probes succeed while every request thread is busy, and
ALLOWED_HOSTS and the redirect to HTTPS do not apply.
"""

import json
import logging
import os
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST

from ..conf import settings
from ..logging import log_event
from ..logging.handler import drain
from ..metrics import ACTIVE_REQUESTS, REQUEST_THREADS, SERVICE_INFO, busy_since, exposition
from .health import readiness

logger = logging.getLogger(__name__)
EXIT_STUCK = 70
REPORT_SECONDS = 5


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64
    allow_reuse_port = True  # all workers listen on one port; the kernel picks one of them
    server_bind = TCPServer.server_bind  # HTTPServer's looks up the name of this host

    def __init__(self, host: str, port: int, draining: Callable[[], bool]) -> None:
        self.draining = draining
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Log an error as one line. A client that disconnects is not an error."""
        error = sys.exception()
        if not isinstance(error, ConnectionError | TimeoutError):
            logger.error("The operations port failed to respond", exc_info=error)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = 5

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path in {"/livez", "/startupz"}:
            self._respond(200, b'{"status": "ok"}')
        elif path == "/readyz":
            ready, body = readiness(draining=self.server.draining())
            self._respond(200 if ready else 503, json.dumps(body).encode())
        elif path == "/metrics":
            self._respond(200, exposition(), CONTENT_TYPE_LATEST)
        else:
            self._respond(404, b'{"status": "not found"}')

    do_HEAD = do_GET  # noqa: N815 - http.server's name

    def send_response(self, code: int, message: str | None = None) -> None:
        """Start a response, without http.server's Server header."""
        self.send_response_only(code, message)
        self.send_header("Date", self.date_time_string())

    def _respond(self, status: int, body: bytes, content_type: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Do not log requests: probes arrive every few seconds."""


def start(host: str, port: int, *, threads: int, draining: Callable[[], bool]) -> None:
    """Serve the operations port from a daemon thread, and start the watchdog.

    Args:
        host: the address to listen on.
        port: the TCP port, shared with the other workers.
        threads: the number of request threads in this process.
        draining: returns whether this process is shutting down.

    Raises:
        OSError: another program uses the port.
    """
    REQUEST_THREADS.set(threads)
    SERVICE_INFO.labels(settings.SERVICE_VERSION).set(1)
    server = _Server(host, port, draining)
    threading.Thread(target=server.serve_forever, name="ops", daemon=True).start()
    threading.Thread(target=_watch, args=(threads, draining), name="watchdog", daemon=True).start()


def _watch(threads: int, draining: Callable[[], bool]) -> None:
    """Log long requests and the start of draining; exit when all request threads are stuck."""
    announced = False
    long: set[tuple[int, float]] = set()
    pause = threading.Event()
    while not pause.wait(0.5):
        ACTIVE_REQUESTS.set(len(busy_since))
        if draining() and not announced:
            announced = True
            log_event("stopping", {"active_requests": len(busy_since)})
        long = _log_long_requests(long)
        if stuck := stuck_threads(threads):
            # The threads may be stuck in logging itself.
            report = threading.Thread(target=_report, args=(stuck,), daemon=True)
            report.start()
            report.join(REPORT_SECONDS)
            # No thread would handle a graceful shutdown; gunicorn replaces this process.
            os._exit(EXIT_STUCK)


def _log_long_requests(logged: set[tuple[int, float]]) -> set[tuple[int, float]]:
    """Log the stack of each request that exceeds REQUEST_SECONDS, unless it was logged before.

    Returns:
        the thread and start of all such requests.
    """
    now = time.monotonic()
    since = list(busy_since.items())
    long = {(thread, start) for thread, start in since if now - start > settings.REQUEST_SECONDS}
    for thread, start in long - logged:
        log_event("request_long", _seconds_and_stack(thread, now - start), level="WARNING")
    return long


def _seconds_and_stack(thread: int, seconds: float) -> dict[str, Any]:
    stack = "".join(traceback.format_stack(sys._current_frames().get(thread)))
    return {"seconds": round(seconds, 1), "stack": stack}


def _report(stuck: dict[int, float]) -> None:
    for thread, seconds in stuck.items():
        log_event("thread_stuck", _seconds_and_stack(thread, seconds), level="CRITICAL")
    log_event("worker_stuck", {"threads": len(stuck)}, level="CRITICAL")
    drain(REPORT_SECONDS)


def stuck_threads(threads: int) -> dict[int, float]:
    """Return the seconds by request thread if all are in a request for over STUCK_SECONDS."""
    limit = settings.STUCK_SECONDS
    now = time.monotonic()
    busy = {thread: now - since for thread, since in list(busy_since.items())}
    is_stuck = limit and len(busy) >= threads and min(busy.values()) > limit
    return busy if is_stuck else {}
