"""The circuit breaker that all clients of a Redis server share."""

import logging
import os
import threading
from collections.abc import Callable, Hashable
from contextlib import suppress
from typing import Any, TypeVar

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from ..conf import settings
from ..metrics import REDIS_CIRCUIT_OPEN

logger = logging.getLogger(__name__)
T = TypeVar("T")
PROBE_INTERVAL = 0.1  # seconds
SETTLE_SECONDS = 0.25


class CircuitBreaker(Retry):
    """Fail calls to a server at once while it is unavailable.

    The first failure opens the circuit: calls in progress wait for one timeout each, and later ones
    fail without waiting. A thread probes the server until it responds and accepts writes, and then
    closes the circuit. redis-py calls this class as its `retry=`, for each command and each
    connection attempt.

    Args:
        server: the server's name in logs and metrics.
        connect: creates a client without a circuit breaker, for probes.
    """

    def __init__(self, server: str, connect: Callable[[], redis.Redis]) -> None:
        super().__init__(NoBackoff(), 0)
        self._server = server
        self._connect = connect
        # Called with a client before the circuit closes; a redis.RedisError keeps it open.
        self.on_recovery: list[Callable[[redis.Redis], object]] = []
        self._missed: set[tuple[Callable[..., object], Hashable]] = set()
        # How many there have been, for connections that were opened before one.
        self.outages = 0
        self.reset()
        os.register_at_fork(after_in_child=self.reset)

    def reset(self) -> None:
        """Close the circuit of a forked child: the parent's probe does not run there."""
        self._lock = threading.Lock()
        self._probe: threading.Thread | None = None
        self._set_open(False)

    def _set_open(self, is_open: bool) -> None:
        self.is_open = is_open
        REDIS_CIRCUIT_OPEN.labels(self._server).set(is_open)

    def __deepcopy__(self, memo: dict[int, Any]) -> "CircuitBreaker":
        return self  # redis-py copies it for each connection, but there is one for the process

    def call_with_retry(self, do: Callable[[], T], fail: Any, *args: Any, **options: Any) -> T:
        """Call `do`, and once more if its connection breaks, which says nothing about the server.

        Raises:
            redis.ConnectionError: the circuit is open.
        """
        if self.is_open:
            self._start_probe()
            raise redis.ConnectionError(f"{self._server} is unavailable; a probe is running")
        for is_last in (False, True):
            try:
                return do()
            except redis.exceptions.ReadOnlyError as error:
                # A replica. Its data may be old, and its master was replaced.
                self.trip(error)
                raise
            except self._supported_errors as error:
                fail(*(error, 1) if options.get("with_failure_count") else (error,))
                if is_last or isinstance(error, redis.TimeoutError | TimeoutError):
                    self.trip(error)
                    raise
        raise AssertionError("unreachable")

    def repeat_on_recovery(self, function: Callable[..., object], argument: Hashable) -> None:
        """Call `function(client, argument)` before the circuit closes next; duplicates count once.

        Nothing is read from the server between its recovery and this call.
        """
        with self._lock:
            self._missed.add((function, argument))

    def trip(self, error: Exception) -> None:
        """Open the circuit, until a probe succeeds and everything missed has been repeated."""
        with self._lock:
            if self.is_open:
                return
            self.outages += 1
            self._set_open(True)
        logger.warning("Redis at %s is unavailable: %s", self._server, error)
        self._start_probe()

    def _start_probe(self) -> None:
        with self._lock, suppress(RuntimeError):  # no thread can be started: the next call tries
            if self._probe is None or not self._probe.is_alive():
                probe = threading.Thread(target=self._run_probe, name="redis-probe", daemon=True)
                probe.start()
                self._probe = probe

    def _run_probe(self) -> None:
        pause = threading.Event()
        while True:
            try:
                with self._connect() as client:
                    with suppress(redis.exceptions.NoPermissionError):  # this is a response too
                        client.unlink(f"{settings.CACHE_KEY_PREFIX}:probe")  # replicas reject it
                    self._recover(client)
                    # Other processes may notice the outage late, and what they have to repeat
                    # concerns what this one would read.
                    pause.wait(SETTLE_SECONDS)
                    self._recover(client)
                    self._set_open(False)
                    self._recover(client)  # calls that failed during the last recovery
            except Exception:  # any error: a circuit without a probe would stay open
                self._set_open(True)
                pause.wait(PROBE_INTERVAL)
                continue
            logger.warning("Redis at %s is available again", self._server)
            return

    def _recover(self, client: redis.Redis) -> None:
        for callback in self.on_recovery:
            callback(client)
        with self._lock:
            missed, self._missed = self._missed, set()
        try:
            for function, argument in missed:
                function(client, argument)
        except BaseException:
            with self._lock:
                self._missed |= missed
            raise
