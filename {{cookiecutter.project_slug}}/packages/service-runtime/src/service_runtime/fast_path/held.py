"""Verified responses in this process, whose bodies need not be read and verified again."""

import threading
from typing import Any, NamedTuple

from ..caching.payloads import Stored
from ..caching.slots import START
from ..redis import Command

MAX_BYTES = 8 * 1024 * 1024  # of all responses
MAX_BODY_BYTES = MAX_BYTES // 16
OVERHEAD = 1024  # bytes of a response without its body, roughly


class Held(NamedTuple):
    """A response that was current. It still is if Redis has the same start and stamps.

    Attributes:
        start: the start of the stored result, which contains its signature.
        stamps: its stamps.
        stored: its parts.
    """

    start: bytes
    stamps: list[bytes]
    stored: Stored

    @staticmethod
    def commands(keys: list[str]) -> list[Command]:
        """Return the commands whose replies `is_current` needs."""
        key, *stamps = keys
        return [("GETRANGE", key, 0, START - 1), ("MGET", *stamps)]

    def is_current(self, replies: list[Any]) -> bool:
        """Return whether the response is still stored and current."""
        return replies == [self.start, self.stamps]


class HeldResponses:
    """Held responses by their keys. If they exceed MAX_BYTES, all are dropped."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._responses: dict[str, Held] = {}
        self._bytes = 0

    def get(self, key: str) -> Held | None:
        """Return the response with a key."""
        return self._responses.get(key)

    def add(self, key: str, values: list[bytes], stored: Stored) -> None:
        """Hold a response that was just verified.

        Args:
            key: its key.
            values: the stored result and its stamps.
            stored: its parts.
        """
        if len(stored.body) > MAX_BODY_BYTES:
            return
        size = _size_of(stored)
        with self._lock:
            before = self._responses.pop(key, None)
            self._bytes -= _size_of(before.stored) if before else 0
            if self._bytes + size > MAX_BYTES:
                self._responses.clear()
                self._bytes = 0
            self._bytes += size
            self._responses[key] = Held(values[0][:START], values[1:], stored)


def _size_of(stored: Stored) -> int:
    return len(stored.body) + len(stored.head) + OVERHEAD


held = HeldResponses()
