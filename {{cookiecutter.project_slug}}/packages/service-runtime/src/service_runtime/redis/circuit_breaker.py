"""The circuit breaker that all clients of one Redis share."""

import logging
import os
import threading
import weakref
from collections.abc import Callable
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
    """Fails calls to a server at once while it does not answer.

    The first failure opens the circuit: the calls that are under way pay a timeout each, and every
    later one fails without waiting. A thread then asks the server until it answers and takes
    writes, and closes the circuit; no request pays for that. redis-py takes it as its `retry=`,
    through which each command and each connection attempt goes.

    Args:
        server: its name in logs and metrics.
        connect: makes a client that no breaker guards.
    """

    def __init__(self, server: str, connect: Callable[[], redis.Redis]) -> None:
        super().__init__(NoBackoff(), 0)
        self._server = server
        self._connect = connect
        # Run with a client before the circuit closes; a redis.RedisError keeps it open.
        self.on_recovery: list[Callable[[redis.Redis], None]] = []
        # Counts them, for connections that were open before one.
        self.outages = 0
        self._pools: weakref.WeakSet[redis.ConnectionPool] = weakref.WeakSet()
        REDIS_CIRCUIT_OPEN.labels(self._server).set(0)
        self.reset()
        os.register_at_fork(after_in_child=self.reset)

    def reset(self) -> None:
        """Begin closed. Neither threads nor what they knew survive a fork."""
        self._open = False
        self._lock = threading.Lock()

    def __deepcopy__(self, memo: dict[int, Any]) -> "CircuitBreaker":
        return self  # redis-py copies it for each connection, but there is one for the process

    def end_idle_connections_of(self, pool: redis.ConnectionPool) -> None:
        """End a pool's idle connections after each outage."""
        self._pools.add(pool)

    @property
    def is_open(self) -> bool:
        """Whether calls fail at once now."""
        return self._open

    def call_with_retry(
        self,
        do: Callable[[], T],
        fail: Callable[..., Any],
        is_retryable: Callable[[Exception], bool] | None = None,
        with_failure_count: bool = False,
    ) -> T:
        """Call `do`, or do not while the circuit is open.

        A connection that broke says nothing of the server, so the call is made once more on a new
        one; a timeout has taken long enough.

        Raises:
            redis.ConnectionError: the circuit is open.
        """
        if self._open:
            raise redis.ConnectionError(f"{self._server} has not answered; it is being asked again")
        for is_last in (False, True):
            try:
                return do()
            except redis.exceptions.ReadOnlyError as error:
                # A replica, whose reads may be old and whose master has taken its place.
                self.trip(error)
                raise
            except self._supported_errors as error:
                if with_failure_count:
                    fail(error, 1)
                else:
                    fail(error)
                if is_last or isinstance(error, redis.TimeoutError | TimeoutError):
                    self.trip(error)
                    raise
        raise AssertionError("unreachable")

    def trip(self, error: Exception) -> None:
        """Open the circuit, and have the server asked until it answers and has recovered."""
        with self._lock:
            if self._open:
                return
            self._open = True
            self.outages += 1
        REDIS_CIRCUIT_OPEN.labels(self._server).set(1)
        logger.warning("Redis at %s does not answer: %s", self._server, error)
        try:
            threading.Thread(target=self._probe, name="redis-probe", daemon=True).start()
        except RuntimeError:  # no thread is to be had, so the next call has to find out
            self._open = False
            REDIS_CIRCUIT_OPEN.labels(self._server).set(0)

    def _probe(self) -> None:
        pause = threading.Event()
        while True:
            try:
                with self._connect() as client:
                    self._write(client)
                    self._recover(client)
                    # Another process may notice this late, and what it has to make up for concerns
                    # what this one would read.
                    pause.wait(SETTLE_SECONDS)
                    self._recover(client)
                    self._open = False
                    self._recover(client)  # what came up while the last was under way
            except Exception:  # whatever it is, the circuit must not stay open for want of a probe
                self._open = True
                pause.wait(PROBE_INTERVAL)
                continue
            REDIS_CIRCUIT_OPEN.labels(self._server).set(0)
            logger.warning("Redis at %s answers again", self._server)
            return

    def _write(self, client: redis.Redis) -> None:
        try:
            client.unlink(f"{settings.CACHE_KEY_PREFIX}:probe")  # a replica refuses this
        except redis.exceptions.NoPermissionError:  # which is an answer too
            return

    def _recover(self, client: redis.Redis) -> None:
        for callback in self.on_recovery:
            callback(client)
        for pool in list(self._pools):  # the name may lead to another server by now
            pool.disconnect(inuse_connections=False)
