"""The Redis client of cacheops: an outage makes it miss, and never makes it serve what is stale."""

from contextlib import suppress
from typing import Any, cast

import cacheops.redis
import redis
from redis.exceptions import NoScriptError
from redis.utils import str_if_bytes

from ..redis import CircuitBreaker, circuit_breaker, client, connection_options, guard
from . import signing
from .keys import Server, cacheops_prefix, run_id_of
from .lost import LostInvalidations, drop_everything


class _OtherServerError(redis.ConnectionError):
    """The command was made for another Redis than the one that answers."""


class CacheopsClient(redis.Redis):
    """What cacheops talks to Redis with. Every failure of Redis is one that cacheops degrades on.

    Needs Redis 7 or newer, or Valkey.
    """

    breaker: CircuitBreaker
    lost: LostInvalidations
    plain: redis.Redis
    scripts: dict[str, str]

    @classmethod
    def from_url(cls, url: str, **kwargs: Any) -> redis.Redis:
        """Return a client of the URL, which replays what was lost before it reads again."""
        lost, breaker = LostInvalidations(), circuit_breaker(url)
        plain = client(url)

        def on_connect(connection: Any) -> None:
            # What Redis holds may be from before it was restarted, which no call need have noticed.
            connection.on_connect()
            known, Server.run_id = Server.run_id, run_id_of(plain)
            if Server.run_id != known:
                # No redis.ConnectionError, which would open the circuit: this Redis does answer.
                raise redis.RedisError("Redis was restarted or replaced")
            try:
                lost.replay(plain)
            except redis.ResponseError as error:
                raise redis.ConnectionError(str(error)) from error

        self: Any = super().from_url(
            url, redis_connect_func=on_connect, **connection_options(url), **kwargs
        )
        guard(url, self.connection_pool)
        self.breaker, self.lost, self.plain, self.scripts = breaker, lost, plain, {}

        def recover(client: redis.Redis) -> None:
            Server.run_id = run_id_of(client)
            lost.replay(client, after_outage=True)

        breaker.on_recovery.append(recover)
        return cast("redis.Redis", self)

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """Run a command; a refusal (OOM, READONLY, WRONGTYPE, NOPERM) is as good as no answer."""
        known = Server.run_id or Server.ask()
        try:
            return super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
        except NoScriptError:
            raise
        except (redis.ResponseError, redis.InvalidResponse) as error:
            raise redis.ConnectionError(str(error)) from error
        finally:
            if Server.run_id != known:  # whatever the answer, it is not of this server's keys
                raise _OtherServerError("Redis was restarted or replaced")

    def info(self, section: str | None = None, *args: Any, **kwargs: Any) -> Any:
        """Answer what cacheops asks before its first script, also while Redis does not."""
        return {"redis_version": "7.0.0"}

    def register_script(self, script: Any) -> Any:
        """Remember the script's text, with which a Redis that forgot it can be told again."""
        registered = super().register_script(script)
        self.scripts[registered.sha] = script
        return registered

    def evalsha(self, sha: str, numkeys: int, *arguments: Any) -> Any:
        """Run a script; an invalidation that fails is not lost."""
        script = self.scripts.get(sha)
        if script is None:  # of a lock, which another client has registered
            return super().evalsha(sha, numkeys, *arguments)
        is_invalidation = sha == cacheops.redis.load_script("invalidate_insideout").sha
        try:
            try:
                answer = super().evalsha(sha, numkeys, *arguments)
            except NoScriptError:
                answer = self.eval(script, numkeys, *arguments)
            if is_invalidation and arguments[0] != cacheops_prefix():  # another thread has noticed
                raise _OtherServerError("Redis was restarted or replaced")
            return answer
        except redis.RedisError as error:
            if is_invalidation:
                self.lost.add(("EVAL", script, numkeys, *arguments))
                return self._make_up_for(error)
            raise

    def get(self, name: Any) -> Any:
        """Return the value of `@cached` in a tuple, or None, also while Redis is unavailable.

        A value that is not signed by this service, or cannot be read, is removed.
        """
        try:
            stored: Any = super().get(name)
            if stored is None:
                return None
            return (signing.loads(name.encode(), stored),)
        except redis.RedisError:
            return None
        except Exception:  # whatever the class of an unreadable value raises
            with suppress(redis.RedisError):
                self.plain.unlink(name)
            return None

    def set(self, name: Any, value: Any, *args: Any, **options: Any) -> Any:
        """Store a value; one of `@cached` comes in a tuple (querysets.Serializer) and is signed."""
        if isinstance(value, tuple):
            value = signing.dumps(name.encode(), value[0])
        return super().set(name, value, *args, **options)

    def setex(self, name: Any, time: Any, value: Any) -> Any:
        """Store a value for some seconds, as `set` does."""
        return self.set(name, value, ex=time)

    def keys(self, pattern: Any = "*", **kwargs: Any) -> Any:
        """Return matching keys, which `invalidate_model` drops; SCAN holds nobody else up."""
        try:
            return list(self.scan_iter(match=pattern, count=1000))
        except redis.RedisError as error:
            self.lost.add_everything()
            self._make_up_for(error)
            return []

    def unlink(self, *names: Any) -> Any:
        """Remove keys, a thousand at a time: `invalidate_model` has as many as there are."""
        removed = 0
        for start in range(0, len(names), 1000):
            try:
                removed += super().unlink(*names[start : start + 1000])
            except redis.RedisError as error:
                for name in names[start:]:
                    self.lost.add(("UNLINK", str_if_bytes(name)))
                self._make_up_for(error)
                break
        return removed

    def flushdb(self, *args: Any, **kwargs: Any) -> Any:
        """Drop cacheops' keys only: other caches and the throttles may share the database."""
        try:
            drop_everything(self)
        except redis.RedisError as error:
            self.lost.add_everything()
            self._make_up_for(error)

    def _make_up_for(self, error: redis.RedisError) -> None:
        """Replay what was lost: at once where Redis answers, else when it does.

        Raises:
            redis.ConnectionError: Redis does not answer or refuses.
            redis.TimeoutError: Redis does not answer.
        """
        if isinstance(error, _OtherServerError):
            try:
                return self.lost.replay(self.plain)
            except redis.ResponseError as refusal:
                error = redis.ConnectionError(str(refusal))
            except redis.RedisError as failure:
                error = failure
        # The circuit closes with a replay. While it is open, one is coming.
        if not self.breaker.is_open:
            self.breaker.trip(error)
        raise error
