"""The configuration of every Redis client of the service."""

import re
import threading
from functools import cache, partial
from itertools import islice
from typing import Any
from urllib.parse import urlsplit

import redis
from redis.maint_notifications import MaintNotificationsConfig

from ..conf import settings
from .circuit_breaker import CircuitBreaker
from .connections import CONNECTION_CLASSES

_breakers: dict[str, CircuitBreaker] = {}
_breakers_lock = threading.Lock()


def breaker_for(url: str) -> CircuitBreaker:
    """Return this process's circuit breaker for the server and the user of a URL.

    One user's invalid password says nothing about another user.
    """
    parts = urlsplit(url)
    key = parts.netloc or parts.path
    with _breakers_lock:
        if key not in _breakers:
            _breakers[key] = new_breaker(url)
        return _breakers[key]


def new_breaker(url: str) -> CircuitBreaker:
    """Return a circuit breaker that only the clients of its creator share."""
    parts = urlsplit(url)
    server = f"{parts.hostname}:{parts.port or 6379}" if parts.netloc else parts.path
    return CircuitBreaker(server, partial(connect, url))


def connect(url: str) -> redis.Redis:
    """Return a client with timeouts, but without a circuit breaker."""
    return redis.Redis.from_url(url, **_options(url), retry=None)


def connection_options(url: str, breaker: CircuitBreaker | None = None) -> dict[str, Any]:
    """Return the keyword arguments with which redis-py must connect to `url`.

    By default, redis-py waits for seconds and retries ten times. A cache that is slower than the
    database is worse than none, so there is always a timeout (REDIS_SOCKET_TIMEOUT, seconds).

    Args:
        url: the server.
        breaker: the circuit breaker; by default that of `breaker_for`.
    """
    connection_class = CONNECTION_CLASSES[urlsplit(url).scheme]
    retry = breaker or breaker_for(url)
    return {**_options(url), "retry": retry, "connection_class": connection_class}


def _options(url: str) -> dict[str, Any]:
    timeout = settings.REDIS_SOCKET_TIMEOUT
    options: dict[str, Any] = {
        "socket_timeout": timeout,
        "client_name": settings.SERVICE_NAME,
        # redis-py would wait for 10 s while a server reports maintenance.
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
    }
    if not url.startswith("unix:"):
        options["socket_connect_timeout"] = timeout
    if url.startswith("rediss:") and settings.REDIS_CA_CERT:
        options["ssl_ca_certs"] = settings.REDIS_CA_CERT
    return options


@cache
def client(url: str) -> redis.Redis:
    """Return this process's client for a URL. Threads share it."""
    return redis.Redis.from_url(url, **connection_options(url))


def delete_by_prefix(client: redis.Redis, prefix: str, keep: bytes | None = None) -> None:
    """Delete the keys that start with `prefix`, a thousand at a time.

    Args:
        client: a client of the server.
        prefix: a literal prefix.
        keep: keys that contain this are not deleted.

    Raises:
        redis.RedisError: Redis is unavailable or rejects a command.
    """
    match = re.sub(r"([][*?\\])", r"\\\1", prefix) + "*"
    found = client.scan_iter(match=match, count=1000)
    keys = (key for key in found if keep is None or keep not in key)
    while batch := list(islice(keys, 1000)):
        client.unlink(*batch)
