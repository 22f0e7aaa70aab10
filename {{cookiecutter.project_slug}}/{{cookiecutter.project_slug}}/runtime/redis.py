"""How every Redis client of the service is set up, and the circuit breaker that they share."""

import logging
import os
import re
import socket
import threading
import weakref
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar
from urllib.parse import urlsplit

import redis
from django.conf import settings
from redis.backoff import NoBackoff
from redis.retry import Retry

from .metrics import REDIS_CIRCUIT_OPEN

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
    """

    def __init__(self, url: str) -> None:
        super().__init__(NoBackoff(), 0)
        self._url = url
        self._server = server_of(url)
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
        options = {**connection_options(self._url), "retry": Retry(NoBackoff(), 0)}
        pause = threading.Event()
        while True:
            try:
                with redis.Redis.from_url(self._url, **options) as client:
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

    def guard(self, pool: redis.ConnectionPool) -> redis.ConnectionPool:
        """Return the pool, which waits no longer for a name than for a server from now on.

        Its idle connections end with each outage.
        """
        if not issubclass(pool.connection_class, redis.UnixDomainSocketConnection):
            pool.connection_class = _bounded_kind(pool.connection_class)
        self._pools.add(pool)
        return pool


def server_of(url: str) -> str:
    """Return what tells servers apart: `host:port`, or a socket's path."""
    parts = urlsplit(url)
    return parts.path if parts.scheme == "unix" else f"{parts.hostname}:{parts.port or 6379}"


_breakers: dict[str, CircuitBreaker] = {}
_breakers_lock = threading.Lock()


def circuit_breaker(url: str) -> CircuitBreaker:
    """Return this process' breaker for the server of a URL, and for the user that it names.

    A password that is wrong for one user says nothing of what another one may do.
    """
    parts = urlsplit(url)
    key = parts.netloc or parts.path
    with _breakers_lock:
        if key not in _breakers:
            _breakers[key] = CircuitBreaker(url)
        return _breakers[key]


def connection_options(url: str) -> dict[str, Any]:
    """Return the keyword arguments with which redis-py must connect to `url`.

    redis-py's defaults wait for seconds and try again ten times; a cache that is slower than the
    database is worse than none, so timeouts are always set (seconds: REDIS_SOCKET_TIMEOUT).
    """
    options: dict[str, Any] = {
        "socket_timeout": settings.REDIS_SOCKET_TIMEOUT,
        "retry": circuit_breaker(url),
        "client_name": settings.SERVICE_NAME,
    }
    if not url.startswith("unix:"):
        options["socket_connect_timeout"] = settings.REDIS_SOCKET_TIMEOUT
    if url.startswith("rediss:") and settings.REDIS_CA_CERT:
        options["ssl_ca_certs"] = settings.REDIS_CA_CERT
    return options


@cache
def client(url: str) -> redis.Redis:
    """Return this process' client of a URL, which threads share."""
    pool = redis.ConnectionPool.from_url(url, **connection_options(url))
    return redis.Redis(connection_pool=circuit_breaker(url).guard(pool))


class _BoundedResolution(redis.Connection):
    """Gives up on a name that does not resolve in time, which no timeout of a socket bounds.

    The name is asked for in a thread, which is left behind if it takes too long. redis-py then asks
    again for what the resolver has just answered.
    """

    def _connect(self) -> Any:
        failures: list[Exception | None] = []

        def resolve() -> None:
            try:
                socket.getaddrinfo(self.host, self.port, self.socket_type, socket.SOCK_STREAM)
            except OSError as error:
                failures.append(error)
            else:
                failures.append(None)

        thread = threading.Thread(target=resolve, name="redis-resolver", daemon=True)
        thread.start()
        thread.join(self.socket_connect_timeout)
        if not failures:
            raise redis.TimeoutError(
                f"the name {self.host} was not resolved within {self.socket_connect_timeout} s"
            )
        if failures[0] is not None:
            raise failures[0]
        parent: Any = super()
        return parent._connect()


@cache
def _bounded_kind(kind: type[Any]) -> type[Any]:
    return type(f"Bounded{kind.__name__}", (_BoundedResolution, kind), {})


class ThreadClients:
    """A client for each thread, which keeps its connection.

    To take a connection from a pool and give it back costs half of a call.
    """

    def __init__(self, client: redis.Redis) -> None:
        self._client: Any = client
        self._local = threading.local()

    def get(self) -> Any:
        """Return this thread's client.

        A connection that the server has closed meanwhile, or that is older than an outage, is
        opened again at its next use. One that a fork would share is left to the parent.
        """
        own = self._local.__dict__
        if own.get("pid") != os.getpid():
            own.update(pid=os.getpid(), client=self._client.client())
        connection = own["client"].connection
        outages = getattr(connection.retry, "outages", 0)
        try:
            is_stale = own.get("outages", outages) != outages or (
                connection.is_connected and connection.can_read()
            )
        except (redis.RedisError, OSError):
            is_stale = True
        own["outages"] = outages
        if is_stale:
            connection.disconnect()
        return own["client"]


def delete_by_prefix(
    client: redis.Redis, prefix: str, pattern: str = "*", keep: bytes | None = None
) -> None:
    """Drop the keys that begin with `prefix` and go on as `pattern` says, a thousand at a time.

    Args:
        client: for the server.
        prefix: taken as it is.
        pattern: as SCAN takes it.
        keep: keys that contain this stay.

    Raises:
        redis.RedisError: Redis does not answer or refuses.
    """
    # The prefix may hold what is special in a pattern.
    match = re.sub(r"([][*?\\])", r"\\\1", prefix) + pattern
    batch: list[Any] = []
    for key in client.scan_iter(match=match, count=1000):
        if keep is None or keep not in key:
            batch.append(key)
        if len(batch) == 1000:
            client.unlink(*batch)
            batch.clear()
    if batch:
        client.unlink(*batch)
