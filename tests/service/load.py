"""Requests while something happens to a service."""

import threading
import time
from collections.abc import Callable
from typing import NamedTuple, Self

from ..running import Service, wait_for


class Timed(NamedTuple):
    """An answer: when it was asked for (monotonic seconds), how long it took, and what it was."""

    started: float
    duration: float
    status: int


class Background:
    """Functions that run in threads of their own while a `with` block lasts.

    Each has to end when `self._over` is set.
    """

    def __init__(self, *functions: Callable[[], None]) -> None:
        self._over = threading.Event()
        self._threads = [threading.Thread(target=function) for function in functions]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()


def timed(service: Service, path: str) -> Timed:
    """Ask for a path, and take the time."""
    started = time.monotonic()
    status = service.get(path).status
    return Timed(started, time.monotonic() - started, status)


class Load(Background):
    """Requests from several threads, one after the other in each, until told to end."""

    def __init__(self, service: Service, path: str, clients: int = 8, pause: float = 0.02) -> None:
        self.answers: list[Timed] = []
        self._service, self._path, self._pause = service, path, pause
        super().__init__(*[self._run] * clients)

    def _run(self) -> None:
        while not self._over.wait(self._pause):
            self.answers.append(timed(self._service, self._path))

    def more(self, count: int) -> None:
        """Wait for more answers."""
        target = len(self.answers) + count
        wait_for(lambda: len(self.answers) >= target, f"{count} answers")
