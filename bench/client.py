"""A client that keeps several connections busy from one thread."""

import re
import selectors
import socket
import time
from collections.abc import Iterator
from itertools import count
from typing import NamedTuple

from bench.serving import Connection, request_for

REQUESTS_PER_ADDRESS = 1000
_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)", re.IGNORECASE)
_CLOSE = re.compile(rb"\r\nconnection: close", re.IGNORECASE)
_numbers = count(1)


class Load(NamedTuple):
    """Requests that were sent: the seconds that all took, and those of each one, sorted."""

    seconds: float
    durations: list[float]

    @property
    def per_second(self) -> float:
        """The requests per second."""
        return len(self.durations) / self.seconds

    def milliseconds(self, share: float) -> float:
        """Return the duration that this share of the requests does not exceed."""
        index = min(len(self.durations) - 1, int(len(self.durations) * share))
        return self.durations[index] * 1e3


def address(number: int) -> str:
    """Return an address of a private network."""
    return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def rotating(path: str, **headers: str) -> Iterator[bytes]:
    """Yield requests of which 1000 each come from a new address, as a proxy reports it.

    A client with a limit of 1000 has then used half of it, on average.
    """
    while True:
        client = address(next(_numbers))
        request = request_for(path, X_Forwarded_For=client, **headers)
        for _ in range(REQUESTS_PER_ADDRESS):
            yield request


def repeated(path: str, **headers: str) -> Iterator[bytes]:
    """Yield the same request without end."""
    request = request_for(path, **headers)
    while True:
        yield request


def exhaust(port: int, path: str, client: str) -> None:
    """Send requests from an address until its limit is used up."""
    connection, status = Connection(port), 200
    while status == 200:
        status = connection.get(path, X_Forwarded_For=client)[0]
    connection.close()
    assert status == 429, status


class _Exchange:
    """A connection with one request at a time; it is opened again if the server closes it."""

    def __init__(self, port: int, selector: selectors.BaseSelector) -> None:
        self._port, self._selector = port, selector
        self._socket = self._connected()

    def send(self, request: bytes) -> None:
        """Send a request."""
        self._data, self._end, self._closes = b"", 0, False
        self.started = time.perf_counter()
        if self._socket.fileno() < 0:
            self._socket = self._connected()
        self._socket.sendall(request)

    def receive(self) -> int | None:
        """Receive data; return the status once the response is complete."""
        received = self._socket.recv(1 << 18)
        if not received:
            raise ConnectionError(f"the server closed the connection after {self._data!r}")
        self._data += received
        if not self._end and (head := self._data.find(b"\r\n\r\n") + 4) > 3:
            self._status = int(self._data[9:12])
            length = _LENGTH.search(self._data, 0, head) if self._status != 304 else None
            self._end = head + (int(length[1]) if length else 0)
            self._closes = _CLOSE.search(self._data, 0, head) is not None
        if not 0 < self._end <= len(self._data):
            return None
        if self._closes:
            self.close()
        return self._status

    def close(self) -> None:
        """Close the connection, if it is open."""
        if self._socket.fileno() >= 0:
            self._selector.unregister(self._socket)
            self._socket.close()

    def _connected(self) -> socket.socket:
        opened = socket.create_connection(("127.0.0.1", self._port), 30)
        self._selector.register(opened, selectors.EVENT_READ, self)
        return opened


def load(port: int, requests: list[Iterator[bytes]], seconds: float, status: int = 200) -> Load:
    """Send requests for some seconds, over one connection for each iterator.

    Each connection sends its next request when it has received the response to the last one.

    Args:
        port: the port of the server on this machine.
        requests: the requests of each connection.
        seconds: how long to send requests; the responses of the last ones are awaited.
        status: the status that each response must have.
    """
    durations: list[float] = []
    with selectors.DefaultSelector() as selector:
        exchanges = {_Exchange(port, selector): each for each in requests}
        started = time.perf_counter()
        for exchange, each in exchanges.items():
            exchange.send(next(each))
        waiting = len(exchanges)
        while waiting:
            ready = selector.select(30)
            assert ready, "no response within 30 s"
            for key, _ in ready:
                exchange = key.data
                found = exchange.receive()
                if found is None:
                    continue
                now = time.perf_counter()
                assert found == status, f"{found} instead of {status}"
                durations.append(now - exchange.started)
                if now - started < seconds:
                    exchange.send(next(exchanges[exchange]))
                else:
                    waiting -= 1
        spent = time.perf_counter() - started
        for exchange in exchanges:
            exchange.close()
    return Load(spent, sorted(durations))
