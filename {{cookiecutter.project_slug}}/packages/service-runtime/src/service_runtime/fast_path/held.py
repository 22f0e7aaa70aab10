"""Verified results in this process, which need not be read and verified again."""

import threading
from typing import Any, NamedTuple

from ..caching.slots import START
from ..redis import Command

MAX_BYTES = 8 * 1024 * 1024  # of all results
MAX_RESULT_BYTES = MAX_BYTES // 16
OVERHEAD = 1024  # bytes of a result without its content, roughly


class Held(NamedTuple):
    """A result that was current. It still is if Redis has the same start and stamps.

    Attributes:
        start: the start of what Redis stores, which contains the signature.
        stamps: the stamps.
        value: the result.
    """

    start: bytes
    stamps: list[bytes]
    value: bytes

    @staticmethod
    def commands(keys: list[str]) -> list[Command]:
        """Return the commands whose replies `is_current` needs."""
        key, *stamps = keys
        return [("GETRANGE", key, 0, START - 1), ("MGET", *stamps)]

    def is_current(self, replies: list[Any]) -> bool:
        """Return whether the result is still stored and current."""
        return replies == [self.start, self.stamps]


class HeldResults:
    """Held results by their keys. If they exceed MAX_BYTES, all are dropped."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._results: dict[str, Held] = {}
        self._bytes = 0

    def get(self, key: str) -> Held | None:
        """Return the result with a key."""
        return self._results.get(key)

    def add(self, key: str, values: list[bytes], value: bytes) -> None:
        """Hold a result that was just verified.

        Args:
            key: its key.
            values: what Redis stores: the signed result, and its stamps.
            value: the result.
        """
        size = len(value) + OVERHEAD
        if size > MAX_RESULT_BYTES:
            return
        with self._lock:
            before = self._results.pop(key, None)
            self._bytes -= len(before.value) + OVERHEAD if before else 0
            if self._bytes + size > MAX_BYTES:
                self._results.clear()
                self._bytes = 0
            self._bytes += size
            self._results[key] = Held(values[0][:START], values[1:], value)


held = HeldResults()
