"""How every Redis client of the service is set up."""

import os
import re
import threading
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from ..conf import settings
from .circuit_breaker import CircuitBreaker
from .resolver import addresses


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
        pool.connection_class = _resolved_kind(pool.connection_class)
    circuit_breaker(url).end_idle_connections_of(pool)
    return pool


class _Resolved(redis.Connection):
    """Connects to the addresses that the resolver knows, instead of asking it without a bound."""

    def _connect(self) -> Any:
        parent: Any = super()
        name, seconds = self.host, settings.REDIS_SOCKET_TIMEOUT
        failure: Exception = OSError(f"the name {name} has no address")
        try:
            for address in addresses(name, self.port, seconds):
                self.host = address
                try:
                    return parent._connect()
                except OSError as error:
                    failure = error
            raise failure
        finally:
            self.host = name  # which a certificate has to be for


@cache
def _resolved_kind(kind: type[Any]) -> type[Any]:
    # The class for TLS goes first, and wraps what the other has connected.
    bases = (_Resolved,) if kind is redis.Connection else (kind, _Resolved)
    return type(f"Resolved{kind.__name__}", bases, {})


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
