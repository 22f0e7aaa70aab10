"""Invalidations that Redis has missed."""

import logging
import threading
from collections.abc import Iterable
from typing import Any

import redis

from ..redis import delete_by_prefix
from .keys import UNKNOWN, Server, cacheops_prefix, namespace

logger = logging.getLogger(__name__)
MAX_LOST = 10_000


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
