"""A client's connection, and the request that it is sending."""

import errno
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import cache, partial
from http import HTTPStatus
from typing import Any

from gunicorn.http.parser import RequestParser
from gunicorn.workers.gthread import TConn

from ..conf import settings
from .rejections import count_rejection

HEAD_MAX_BYTES = 32 * 1024
HEAD_BYTES = 8 * 1024  # read at a time; the rest of a pipeline stays in the kernel
CHUNK_BYTES = 64 * 1024
SPOOL_BYTES = 64 * 1024  # of a body in memory; longer ones are in a temporary file
BODIES_MAX_BYTES = 256 * 1024 * 1024  # of longer ones, in all requests of a process
_END = b"\r\n\r\n"
_LENGTH = b"\r\nContent-Length: "


class RejectedError(Exception):
    """The request cannot be read; `status` says why."""

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status.phrase)
        self.status = status


class Socket(socket.socket):
    """A client's socket, which never blocks the event loop.

    A thread waits REQUEST_BODY_SECONDS in all until the client has read a response. A timeout of
    the socket applies to each call only, so a client could read a little from time to time.
    """

    waited = 0.0  # seconds in which the client did not read the response
    has_body = True  # the response has one, as far as the request's method tells
    head = b""  # not sent yet

    def setblocking(self, flag: bool) -> None:
        """Do nothing: gthread would block in a thread, which only sends here."""

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Send all data. The head of a response is sent together with its body's first part.

        Raises:
            ConnectionResetError: the client has not read it in time.
        """
        if self.has_body and not self.head and data.startswith(b"HTTP/") and _LENGTH in data:
            self.head = data
            return
        self.head, data = b"", self.head + data
        with suppress(BlockingIOError):
            sent = self.send(data)
            if sent == len(data):
                return
            data = memoryview(data)[sent:]
        self._wait_and_send(data)

    def _wait_and_send(self, data: Any) -> None:
        started = time.monotonic()
        self.settimeout(max(settings.REQUEST_BODY_SECONDS - self.waited, 0.001))
        try:
            super().sendall(data)
        except TimeoutError:
            count_rejection("response_timeout")
            raise ConnectionResetError(errno.ECONNRESET, "The client does not read") from None
        finally:
            self.settimeout(0)
            self.waited += time.monotonic() - started

    def flush(self) -> bool:
        """Send the head of a response without a body; return whether it was sent."""
        try:
            if self.head:
                self.sendall(b"")
        except OSError:
            return False
        return True


@cache
def bodies_max_bytes(workers: int) -> int:
    """Return how many bytes of bodies a process can store: half of the disk is for all of them.

    Cached, since workers that start later would find the bodies of others on the disk.
    """
    free = shutil.disk_usage(tempfile.gettempdir()).free
    return min(BODIES_MAX_BYTES, free // 2 // workers)


class Connection(TConn):
    """A connection, whose request is read without waiting for the client.

    Attributes:
        deadline: when it is closed if no complete request has arrived (monotonic seconds).
        queued_at: when its request was complete (monotonic seconds).
        is_closing: whether it only waits for the client to close it.
        is_exempt: whether its request waits for a thread however long that takes.
    """

    total_bytes = 0  # of the longer bodies of all connections
    max_bytes = BODIES_MAX_BYTES

    def __init__(self, cfg: Any, sock: socket.socket, client: Any, server: Any) -> None:
        super().__init__(cfg, Socket(fileno=sock.detach()), client, server)
        self.sock.settimeout(0)
        self.data_ready = True  # for gthread: a thread need not wait
        self.is_closing = self.is_exempt = False
        self.deadline = self.queued_at = 0.0
        self._received = bytearray()
        self._searched = 0
        self._request: Any = None
        self._body: Any = None
        self._size = self._missing = 0
        self._is_spooled = False

    def init(self) -> None:
        """Prepare for sending a response. A thread calls it for each request."""
        self.sock.waited, self.sock.head = 0.0, b""
        self.sock.has_body = self.method != "HEAD"

    @property
    def is_idle(self) -> bool:
        """Whether the client has sent nothing of its next request."""
        return not (self._received or self._request)

    @property
    def method(self) -> str:
        return self._request.method if self._request else ""

    @property
    def path(self) -> str:
        return self._request.path if self._request else ""

    @property
    def must_close(self) -> bool:
        return not self._request or self._request.should_close()

    def receive(self) -> bool:
        """Read what has arrived; return whether it can complete the request.

        Raises:
            BlockingIOError: nothing has arrived.
            OSError: the connection is closed.
            RejectedError: there is no space for the body.
        """
        data = self.sock.recv(min(self._missing or HEAD_BYTES, CHUNK_BYTES))
        if not data:
            raise ConnectionResetError
        if self.is_closing:
            return False
        if self._missing:
            self._store(data)
        else:
            if not self._received:
                self.deadline = time.monotonic() + settings.REQUEST_HEAD_SECONDS
            self._received += data
        return True

    def has_request(self) -> bool:
        """Return whether a complete request, or one that gunicorn will reject, has arrived.

        Raises:
            RejectedError: the request is too large or has no length.
        """
        if not self._request and not self._read_head():
            return False
        return not self._missing

    def _read_head(self) -> bool:
        end = self._received.find(_END, max(0, self._searched - len(_END)))
        self._searched = len(self._received)
        if max(end, self._searched if end < 0 else 0) > HEAD_MAX_BYTES:
            raise RejectedError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        if end < 0:
            return False
        head = bytes(self._received[: end + len(_END)])
        del self._received[: len(head)]
        self._searched = 0
        try:
            self._request = next(RequestParser(self.cfg, self._chunks(head), self.client))
        except Exception:  # the same error occurs in the thread, where gunicorn responds to it
            self.parser = RequestParser(self.cfg, [head], self.client)
            return True
        self.parser = iter([self._request])
        self._start_body(dict(self._request.headers))
        return True

    def _start_body(self, headers: dict[str, str]) -> None:
        if "TRANSFER-ENCODING" in headers:  # Django reads a body by its length only
            raise RejectedError(HTTPStatus.LENGTH_REQUIRED)
        self._missing = int(headers.get("CONTENT-LENGTH", 0))
        if not self._missing:
            return
        if self._missing > settings.REQUEST_BODY_MAX_BYTES:
            raise RejectedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        self._is_spooled = self._missing > SPOOL_BYTES
        self._body = tempfile.SpooledTemporaryFile(max_size=SPOOL_BYTES)  # noqa: SIM115 - see release
        self.deadline = time.monotonic() + settings.REQUEST_BODY_SECONDS
        part = bytes(self._received[: self._missing])
        del self._received[: len(part)]
        self._store(part)
        if self._missing and self._request._expected_100_continue:
            self.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._request._expected_100_continue = False  # or gunicorn would send it too

    def _store(self, data: bytes) -> None:
        if self._is_spooled:
            if Connection.total_bytes + len(data) > Connection.max_bytes:
                raise RejectedError(HTTPStatus.SERVICE_UNAVAILABLE)
            Connection.total_bytes += len(data)
            self._size += len(data)
        self._missing -= len(data)
        try:
            self._body.write(data)
            if not self._missing:
                self._body.seek(0)
        except OSError:
            raise RejectedError(HTTPStatus.INSUFFICIENT_STORAGE) from None

    def _chunks(self, head: bytes) -> Iterator[bytes]:
        yield head
        if self._body:
            yield from iter(partial(self._body.read, CHUNK_BYTES), b"")

    def send(self, data: bytes) -> bool:
        """Send a short response without waiting; return whether it was sent."""
        try:
            return bool(self.sock.send(data) == len(data))
        except OSError:
            return False

    def release(self) -> None:
        """Forget the request, and free its memory."""
        if self._body:
            with suppress(OSError):  # a full disk, to which it writes the rest
                self._body.close()
        Connection.total_bytes -= self._size
        self._request = self._body = self.parser = None
        self._size = self._missing = 0
