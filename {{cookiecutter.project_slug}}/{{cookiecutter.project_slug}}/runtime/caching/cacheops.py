"""The Redis client of cacheops: an outage makes it miss, and never makes it serve what is stale."""

import logging
import threading
import time
from collections.abc import Iterable
from typing import Any, cast

import cacheops.redis
import redis
from redis.exceptions import NoScriptError
from redis.utils import str_if_bytes

from ..circuit_breaker import CircuitBreaker
from ..redis import (
    circuit_breaker,
    client,
    connection_options,
    delete_by_prefix,
    guard,
)
from .keys import UNKNOWN, Server, cacheops_prefix, namespace, run_id_of

logger = logging.getLogger(__name__)
MAX_LOST = 10_000
LOCK_POLL_SECONDS = 0.02
LOCK_WAIT_SECONDS = 5.0


class LostInvalidations:
    """Invalidations that did not reach Redis, until they do.

    Each process keeps its own, and replays them when Redis answers again, before anything is read
    from it. Beyond MAX_LOST all of cacheops' keys go instead. A process that ends in an outage
    takes its own along: then the cache's timeouts bound how long something stale is served.
    """

    def __init__(self) -> None:
        self._commands: dict[tuple[Any, ...], None] = {}
        self._lock = threading.Lock()
        self._replaying = threading.Lock()
        self._overflown = False

    def add(self, command: tuple[Any, ...]) -> None:
        """Remember a command that has not run."""
        with self._lock:
            if len(self._commands) < MAX_LOST:
                self._commands[command] = None
            else:
                self._overflown = True

    def add_everything(self) -> None:
        """Remember that all of cacheops' keys are to go."""
        with self._lock:
            self._overflown = True

    def replay(self, client: redis.Redis, after_outage: bool = False) -> None:
        """Run what was lost; drop everything if that was too much, or cannot be run.

        A Redis that does not say who it is may be another one after each outage.

        Raises:
            redis.RedisError: Redis does not take it; nothing is forgotten.
        """
        with self._replaying:
            with self._lock:
                lost, self._commands = self._commands, {}
                overflown, self._overflown = self._overflown, False
            try:
                commands = [_for_this_server(command) for command in lost]
                if after_outage and Server.run_id == UNKNOWN:
                    overflown = True
                if overflown or None in commands or not _ran(client, commands):
                    drop_everything(client)
            except BaseException:
                with self._lock:
                    self._commands = {**lost, **self._commands}
                    self._overflown = self._overflown or overflown
                raise
        if count := sum(command[0] == "EVAL" for command in lost):
            logger.warning("Replayed %d invalidations that Redis had missed", count)


def _for_this_server(command: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """Return a command that may have been made for another Redis, for the one of now.

    What that one keeps has another prefix, and other processes may have stored it already. An
    invalidation finds what to remove by its prefix; of keys by name nobody knows there: None.
    """
    prefix = cacheops_prefix()
    if command[0] == "EVAL":
        return (*command[:3], prefix, *command[4:])
    if command[0] == "UNLINK" and not command[1].startswith(prefix):
        return None
    return command


def _ran(client: redis.Redis, commands: Iterable[Any]) -> bool:
    """Run commands; tell whether Redis took them all, rather than refuse some for good."""
    pipeline = client.pipeline(transaction=False)
    for command in commands:
        pipeline.execute_command(*command)
    answers = pipeline.execute(raise_on_error=False)
    for answer in answers:
        if isinstance(answer, redis.exceptions.ReadOnlyError | redis.ConnectionError):
            raise answer
    return not any(isinstance(answer, Exception) for answer in answers)


def drop_everything(client: redis.Redis) -> None:
    """Drop what cacheops keeps.

    Not the names of the conditions that results depend on (`schemes:`): a result that is written
    meanwhile would be left without what invalidates it.

    Raises:
        redis.RedisError: Redis does not answer or refuses.
    """
    delete_by_prefix(client, namespace(), keep=b":schemes:")


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
        """Return a value, or None also without Redis: `@cached` handles no failure of this."""
        try:
            return super().get(name)
        except redis.RedisError:
            return None

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

    def brpoplpush(self, src: Any, dst: Any, timeout: float | None = 0) -> Any:
        """Wait for the holder of a lock, by polling: a blocking command outlasts any timeout.

        Raises:
            redis.TimeoutError: it takes too long; whoever waits then computes without the lock.
        """
        key = str(src).removesuffix(":signal")
        deadline = time.monotonic() + LOCK_WAIT_SECONDS
        while super().get(key) == b"LOCK":
            if time.monotonic() > deadline:
                raise redis.TimeoutError(f"{key} is locked")
            time.sleep(LOCK_POLL_SECONDS)

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
