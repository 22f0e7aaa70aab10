"""The Redis client of cacheops: during an outage reads miss, and stale data is never served.

An invalidation that Redis misses makes this process delete all of cacheops' results before it reads
again. Repeating single invalidations would keep the cache warm, but only after an outage without
a restart, and the database has just served the full load anyway.
"""

from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from typing import Any, cast

import cacheops.redis
import redis
from redis.exceptions import NoScriptError

from ..redis import breaker_for, client, connection_options, delete_by_prefix
from . import signing
from .keys import UNKNOWN, Server, cacheops_prefix, namespace, run_id_of


class _ServerChangedError(redis.ConnectionError):
    """The key in the command belongs to another Redis server than the one that responded."""


def delete_results(client: redis.Redis, prefix: str) -> None:
    """Delete all keys of cacheops but one kind.

    The names of conditions (`schemes:`) stay: without them, a result that is stored meanwhile could
    not be invalidated.

    Raises:
        redis.RedisError: Redis is unavailable or rejects a command.
    """
    delete_by_prefix(client, prefix, keep=b":schemes:")


def _invalidation(method: Callable[..., Any]) -> Callable[..., Any]:
    """Delete all results if an invalidation fails: at once where Redis responds, else later.

    The failure is raised as redis.ConnectionError, which cacheops handles.
    """

    @wraps(method)
    def invalidate(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return method(self, *args, **kwargs)
        except redis.RedisError as error:
            failure = error
        if isinstance(failure, _ServerChangedError):
            try:
                return delete_results(self.plain, namespace())
            except redis.RedisError as error:
                failure = error
        self.breaker.repeat_on_recovery(delete_results, namespace())
        self.breaker.trip(failure)
        raise redis.ConnectionError(str(failure)) from failure

    return invalidate


class CacheopsClient(redis.Redis):
    """The client of cacheops, which raises only errors that cacheops handles as an outage.

    Needs Redis 7 or later, or Valkey.
    """

    breaker: Any
    plain: redis.Redis

    @classmethod
    def from_url(cls, url: str, **kwargs: Any) -> redis.Redis:
        """Return a client for a URL."""
        breaker, plain = breaker_for(url), client(url)

        def on_connect(connection: Any) -> None:
            # A restart may have gone unnoticed, and the data may be from before it.
            connection.on_connect()
            known, Server.run_id = Server.run_id, run_id_of(plain)
            if Server.run_id != known:
                # Not a ConnectionError, which would open the circuit: this server is available.
                raise redis.RedisError("Redis was restarted or replaced")

        def recover(client: redis.Redis) -> None:
            Server.run_id = run_id_of(client)
            if Server.run_id == UNKNOWN:  # the server may have been replaced
                delete_results(client, namespace())

        options = connection_options(url)
        self: Any = super().from_url(url, redis_connect_func=on_connect, **options, **kwargs)
        self.breaker, self.plain = breaker, plain
        breaker.on_recovery.append(recover)
        return cast("redis.Redis", self)

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """Run a command. An error reply (OOM, READONLY, WRONGTYPE, NOPERM) counts as an outage."""
        known = Server.run_id or Server.identify()
        try:
            return super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
        except NoScriptError:
            raise
        except (redis.ResponseError, redis.InvalidResponse) as error:
            raise redis.ConnectionError(str(error)) from error
        finally:
            if Server.run_id != known:
                raise _ServerChangedError("Redis was restarted or replaced")

    def info(self, section: str | None = None, *args: Any, **kwargs: Any) -> Any:
        """Return the version that cacheops asks for before its first script, without a call."""
        return {"redis_version": "7.0.0"}

    def evalsha(self, sha: str, numkeys: int, *arguments: Any) -> Any:
        """Run a script."""
        script = cacheops.redis.load_script("invalidate_insideout")
        if sha == script.sha:
            return self._invalidate(script, numkeys, *arguments)
        return super().evalsha(sha, numkeys, *arguments)

    @_invalidation
    def _invalidate(self, script: Any, numkeys: int, prefix: str, *arguments: Any) -> Any:
        try:
            super().evalsha(script.sha, numkeys, prefix, *arguments)
        except NoScriptError:
            # redis-py would load the script and repeat the call, out of reach of the decorator.
            super().eval(script.script, numkeys, prefix, *arguments)
        if prefix != cacheops_prefix():  # another thread has noticed a restart meanwhile
            raise _ServerChangedError("Redis was restarted or replaced")

    def get(self, name: Any) -> Any:
        """Return the value of `@cached` in a tuple; None if there is none or Redis is unavailable.

        A value that is not signed by this service, or that cannot be read, is deleted.
        """
        try:
            stored: Any = super().get(name)
            return None if stored is None else (signing.loads(name.encode(), stored),)
        except redis.RedisError:
            return None
        except Exception:  # an unreadable value raises errors of its own class
            with suppress(redis.RedisError):
                self.plain.unlink(name)
            return None

    def set(self, name: Any, value: Any, *args: Any, **options: Any) -> Any:
        """Store a value. Values of `@cached` come in a tuple (querysets.Serializer)."""
        if isinstance(value, tuple):
            value = signing.dumps(name.encode(), value[0])
        return super().set(name, value, *args, **options)

    def setex(self, name: Any, time: Any, value: Any) -> Any:
        """Store a value for some seconds."""
        return self.set(name, value, ex=time)

    @_invalidation
    def keys(self, pattern: Any = "*", **kwargs: Any) -> Any:
        """Return matching keys, for `invalidate_model`. SCAN does not block other clients."""
        return list(self.scan_iter(match=pattern, count=1000))

    @_invalidation
    def unlink(self, *names: Any) -> Any:
        """Delete keys, a thousand at a time: `invalidate_model` passes any number of them."""
        for start in range(0, len(names), 1000):
            super().unlink(*names[start : start + 1000])

    delete = unlink

    @_invalidation
    def flushdb(self, *args: Any, **kwargs: Any) -> Any:
        """Delete cacheops' keys only. Other caches and the throttles may share the database."""
        delete_results(self, namespace())
