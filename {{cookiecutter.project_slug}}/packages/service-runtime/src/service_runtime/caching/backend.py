"""Django's cache backend for Redis."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cached_property, wraps
from typing import Any, TypeVar

import redis
from django.core.cache.backends.redis import RedisCache as DjangoRedisCache
from django.core.cache.backends.redis import RedisCacheClient
from django.core.exceptions import ImproperlyConfigured

from ..metrics import cache_requests
from ..redis import breaker_for, connection_options, delete_by_prefix
from . import signing

T = TypeVar("T")
# Replies to INCRBY about the value, not about the server.
_NOT_A_NUMBER = ("value is not an integer", "increment or decrement", "WRONGTYPE")


class _RejectedError(redis.RedisError):
    """Redis or its client rejected a write; the keys of the write have no value any more."""


class _Client(RedisCacheClient):
    """Django's client with signed values, and with one `redis.Redis`.

    Integers are not signed, since Redis has to count with them. To create a `redis.Redis` for each
    call, as Django does, costs more than a GET.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        django: Any = self
        # Django's methods call `dumps`, here with pairs of a key and its value.
        self._pickle, django._serializer = django._serializer, self

    def dumps(self, item: tuple[str, Any]) -> Any:
        """Return the stored form of a value."""
        key, value = item
        serialized = self._pickle.dumps(value)
        if type(serialized) is int:
            return serialized
        if isinstance(serialized, str):
            serialized = serialized.encode()
        return signing.sign(key.encode(), serialized)

    def _loads(self, key: str, stored: bytes) -> Any:
        try:
            return int(stored)
        except ValueError:
            return self._pickle.loads(signing.unsign(key.encode(), stored))

    @cached_property
    def _redis(self) -> redis.Redis:
        django: Any = self
        return redis.Redis(connection_pool=django._get_connection_pool(write=True))

    def get_client(self, key: Any = None, *, write: bool = False) -> redis.Redis:
        return self._redis

    @contextmanager
    def _replacing(self, *keys: str, propagate: tuple[str, ...] = ()) -> Iterator[None]:
        """Delete the keys if a write to them is rejected: their old values must not be read.

        Args:
            keys: the keys of the write.
            propagate: how the messages of errors start that change nothing and are raised.

        Raises:
            _RejectedError: the write was rejected, and the keys are deleted.
            redis.RedisError: Redis is unavailable, or rejects the deletion too.
        """
        try:
            yield
        except (redis.ResponseError, redis.DataError) as error:
            if str(error).startswith(propagate):
                raise
            self._redis.unlink(*keys)
            raise _RejectedError(str(error)) from error

    def add(self, key: Any, value: Any, timeout: Any) -> bool:
        return bool(super().add(key, (key, value), timeout))

    def set(self, key: Any, value: Any, timeout: Any) -> None:
        with self._replacing(key):
            super().set(key, (key, value), timeout)

    def set_many(self, data: Any, timeout: Any) -> None:
        with self._replacing(*data):
            super().set_many({key: (key, value) for key, value in data.items()}, timeout)

    def touch(self, key: Any, timeout: Any) -> bool:
        with self._replacing(key):
            return bool(super().touch(key, timeout))

    def delete(self, key: Any) -> bool:
        with self._replacing(key):
            return bool(super().delete(key))

    def delete_many(self, keys: Any) -> None:
        with self._replacing(*keys):
            super().delete_many(keys)

    def incr(self, key: Any, delta: Any) -> Any:
        with self._replacing(key, propagate=_NOT_A_NUMBER):
            return super().incr(key, delta)

    def get(self, key: Any, default: Any) -> Any:
        return self._loaded({key: self._redis.get(key)}).get(key, default)

    def get_many(self, keys: Any) -> dict[Any, Any]:
        names = list(keys)
        stored: Any = self._redis.mget(names)
        return self._loaded(dict(zip(names, stored, strict=True)))

    def _loaded(self, stored: dict[str, Any]) -> dict[str, Any]:
        """Return the values of the keys that have one; delete those that cannot be read."""
        values, unreadable = {}, []
        for key, value in stored.items():
            if value is None:
                continue
            try:
                values[key] = self._loads(key, value)
            except Exception:  # unsigned, altered, or of a release with other classes
                unreadable.append(key)
        if unreadable:
            self._redis.unlink(*unreadable)
        return values


