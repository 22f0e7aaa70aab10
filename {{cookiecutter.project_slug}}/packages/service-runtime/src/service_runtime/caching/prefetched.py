"""Public results that are read together with the count of a request."""

from typing import Any, NamedTuple, Protocol

from django.db import connections
from django.http import HttpRequest
from django.utils import timezone, translation

from ..redis import Appended
from .slots import verify
from .store import is_bypassed, is_current_prefix, note_current

# A language and a time zone.
Locale = tuple[str | None, str]


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
    """What was read for a request, as `request.prefetched`.

    The URL and the headers of the request select it, so that its key need not be computed again.

    Attributes:
        owner: the policy whose result it is.
        locale: the locale whose result it is.
        prefix: cacheops' prefix, which starts the keys.
        keys: the keys of the result and its stamps.
        stale: that of get_or_compute.
        known: a result of this process that the replies confirm or not. Without one, the command
            was an MGET.
        appended: the commands.
    """

    owner: object
    locale: Locale
    prefix: str
    keys: list[str]
    stale: float
    known: Known | None
    appended: Appended

    def value(self) -> bytes | None:
        """Return the result, if it is current."""
        replies, known = self.appended.replies, self.known
        if not replies or isinstance(replies[0], Exception):
            return None
        if known:
            return known.value if known.is_current(replies) else None
        return verify(self.keys[0], replies[0])[0]


def prefetched_value(request: HttpRequest, owner: object) -> bytes | None:
    """Return the result of a policy that was read for a request, if there is one."""
    found: Prefetched | None = getattr(request, "prefetched", None)
    if (
        found is None
        or found.owner is not owner
        or found.locale != current_locale()
        or is_bypassed(connections)
        or not is_current_prefix(found.prefix)
    ):
        return None
    value = found.value()
    if value is not None and found.stale:
        note_current(found.keys[0])
    return value


def current_locale() -> Locale:
    """Return the active language and time zone."""
    return translation.get_language(), timezone.get_current_timezone_name()
