"""Requests in the background of a test."""

import threading
import time
from collections.abc import Callable
from typing import NamedTuple, Self

from ..running import Service, wait_for


class Timed(NamedTuple):
    """A response: start of the request (monotonic seconds), duration in seconds, and status."""

    started: float
    duration: float
    status: int


class Background:
    """Functions that run in separate threads during a `with` block.

    Each must return when the event `stopping` is set.
    """

    def __init__(self, *functions: Callable[[], None]) -> None:
        self.stopping = threading.Event()
        self._threads = [threading.Thread(target=function) for function in functions]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stopping.set()
        for thread in self._threads:
            thread.join()


def timed(service: Service, path: str) -> Timed:
    """Send a GET request and measure its duration."""
    started = time.monotonic()
    status = service.get(path).status
    return Timed(started, time.monotonic() - started, status)


class Load(Background):
    """Sequential GET requests from each of several threads during a `with` block."""

    def __init__(self, service: Service, path: str, clients: int = 8, pause: float = 0.02) -> None:
        self.responses: list[Timed] = []
        self._service, self._path, self._pause = service, path, pause
        super().__init__(*[self._run] * clients)

    def _run(self) -> None:
        while not self.stopping.wait(self._pause):
            self.responses.append(timed(self._service, self._path))

    def more(self, count: int) -> None:
        """Wait for more responses."""
        target = len(self.responses) + count
        wait_for(lambda: len(self.responses) >= target, f"{count} responses")
