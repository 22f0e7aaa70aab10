"""Django's cache on Redis."""

import pickle
from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Any, TypeVar

import redis
from django.core.cache.backends.base import DEFAULT_TIMEOUT
from django.core.cache.backends.redis import RedisCache as DjangoRedisCache
from django.core.cache.backends.redis import RedisCacheClient

from ..metrics import cache_requests
from ..redis import connection_options, delete_by_prefix, guard

T = TypeVar("T")
# What another release has pickled may be of a class that this one does not have.
UNREADABLE = (pickle.UnpicklingError, AttributeError, ImportError, EOFError, IndexError)


class _Client(RedisCacheClient):
    """Django's client, which keeps its `redis.Redis`: building one costs more than a GET."""

    @cached_property
    def _redis(self) -> redis.Redis:
        django: Any = self
        pool = django._get_connection_pool(write=True)
        return redis.Redis(connection_pool=guard(django._servers[0], pool))

    def get_client(self, key: Any = None, *, write: bool = False) -> redis.Redis:
        return self._redis


class RedisCache(DjangoRedisCache):
    """Django's cache on Redis, of which an outage costs speed and nothing else.

    While Redis does not answer, reads are misses and writes do nothing. `clear()` removes this
    cache's keys only, for other caches and cacheops may share the database.
    """

    def __init__(self, server: str, params: dict[str, Any]) -> None:
        options = {**connection_options(server), **params.get("OPTIONS", {})}
        super().__init__(server, {**params, "OPTIONS": options})
        self._class = _Client

    def _try(self, call: Callable[[], T], fallback: T) -> T:
        try:
            return call()
        except redis.RedisError:
            return fallback

    def add(
        self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> bool:
        return self._try(lambda: super(RedisCache, self).add(key, value, timeout, version), False)

    def get(self, key: Any, default: Any = None, version: int | None = None) -> Any:
        missing = object()
        try:
            value = self._try(lambda: super(RedisCache, self).get(key, missing, version), missing)
        except UNREADABLE:
            value = missing
        cache_requests("default", "miss" if value is missing else "hit").inc()
        return default if value is missing else value

    def set(
        self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> None:
        self._try(lambda: super(RedisCache, self).set(key, value, timeout, version), None)

    def touch(self, key: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        return self._try(lambda: super(RedisCache, self).touch(key, timeout, version), False)

    def delete(self, key: Any, version: int | None = None) -> bool:
        return self._try(lambda: super(RedisCache, self).delete(key, version), False)

    def get_many(self, keys: Iterable[Any], version: int | None = None) -> dict[Any, Any]:
        try:
            return self._try(lambda: super(RedisCache, self).get_many(keys, version), {})
        except UNREADABLE:
            return {}

    def has_key(self, key: Any, version: int | None = None) -> bool:
        return self._try(lambda: super(RedisCache, self).has_key(key, version), False)

    def incr(self, key: Any, delta: int = 1, version: int | None = None) -> int:
        return self._try(lambda: super(RedisCache, self).incr(key, delta, version), delta)

    def set_many(
        self,
        data: dict[Any, Any],
        timeout: Any = DEFAULT_TIMEOUT,
        version: int | None = None,
    ) -> list[Any]:
        return self._try(
            lambda: super(RedisCache, self).set_many(data, timeout, version), list(data)
        )

    def delete_many(self, keys: Iterable[Any], version: int | None = None) -> None:
        self._try(lambda: super(RedisCache, self).delete_many(keys, version), None)

    def clear(self) -> None:
        # Django's keys are prefix:version:key.
        client: Any = self._cache
        self._try(lambda: delete_by_prefix(client.get_client(), self.key_prefix, ":[0-9]*:*"), None)
