"""gunicorn's threaded worker, in which a slow client holds no request thread.

gthread gives a thread to a connection before its request has arrived, so as many clients as there
are threads can stop a process by sending slowly. Here the event loop reads heads and bodies, each
with a deadline and a size limit, and a thread gets a complete request. A request that has waited
for a thread for QUEUE_SECONDS receives a 503: its client would retry, and work for the old request
would be lost (https://sre.google/sre-book/handling-overload/).
"""

import errno
import selectors
import socket
import threading
import time
from collections import deque
from concurrent.futures import Future
from http import HTTPStatus
from typing import Any

from gunicorn.workers.gthread import ThreadWorker

from ..conf import settings
from ..metrics import QUEUE_DURATION, busy_since
from .connection import Connection, RejectedError, bodies_max_bytes
from .rejections import count_rejection, response

HEARTBEAT_SECONDS = 1.0
LINGER_SECONDS = 2.0
TICK_SECONDS = 0.1  # the precision of QUEUE_SECONDS
SWEEP_SECONDS = 1.0  # the precision of other deadlines


class Worker(ThreadWorker):
    """Reads requests in the event loop and handles them in threads.

    Methods with names of gthread's replace those; all run in the event loop, except `handle`.
    """

    tpool: Any
    poller: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # The connections in the poller; those that have waited longest come first.
        self._waiting: dict[Connection, None] = {}
        # Complete requests in the order in which threads take them.
        self._queue: deque[tuple[Connection, Future[Any]]] = deque()
        self._next_sweep = self._next_heartbeat = 0.0
        self._exempt_paths = tuple(settings.QUEUE_EXEMPT_PATHS)
        self._exempt_requests = 0  # queued or running
        Connection.max_bytes = bodies_max_bytes(self.cfg.workers)

    def notify(self) -> None:
        """Send the heartbeat once a second. gthread does it for each event, with a system call."""
        now = time.monotonic()
        if now >= self._next_heartbeat:
            self._next_heartbeat = now + HEARTBEAT_SECONDS
            super().notify()

    def accept(self, listener: socket.socket) -> bool:
        """Return whether a connection was accepted. It can replace the one that waits longest."""
        try:
            client, address = listener.accept()
        except OSError as error:
            if error.errno in {errno.EMFILE, errno.ENFILE}:
                self._evict()
            elif error.errno not in {errno.EAGAIN, errno.ECONNABORTED}:
                raise
            return False
        self.nr_conns += 1
        if self.nr_conns >= self.worker_connections:
            self._evict()
        connection = Connection(self.cfg, client, address, listener.getsockname())
        self._wait(connection, settings.REQUEST_HEAD_SECONDS)
        self._on_readable(connection)
        return True

    def enqueue_req(self, conn: Connection) -> None:
        """Let the next free thread handle a complete request."""
        conn.queued_at = time.monotonic()
        # A request that is cancelled stays in the pool's queue until a thread is free.
        if self.tpool._work_queue.qsize() >= self.worker_connections:
            # Not called here: the next request may be complete already, and so on.
            self.method_queue.defer(self._resume, conn, self._reject_queued(conn))
            return
        future = self.tpool.submit(self.handle, conn)
        # All wait in one queue: if more were exempt, the others would be rejected.
        may_wait = self._exempt_requests < self.cfg.threads
        conn.is_exempt = may_wait and conn.path.startswith(self._exempt_paths)
        self._exempt_requests += conn.is_exempt
        if not conn.is_exempt:
            self._queue.append((conn, future))
        future.add_done_callback(
            lambda done: self.method_queue.defer(self.finish_request, conn, done)
        )

    def handle(self, conn: Connection) -> Any:
        """Handle a request in a thread; return whether the connection can be used again."""
        thread = threading.get_ident()
        busy_since[thread] = now = time.monotonic()
        QUEUE_DURATION.observe(now - conn.queued_at)
        try:
            is_reusable = super().handle(conn)
            return conn.sock.flush() and is_reusable
        finally:
            busy_since.pop(thread, None)

    def finish_request(self, conn: Connection, fs: Future[Any]) -> None:
        """Wait for the next request of a connection, or close it."""
        self._exempt_requests -= conn.is_exempt
        self._resume(conn, self._reject_queued(conn) if fs.cancelled() else _result(fs))

    def _resume(self, conn: Connection, is_reusable: bool) -> None:
        conn.release()
        if not is_reusable:
            self._close(conn)
            return
        idle = self.cfg.keepalive if self.alive else LINGER_SECONDS
        self._wait(conn, idle if conn.is_idle else settings.REQUEST_HEAD_SECONDS)
        if not conn.is_idle:  # the client has sent the next request, or a part of it
            self._advance(conn)

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """Handle events, and reject requests that have waited too long for a thread."""
        is_due = self._queue or not self.alive
        super().wait_for_and_dispatch_events(min(timeout, TICK_SECONDS) if is_due else timeout)
        expired = time.monotonic() - settings.QUEUE_SECONDS
        while self._queue:
            conn, future = self._queue[0]
            is_pending = not (future.running() or future.done())
            if is_pending and conn.queued_at > expired:
                break
            future.cancel()  # which fails if a thread has just taken it
            self._queue.popleft()

    def murder_pending(self) -> None:
        """Close connections whose deadline has passed."""
        now = time.monotonic()
        if now < self._next_sweep:
            return
        self._next_sweep = now + (SWEEP_SECONDS if self.alive else TICK_SECONDS)
        for conn in [conn for conn in self._waiting if conn.deadline <= now]:
            if conn.is_closing or conn.is_idle:
                self._drop(conn)
            else:
                self._reject(conn, HTTPStatus.REQUEST_TIMEOUT)

    def _cap_keepalive(self, deadline: float) -> None:
        """Reject new connections, since the process is stopping, and close idle ones soon.

        The kernel would accept connections until the end, and then reset them.
        """
        for listener in self.sockets:
            while self.nr_conns < self.worker_connections and self.accept(listener):
                pass
            listener.close()
        for conn in self._waiting:
            if conn.is_idle:
                conn.deadline = min(conn.deadline, deadline)

    def _keepalive_after(self, conn: Connection, keepalive: bool) -> bool:
        """Return whether the connection can be used again: nothing of the body is left in it."""
        return keepalive

    def _wait(self, conn: Connection, seconds: float) -> None:
        """Wait until the client sends something."""
        conn.deadline = time.monotonic() + seconds
        self._waiting[conn] = None
        self.poller.register(conn.sock, selectors.EVENT_READ, lambda _: self._on_readable(conn))

    def _stop_waiting(self, conn: Connection) -> None:
        del self._waiting[conn]
        self.poller.unregister(conn.sock)

    def _on_readable(self, conn: Connection) -> None:
        if conn not in self._waiting:  # evicted after the poller had returned its event
            return
        try:
            if conn.receive():
                self._advance(conn)
        except BlockingIOError:
            pass
        except RejectedError as error:
            self._reject(conn, error.status)
        except OSError:
            self._drop(conn)

    def _advance(self, conn: Connection) -> None:
        """Let a thread handle the request if it is complete."""
        try:
            if not conn.is_closing and conn.has_request():
                self._stop_waiting(conn)
                self.enqueue_req(conn)
        except RejectedError as error:
            self._reject(conn, error.status)

    def _reject(self, conn: Connection, status: HTTPStatus) -> None:
        """Respond to a request that cannot be read, and close its connection."""
        count_rejection(status.name.lower())
        self._stop_waiting(conn)
        conn.send(response(status))
        conn.release()
        self._close(conn)

    def _reject_queued(self, conn: Connection) -> bool:
        """Respond to a request that got no thread; return whether the connection can be reused."""
        count_rejection("queue")
        must_close = not self.alive or conn.must_close
        status = HTTPStatus.SERVICE_UNAVAILABLE
        return conn.send(response(status, method=conn.method, close=must_close)) and not must_close

    def _close(self, conn: Connection) -> None:
        """Close a connection after its client has closed it, or after LINGER_SECONDS.

        Closing it while unread data arrives would reset it, and the client might lose the response
        (RFC 9112, section 9.6).
        """
        try:
            conn.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self.nr_conns -= 1
            conn.close()
            return
        conn.is_closing = True
        self._wait(conn, LINGER_SECONDS)

    def _drop(self, conn: Connection) -> None:
        self._stop_waiting(conn)
        self.nr_conns -= 1
        conn.release()
        conn.close()

    def _evict(self) -> None:
        conn = next(iter(self._waiting), None)
        if conn:
            count_rejection("evicted")
            self._drop(conn)


def _result(future: Future[Any]) -> bool:
    return not future.exception() and bool(future.result())
