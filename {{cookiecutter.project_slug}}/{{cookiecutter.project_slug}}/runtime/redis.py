"""How every Redis client of the service is set up."""

import os
import re
import socket
import threading
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import redis
from django.conf import settings
from redis.backoff import NoBackoff
from redis.retry import Retry

from .circuit_breaker import CircuitBreaker


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
            plain = {**_timeouts_and_trust(url), "retry": Retry(NoBackoff(), 0)}
            _breakers[key] = CircuitBreaker(
                server_of(url), lambda: redis.Redis.from_url(url, **plain)
            )
        return _breakers[key]


def connection_options(url: str) -> dict[str, Any]:
    """Return the keyword arguments with which redis-py must connect to `url`.

    redis-py's defaults wait for seconds and try again ten times; a cache that is slower than the
    database is worse than none, so timeouts are always set (seconds: REDIS_SOCKET_TIMEOUT).
    """
    return {**_timeouts_and_trust(url), "retry": circuit_breaker(url)}


def _timeouts_and_trust(url: str) -> dict[str, Any]:
    options: dict[str, Any] = {
        "socket_timeout": settings.REDIS_SOCKET_TIMEOUT,
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
    return redis.Redis(connection_pool=guard(url, pool))


def guard(url: str, pool: redis.ConnectionPool) -> redis.ConnectionPool:
    """Return a pool that waits no longer for the server's name than for the server.

    Its idle connections end with each outage.
    """
    if not issubclass(pool.connection_class, redis.UnixDomainSocketConnection):
        pool.connection_class = _bounded_kind(pool.connection_class)
    circuit_breaker(url).end_idle_connections_of(pool)
    return pool


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
