"""The circuit breaker that all clients of a Redis server share in a process."""

import logging
import os
import threading
from collections.abc import Callable, Hashable
from contextlib import suppress
from typing import Any, TypeVar
from weakref import WeakSet

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from ..conf import settings
from ..metrics import REDIS_CIRCUIT_OPEN

logger = logging.getLogger(__name__)
T = TypeVar("T")
PROBE_INTERVAL = 0.1  # seconds
# Reads stay disabled for this long after an outage, so that every process notices it.
SETTLE_SECONDS = 0.25
# How often the calls that are missed during a repetition are repeated before the circuit closes.
MAX_REPETITIONS = 5


class CircuitBreaker(Retry):
    """Fail calls to a server immediately while it is unavailable.

    The first failure opens the circuit. Calls that are already waiting fail after one timeout each,
    and later ones fail without waiting. A thread probes the server until it responds and accepts
    writes, and then closes the circuit. redis-py uses an instance as the `retry` of a connection,
    and calls it for each command and each connection attempt.

    Args:
        server: the server's name in logs and metrics.
        connect: creates a client without a circuit breaker, for probes.
    """

    def __init__(self, server: str, connect: Callable[[], redis.Redis]) -> None:
        super().__init__(NoBackoff(), 0)
        self._server = server
        self._connect = connect
        # Called with a client before the circuit closes; any exception keeps it open.
        self.on_recovery: list[Callable[[redis.Redis], object]] = []
        self._missed: set[tuple[Callable[..., object], Hashable]] = set()
        # Counts outages: a connection that was opened before the latest one is replaced.
        self.outages = 0
        # Counts opened connections: a new one can lead to a restarted server.
        self.connections = 0
        self._is_retired = False
        self.reset()
        _instances.add(self)

    # Those of Retry compare settings, which are the same for all servers.
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def reset(self) -> None:
        """Close the circuit in a forked child, where the parent's probe does not run."""
        self._lock = threading.Lock()
        self._probe: threading.Thread | None = None
        self._set_open(False)

    def retire(self) -> None:
        """End the probes of a server that is no longer used. The circuit closes."""
        self._is_retired = True
        self._set_open(False)

    def _set_open(self, is_open: bool) -> None:
        self.is_open = is_open = is_open and not self._is_retired
        REDIS_CIRCUIT_OPEN.labels(self._server).set(is_open)

    def __deepcopy__(self, memo: dict[int, Any]) -> "CircuitBreaker":
        return self  # redis-py copies the `retry` of each connection, but all must share this one

    def call_with_retry(self, do: Callable[[], T], fail: Any, *args: Any, **options: Any) -> T:
        """Call `do`; retry once if the connection breaks, since the server can still be available.

        Raises:
            redis.ConnectionError: the circuit is open.
        """
        if self.is_open:
            self._start_probe()
            raise redis.ConnectionError(f"{self._server} is unavailable; the circuit is open")
        for is_last in (False, True):
            try:
                return do()
            except redis.exceptions.ReadOnlyError as error:
                # The server is a replica now, so its data can be stale.
                self.trip(error)
                raise
            except self._supported_errors as error:
                fail(*(error, 1) if options.get("with_failure_count") else (error,))
                if is_last or isinstance(error, redis.TimeoutError | TimeoutError):
                    self.trip(error)
                    raise
        raise AssertionError("unreachable")

    def repeat_on_recovery(self, function: Callable[..., object], argument: Hashable) -> None:
        """Call `function(client, argument)` once before the circuit closes next.

        This process reads nothing from the server before that call. Duplicates are ignored. Under a
        steady stream of missed calls, the latest ones can be repeated just after the circuit has
        closed.
        """
        with self._lock:
            self._missed.add((function, argument))

    def trip(self, error: Exception) -> None:
        """Open the circuit until a probe succeeds and all missed calls have been repeated."""
        with self._lock:
            if self.is_open:
                return
            self.outages += 1
            self._set_open(True)
        logger.warning("Redis at %s is unavailable: %s", self._server, error)
        self._start_probe()

    def _start_probe(self) -> None:
        # RuntimeError: the process cannot start a thread now. The next call tries again.
        with self._lock, suppress(RuntimeError):
            if self._probe is None or not self._probe.is_alive():
                probe = threading.Thread(target=self._run_probe, name="redis-probe", daemon=True)
                probe.start()
                self._probe = probe

    def _run_probe(self) -> None:
        pause = threading.Event()
        while not self._is_retired:
            try:
                with self._connect() as client:
                    # A write, because replicas accept reads. The other replies mean that the server
                    # is available too: a node of a cluster rejects the keys of other nodes.
                    with suppress(redis.exceptions.NoPermissionError, redis.exceptions.AskError):
                        client.unlink(f"{settings.CACHE_KEY_PREFIX}:probe")
                    self._recover(client)
                    # Another process may notice the outage later, and then delete data that this
                    # one must not read.
                    pause.wait(SETTLE_SECONDS)
                    self._close(client)
            except Exception:  # any: if this thread ended, the circuit would stay open
                self._set_open(True)
                pause.wait(PROBE_INTERVAL)
                continue
            logger.warning("Redis at %s is available again", self._server)
            return

    def _close(self, client: redis.Redis) -> None:
        """Close the circuit once no call was missed while the previous ones were repeated."""
        for _ in range(MAX_REPETITIONS):
            self._recover(client)
            with self._lock:
                if not self._missed:
                    self._probe = None  # this thread probes no later outage
                    self._set_open(False)
                    return
        self._set_open(False)
        self._recover(client)

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


# Weak, because a Redis Cluster retires the nodes that have left it.
_instances: WeakSet[CircuitBreaker] = WeakSet()


def _reset_all() -> None:
    for breaker in _instances:
        breaker.reset()


os.register_at_fork(after_in_child=_reset_all)
