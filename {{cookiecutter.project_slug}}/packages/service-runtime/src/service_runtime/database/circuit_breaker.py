"""The circuit breaker of a database."""

import logging
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from weakref import WeakSet

import psycopg

from ..conf import settings
from ..metrics import DATABASE_CIRCUIT_OPEN

logger = logging.getLogger(__name__)
PROBE_INTERVAL = 0.5  # seconds


class CircuitBreaker:
    """Fail connection attempts at once while a database is unavailable.

    A thread executes a statement on new connections until that succeeds, and then closes the
    circuit. A connection alone proves little: PgBouncer accepts it without a server.

    Args:
        alias: the database's name in DATABASES.
        connect: returns a connection of psycopg for parameters, with limits of its own.
    """

    def __init__(self, alias: str, connect: Callable[..., Any]) -> None:
        self._alias, self._connect = alias, connect
        self._parameters: dict[str, Any] = {}
        self.reset()
        os.register_at_fork(after_in_child=self.reset)

    def reset(self) -> None:
        """Close the circuit of a forked child: the parent's probe does not run there."""
        self._lock = threading.Lock()
        self._probe: threading.Thread | None = None
        self._connections: WeakSet[Any] = WeakSet()  # in use or idle
        # Connections that were opened before may be as unresponsive as one of them was.
        self.suspect_before = 0.0
        self._set_open(False)

    def add(self, connection: Any) -> None:
        """Remember a connection of this process."""
        with self._lock:
            self._connections.add(connection)

    def is_responsive(self, seconds: float) -> bool:
        """Return whether the server responds to another connection within so many seconds."""
        with self._lock:
            found = [each for each in self._connections if each.opened_at >= self.suspect_before]
        return any(connection.is_responsive(seconds) for connection in found)

    def size(self) -> int:
        """Return how many connections this process has used and not closed."""
        with self._lock:
            return sum(not connection.closed for connection in self._connections)

    def waiting(self, seconds: float) -> int:
        """Return how many connections have waited for a response for longer."""
        before = time.monotonic() - seconds
        with self._lock:
            found = [connection.waiting_since for connection in self._connections]
        return sum(since is not None and since < before for since in found)

    def suspect(self, error: Exception, parameters: dict[str, Any]) -> None:
        """Open the circuit, since a connection does not respond, and do not use its peers again."""
        self.suspect_before = time.monotonic()
        self.trip(error, parameters)

    def _set_open(self, is_open: bool) -> None:
        self.is_open = is_open
        DATABASE_CIRCUIT_OPEN.labels(self._alias).set(is_open)

    def check(self) -> None:
        """Raise psycopg.OperationalError if the circuit is open."""
        if self.is_open:
            self._start_probe()
            raise psycopg.OperationalError("The database is unavailable; a probe is running.")

    def trip(self, error: Exception, parameters: dict[str, Any]) -> None:
        """Open the circuit until a connection with these parameters succeeds."""
        with self._lock:
            if self.is_open:
                return
            self._parameters = parameters
            self._set_open(True)
        logger.warning("The database %r is unavailable: %s", self._alias, error)
        self._start_probe()

    def _start_probe(self) -> None:
        with self._lock, suppress(RuntimeError):  # no thread can be started: the next call tries
            if self._probe is None or not self._probe.is_alive():
                probe = threading.Thread(target=self._run_probe, name="db-probe", daemon=True)
                probe.start()
                self._probe = probe

    def _run_probe(self) -> None:
        pause = threading.Event()
        while self.is_open:
            try:
                with self._connect(**self._parameters) as connection:
                    connection.execute("SELECT 1")
            except Exception:  # any error: a circuit without a probe would stay open
                pause.wait(PROBE_INTERVAL)
                # The server has no connection left, but one of this process has responded.
                if not self.is_responsive(settings.DATABASE_POOL_TIMEOUT):
                    continue
            self._set_open(False)
            logger.warning("The database %r is available again", self._alias)
