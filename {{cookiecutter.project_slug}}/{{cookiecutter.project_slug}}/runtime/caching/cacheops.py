"""The Redis client of cacheops: an outage makes it miss, and never makes it serve what is stale."""

import logging
import threading
import time
from functools import partial
from typing import Any, cast

import cacheops.redis
import redis
from redis.exceptions import NoScriptError

from ..redis import (
    CircuitBreaker,
    circuit_breaker,
    client,
    connection_options,
    delete_by_prefix,
)
from .keys import namespace

logger = logging.getLogger(__name__)
MAX_LOST = 10_000
# Instead of the run id of a server that does not tell it.
UNKNOWN = b"unknown"
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
        """Run what was lost; drop everything if that was too much, or if Redis is another one.

        A Redis that does not say who it is may be another one after each outage.

        Raises:
            redis.RedisError: Redis does not take it; nothing is forgotten.
        """
        with self._replaying:  # threads that connect at once would drop what the first has cached
            with self._lock:
                lost, self._commands = self._commands, {}
                overflown, self._overflown = self._overflown, False
            try:
                present = _run_id(client)
                marked: Any = client.get(namespace() + "server")
                is_other = marked != present or (after_outage and present == UNKNOWN)
                if overflown or is_other:
                    delete_by_prefix(client, namespace())
                    client.set(namespace() + "server", present)
                elif lost:
                    pipeline = client.pipeline(transaction=False)
                    for command in lost:
                        pipeline.execute_command(*command)
                    pipeline.execute()
            except redis.RedisError:
                with self._lock:
                    self._commands = {**lost, **self._commands}
                    self._overflown = self._overflown or overflown
                raise
        if lost:
            logger.warning("Replayed %d invalidations that Redis had missed", len(lost))


def _run_id(client: redis.Redis) -> bytes:
    """Return what changes when Redis is restarted or replaced, and may hold what is stale."""
    try:
        information: Any = client.info("server")
    except redis.exceptions.NoPermissionError:
        return UNKNOWN
    return str(information.get("run_id", UNKNOWN.decode())).encode()


class CacheopsClient(redis.Redis):
    """What cacheops talks to Redis with. Every failure of Redis is one that cacheops degrades on.

    Needs Redis 7 or newer, or Valkey.
    """

    breaker: CircuitBreaker
    lost: LostInvalidations
    scripts: dict[str, str]

    @classmethod
    def from_url(cls, url: str, **kwargs: Any) -> redis.Redis:
        """Return a client of the URL, which replays what was lost before it reads again."""
        lost, breaker = LostInvalidations(), circuit_breaker(url)
        plain = client(url)

        def on_connect(connection: Any) -> None:
            # What Redis holds may be from before it was restarted, which no call need have noticed.
            connection.on_connect()
            try:
                lost.replay(plain)
            except redis.ResponseError as error:
                raise redis.ConnectionError(str(error)) from error

        self: Any = super().from_url(
            url, redis_connect_func=on_connect, **connection_options(url), **kwargs
        )
        breaker.guard(self.connection_pool)
        self.breaker, self.lost, self.scripts = breaker, lost, {}
        breaker.on_recovery.append(partial(lost.replay, after_outage=True))
        return cast("redis.Redis", self)

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """Run a command; a refusal (OOM, READONLY, WRONGTYPE, NOPERM) is as good as no answer."""
        try:
            return super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
        except NoScriptError:
            raise
        except redis.ResponseError as error:
            raise redis.ConnectionError(str(error)) from error

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
        script = self.scripts[sha]
        try:
            try:
                return super().evalsha(sha, numkeys, *arguments)
            except NoScriptError:
                return self.eval(script, numkeys, *arguments)
        except redis.RedisError as error:
            if sha == cacheops.redis.load_script("invalidate_insideout").sha:
                self.lost.add(("EVAL", script, numkeys, *arguments))
                self._ask_again(error)
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
            self._ask_again(error)
            raise

    def flushdb(self, *args: Any, **kwargs: Any) -> Any:
        """Drop cacheops' keys only: other caches and the throttles may share the database."""
        try:
            delete_by_prefix(self, namespace())
        except redis.RedisError as error:
            self.lost.add_everything()
            self._ask_again(error)
            raise

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

    def _ask_again(self, error: Exception) -> None:
        # The circuit closes with a replay. While it is open, one is coming.
        if not self.breaker.is_open:
            self.breaker.trip(error)