def _fail_open(write: Callable[..., Any], fallback: T) -> Callable[..., T]:
    """Return a method that writes to the cache, and that returns `fallback` if Redis fails."""

    @wraps(write)
    def call(self: Any, *args: Any, **options: Any) -> T:
        try:
            return write(self, *args, **options)  # type: ignore[no-any-return]
        except redis.RedisError as error:
            self._empty_later(error)
            return fallback

    return call


class RedisCache(DjangoRedisCache):
    """Fail-open cache backend: during an outage of Redis, reads miss and writes are dropped.

    A process that has dropped a write empties the cache before it reads again, so that no value
    returns that was replaced or deleted, such as a session. Values are signed. Keys start with
    `KEY_PREFIX:cache:`, whatever KEY_FUNCTION returns, so `clear()` deletes no others.

    If Redis rejects a write with an error reply, its keys are deleted. Only if that is rejected too
    (MISCONF, NOREPLICAS), the circuit opens and the cache is emptied. So a value that is too large,
    an invalid TTL or a lack of memory (OOM) costs no other key.

    Raises:
        ImproperlyConfigured: LOCATION has several servers. A replica may lack the latest write.
    """

    def __init__(self, server: str | list[str], params: dict[str, Any]) -> None:
        servers = [server] if isinstance(server, str) else list(server)
        if len(servers) != 1 or "," in servers[0] or ";" in servers[0]:
            raise ImproperlyConfigured(
                "LOCATION of CACHES must be the URL of one Redis: a replica may lack the latest"
                " write."
            )
        options = {**connection_options(servers[0]), **params.get("OPTIONS", {})}
        super().__init__(servers[0], {**params, "OPTIONS": options})
        self._class = _Client
        self._server = servers[0]
        self._namespace = f"{self.key_prefix}:cache:"

    def make_and_validate_key(self, key: Any, version: Any = None) -> str:
        """Return the key in Redis."""
        return f"{self._namespace}{super().make_and_validate_key(key, version)}"

    def _empty_later(self, error: redis.RedisError) -> None:
        """Read nothing until the cache has been emptied, unless no old value is left."""
        if isinstance(error, _RejectedError):
            return
        breaker = breaker_for(self._server)
        breaker.repeat_on_recovery(delete_by_prefix, self._namespace)
        # Error replies do not open the circuit, and it can have closed since the write failed.
        breaker.trip(error)

    def add(self, *args: Any, **options: Any) -> bool:
        try:
            return super().add(*args, **options)
        except redis.RedisError:  # nothing to delete: `add` replaces no value
            return False

    set = _fail_open(DjangoRedisCache.set, None)
    touch = _fail_open(DjangoRedisCache.touch, False)
    delete = _fail_open(DjangoRedisCache.delete, False)
    delete_many = _fail_open(DjangoRedisCache.delete_many, None)

    def get(self, key: Any, default: Any = None, version: int | None = None) -> Any:
        missing = object()
        try:
            value = super().get(key, missing, version)
        except redis.RedisError:
            value = missing
        cache_requests("default", "miss" if value is missing else "hit").inc()
        return default if value is missing else value

    def get_many(self, keys: Iterable[Any], version: int | None = None) -> dict[Any, Any]:
        try:
            return super().get_many(keys, version)
        except redis.RedisError:
            return {}

    def has_key(self, key: Any, version: int | None = None) -> bool:
        try:
            return super().has_key(key, version)
        except redis.RedisError:
            return False

    def set_many(self, data: dict[Any, Any], *args: Any, **options: Any) -> list[Any]:
        try:
            return super().set_many(data, *args, **options)
        except redis.RedisError as error:
            self._empty_later(error)
            return list(data)

    def incr(self, key: Any, delta: int = 1, version: int | None = None) -> int:
        """Add to an integer and return the sum; return the delta while Redis is unavailable.

        Raises:
            ValueError: the key does not exist.
            redis.ResponseError: the value is not an integer.
        """
        try:
            return super().incr(key, delta, version)
        except redis.RedisError as error:
            if str(error).startswith(_NOT_A_NUMBER):
                raise
            self._empty_later(error)
            return delta

    def clear(self) -> None:
        client: Any = self._cache
        try:
            delete_by_prefix(client.get_client(), self._namespace)
        except redis.RedisError as error:
            self._empty_later(error)
