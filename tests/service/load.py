"""Requests while something happens to a service."""

import threading
import time
from typing import NamedTuple

from ..running import Service, wait_for


class Timed(NamedTuple):
    """An answer: when it was asked for (monotonic seconds), how long it took, and what it was."""

    started: float
    duration: float
    status: int


class Load:
    """Requests from several threads, one after the other in each, until told to end."""

    def __init__(self, service: Service, path: str, clients: int = 8, pause: float = 0.02) -> None:
        self.answers: list[Timed] = []
        self._service, self._path, self._pause = service, path, pause
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(clients)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while not self._over.wait(self._pause):
            started = time.monotonic()
            status = self._service.get(self._path).status
            self.answers.append(Timed(started, time.monotonic() - started, status))

    def more(self, count: int) -> None:
        """Wait for more answers."""
        target = len(self.answers) + count
        wait_for(lambda: len(self.answers) >= target, f"{count} answers")
