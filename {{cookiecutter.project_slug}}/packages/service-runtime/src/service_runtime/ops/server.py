"""The operations port: probes and metrics, apart from the service's own port.

A thread in each worker answers, so a probe gets its answer while every request thread is busy,
and neither ALLOWED_HOSTS nor the redirect to HTTPS meets it.
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

from prometheus_client import CONTENT_TYPE_LATEST

from ..conf import settings
from ..logging import log_event
from ..logging.handler import drain
from ..metrics import REQUEST_THREADS, busy_since, exposition
from .health import readiness

logger = logging.getLogger(__name__)
EXIT_STUCK = 70
REPORT_SECONDS = 5


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, host: str, port: int, draining: Callable[[], bool]) -> None:
        self.draining = draining
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), _Handler)

    def server_bind(self) -> None:
        # Every worker listens on the one port, and the kernel picks who answers.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        TCPServer.server_bind(self)  # HTTPServer's asks a name server who this is

    def handle_error(self, request: object, client_address: object) -> None:
        """Log what went wrong as one line; a client that went away is nothing wrong."""
        error = sys.exception()
        if not isinstance(error, ConnectionError | TimeoutError):
            logger.error("The operations port failed to answer", exc_info=error)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = 5

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path in {"/livez", "/startupz"}:
            self._answer(200, b'{"status": "ok"}')
        elif path == "/readyz":
            ready, body = readiness(draining=self.server.draining())
            self._answer(200 if ready else 503, json.dumps(body).encode())
        elif path == "/metrics":
            self._answer(200, exposition(), CONTENT_TYPE_LATEST)
        else:
            self._answer(404, b'{"status": "not found"}')

    do_HEAD = do_GET  # noqa: N815 - the name is http.server's

    def send_response(self, code: int, message: str | None = None) -> None:
        """Begin a response, without http.server's Server header."""
        self.send_response_only(code, message)
        self.send_header("Date", self.date_time_string())

    def _answer(self, status: int, body: bytes, content_type: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Probes come every few seconds and say nothing: they are not logged."""


def start(host: str, port: int, *, threads: int, draining: Callable[[], bool]) -> None:
    """Serve the operations port from a daemon thread of this process.

    Args:
        host: address to listen on.
        port: TCP port, shared with the other workers.
        threads: how many of this process serve requests.
        draining: tells whether this process is shutting down.

    Raises:
        OSError: the port is taken by someone else.
    """
    REQUEST_THREADS.set(threads)
    server = _Server(host, port, draining)
    threading.Thread(target=server.serve_forever, name="ops", daemon=True).start()
    threading.Thread(target=_watch, args=(threads, draining), name="watchdog", daemon=True).start()


def _watch(threads: int, draining: Callable[[], bool]) -> None:
    """Log that this process stops, and end it when none of its threads gets anywhere."""
    announced = False
    pause = threading.Event()
    while not pause.wait(0.5):
        if draining() and not announced:
            announced = True
            log_event("stopping", {"active_requests": len(busy_since)})
        if stuck := stuck_threads(threads):
            # What they are stuck in may be the log itself.
            report = threading.Thread(target=_report, args=(stuck,), daemon=True)
            report.start()
            report.join(REPORT_SECONDS)
            # Nothing in this process would answer a polite request; gunicorn starts another one.
            os._exit(EXIT_STUCK)


def _report(stuck: dict[int, float]) -> None:
    for thread, seconds in stuck.items():
        stack = "".join(traceback.format_stack(sys._current_frames().get(thread)))
        log_event("thread_stuck", {"seconds": round(seconds, 1), "stack": stack}, level="CRITICAL")
    log_event("worker_stuck", {"threads": len(stuck)}, level="CRITICAL")
    drain(REPORT_SECONDS)


def stuck_threads(threads: int) -> dict[int, float]:
    """Return the request threads and their seconds if all are in a request for STUCK_SECONDS."""
    limit = settings.STUCK_SECONDS
    now = time.monotonic()
    busy = {thread: now - since for thread, since in list(busy_since.items())}
    is_stuck = limit and len(busy) >= threads and min(busy.values()) > limit
    return busy if is_stuck else {}
