"""Django's cache on Redis."""

from collections.abc import Callable, Iterable
from functools import cache, cached_property
from typing import Any, TypeVar

import redis
from django.core.cache.backends.base import DEFAULT_TIMEOUT
from django.core.cache.backends.redis import RedisCache as DjangoRedisCache
from django.core.cache.backends.redis import RedisCacheClient
from django.core.exceptions import ImproperlyConfigured

from ..metrics import cache_requests
from ..redis import circuit_breaker, connection_options, delete_by_prefix, guard
from . import signing

T = TypeVar("T")
# Redis' replies to INCRBY that say something of the value, and nothing of Redis' state.
_NOT_A_NUMBER = ("value is not an integer", "increment or decrement", "WRONGTYPE")


@cache
def _missed(server: str) -> set[str]:
    """Return the namespaces of caches that have missed a write to a server.

    They are dropped before anything is read from it again: a value that was to be deleted or
    replaced during an outage, such as a session, must not be back after it.
    """
    missed: set[str] = set()

    def drop(client: redis.Redis) -> None:
        for namespace in list(missed):
            delete_by_prefix(client, namespace)
            missed.discard(namespace)

    circuit_breaker(server).on_recovery.append(drop)
    return missed


class _SigningSerializer:
    """Signs what another serializer returns, but for integers, which Redis has to count with.

    Args:
        serializer: with `dumps` and `loads`, as Django's RedisSerializer.
    """

    def __init__(self, serializer: Any) -> None:
        self._serializer = serializer

    def dumps(self, item: tuple[str, Any]) -> Any:
        """Return what Redis stores for a key and value."""
        key, value = item
        serialized = self._serializer.dumps(value)
        if type(serialized) is int:
            return serialized
        if isinstance(serialized, str):
            serialized = serialized.encode()
        return signing.sign(key.encode(), serialized)

    def loads(self, key: str, stored: bytes) -> Any:
        """Return the value of a key.

        Raises:
            Exception: the value is not this service's, or its class cannot read it.
        """
        try:
            return int(stored)
        except ValueError:
            return self._serializer.loads(signing.unsign(key.encode(), stored))


class _Client(RedisCacheClient):
    """Django's client, which keeps its `redis.Redis`: building one costs more than a GET."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._serializer: Any = _SigningSerializer(self._serializer)

    @cached_property
    def _redis(self) -> redis.Redis:
        django: Any = self
        pool = django._get_connection_pool(write=True)
        return redis.Redis(connection_pool=guard(django._servers[0], pool))

    def get_client(self, key: Any = None, *, write: bool = False) -> redis.Redis:
        return self._redis

    def add(self, key: Any, value: Any, timeout: Any) -> bool:
        return bool(super().add(key, (key, value), timeout))

    def set(self, key: Any, value: Any, timeout: Any) -> None:
        super().set(key, (key, value), timeout)

    def set_many(self, data: Any, timeout: Any) -> None:
        super().set_many({key: (key, value) for key, value in data.items()}, timeout)

    def get(self, key: Any, default: Any) -> Any:
        return self._loaded({key: self._redis.get(key)}).get(key, default)

    def get_many(self, keys: Any) -> dict[Any, Any]:
        names = list(keys)
        stored: Any = self._redis.mget(names)
        return self._loaded(dict(zip(names, stored, strict=True)))

    def _loaded(self, stored: dict[str, Any]) -> dict[str, Any]:
        """Return the values of those keys that have one; remove what cannot be read."""
        values, unreadable = {}, []
        for key, value in stored.items():
            if value is None:
                continue
            try:
                values[key] = self._serializer.loads(key, value)
            except Exception:  # unsigned, altered, or of another release whose classes differ
                unreadable.append(key)
        if unreadable:
            self._redis.unlink(*unreadable)
        return values


class RedisCache(DjangoRedisCache):
    """Fail-open cache backend: during an outage of Redis, reads miss and writes are dropped.

    A process that has dropped a write empties the cache before it reads it again.
    Values are signed (signing.py). Keys begin with `KEY_PREFIX:cache:`, whatever KEY_FUNCTION
    returns, so that `clear()` removes this cache's keys and no others of the database.

    Raises:
        ImproperlyConfigured: LOCATION has several servers. Reading from a replica would return
            what was written over or deleted just before.
    """

    def __init__(self, server: str | list[str], params: dict[str, Any]) -> None:
        servers = [server] if isinstance(server, str) else list(server)
        if len(servers) != 1 or "," in servers[0] or ";" in servers[0]:
            raise ImproperlyConfigured(
                "LOCATION of CACHES must be the URL of one Redis: a replica may not have what was"
                " written just before."
            )
        options = {**connection_options(servers[0]), **params.get("OPTIONS", {})}
        super().__init__(servers[0], {**params, "OPTIONS": options})
        self._class = _Client
        self._server = servers[0]
        self._namespace = f"{self.key_prefix}:cache:"

    def make_and_validate_key(self, key: Any, version: Any = None) -> str:
        """Return the key in Redis."""
        return f"{self._namespace}{super().make_and_validate_key(key, version)}"

    def _read(self, call: Callable[[], T], fallback: T) -> T:
        try:
            return call()
        except redis.RedisError:
            return fallback

    def _write(self, call: Callable[[], T], fallback: T) -> T:
        try:
            return call()
        except redis.RedisError:
            _missed(self._server).add(self._namespace)
            return fallback

    def add(
        self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> bool:
        return self._write(lambda: super(RedisCache, self).add(key, value, timeout, version), False)

    def get(self, key: Any, default: Any = None, version: int | None = None) -> Any:
        missing = object()
        value = self._read(lambda: super(RedisCache, self).get(key, missing, version), missing)
        cache_requests("default", "miss" if value is missing else "hit").inc()
        return default if value is missing else value

    def set(
        self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> None:
        self._write(lambda: super(RedisCache, self).set(key, value, timeout, version), None)

    def touch(self, key: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        return self._write(lambda: super(RedisCache, self).touch(key, timeout, version), False)

    def delete(self, key: Any, version: int | None = None) -> bool:
        return self._write(lambda: super(RedisCache, self).delete(key, version), False)

    def get_many(self, keys: Iterable[Any], version: int | None = None) -> dict[Any, Any]:
        return self._read(lambda: super(RedisCache, self).get_many(keys, version), {})

    def has_key(self, key: Any, version: int | None = None) -> bool:
        return self._read(lambda: super(RedisCache, self).has_key(key, version), False)

    def incr(self, key: Any, delta: int = 1, version: int | None = None) -> int:
        """Add to an integer, and return the sum; the delta while Redis is unavailable.

        Raises:
            ValueError: there is no such key.
            redis.ResponseError: its value is no integer.
        """
        try:
            return super().incr(key, delta, version)
        except redis.RedisError as error:
            if str(error).startswith(_NOT_A_NUMBER):
                raise
            _missed(self._server).add(self._namespace)
            return delta

    def set_many(
        self,
        data: dict[Any, Any],
        timeout: Any = DEFAULT_TIMEOUT,
        version: int | None = None,
    ) -> list[Any]:
        return self._write(
            lambda: super(RedisCache, self).set_many(data, timeout, version), list(data)
        )

    def delete_many(self, keys: Iterable[Any], version: int | None = None) -> None:
        self._write(lambda: super(RedisCache, self).delete_many(keys, version), None)

    def clear(self) -> None:
        client: Any = self._cache
        self._write(lambda: delete_by_prefix(client.get_client(), self._namespace), None)
