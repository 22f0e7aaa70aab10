"""The circuit breaker of a database."""

import logging
import os
import threading
from contextlib import suppress
from typing import Any

import psycopg

from ..metrics import DATABASE_CIRCUIT_OPEN

logger = logging.getLogger(__name__)
PROBE_INTERVAL = 0.5  # seconds


class CircuitBreaker:
    """Fail connection attempts at once while a database is unavailable.

    A thread connects to it until that succeeds, and then closes the circuit.
    """

    def __init__(self, alias: str) -> None:
        self._alias = alias
        self._parameters: dict[str, Any] = {}
        self.reset()
        os.register_at_fork(after_in_child=self.reset)

    def reset(self) -> None:
        """Close the circuit of a forked child: the parent's probe does not run there."""
        self._lock = threading.Lock()
        self._probe: threading.Thread | None = None
        self._set_open(False)

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
                psycopg.connect(**self._parameters).close()
            except Exception:  # any error: a circuit without a probe would stay open
                pause.wait(PROBE_INTERVAL)
                continue
            self._set_open(False)
            logger.warning("The database %r is available again", self._alias)
