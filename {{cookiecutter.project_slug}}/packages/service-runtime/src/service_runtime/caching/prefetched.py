"""Results that were read together with another command."""

from typing import Any, NamedTuple, Protocol

from ..redis import Appended


class Known(Protocol):
    """A verified result of this process."""

    @property
    def value(self) -> bytes:
        """The result."""
        ...

    def is_current(self, replies: list[Any]) -> bool:
        """Return whether it is, by the replies to the commands that were sent."""
        ...


class Prefetched(NamedTuple):
    """What was read together with another command, as `request.prefetched`.

    Attributes:
        keys: the keys that were read.
        appended: the commands.
        known: a result of this process that the replies confirm or not. Without one, the command
            was an MGET.
    """

    keys: list[str]
    appended: Appended
    known: Known | None

    def value(self) -> bytes | None:
        """Return the known result, if it is current."""
        replies, known = self.appended.replies, self.known
        return known.value if known and replies and known.is_current(replies) else None

    def values(self) -> list[bytes | None] | None:
        """Return the values of the keys, if these were read."""
        values = self.appended.replies[0] if self.appended.replies and not self.known else None
        return values if isinstance(values, list) else None
