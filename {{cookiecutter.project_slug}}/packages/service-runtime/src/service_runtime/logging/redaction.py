"""Decide by its name whether a value is a secret, and mark text that has none."""

import re
from collections.abc import Iterable
from functools import lru_cache

REDACTED = "[redacted]"
# Parts of the names of secrets, in lower case without separators. LOG_REDACT adds to them.
SECRET_PARTS = (
    *("password", "passwd", "passphrase", "pwd", "secret", "credential", "token", "csrf"),
    *("authorization", "cookie", "sessionid", "sessionkey", "signature"),
    *("apikey", "accesskey", "privatekey", "signingkey", "jwt"),
)
SECRET_NAMES = frozenset({"auth", "session"})  # harmless as a part of a name
secret_parts: list[str] = list(SECRET_PARTS)
_SEPARATORS = re.compile(r"[\W_]+")


class Masked(str):
    """Text that is free of secrets and is logged as it is."""

    __slots__ = ()

    def __str__(self) -> str:
        """Return itself, so that a record's message and an exception's text stay masked."""
        return self


def redact(names: Iterable[str]) -> None:
    """Redact also the values whose names contain one of these, in this process."""
    secret_parts[:] = [*SECRET_PARTS, *map(squeezed, names)]
    is_secret.cache_clear()


def squeezed(name: str) -> str:
    """Return a name in lower case without separators."""
    return _SEPARATORS.sub("", name.lower())


@lru_cache(maxsize=2048)
def is_secret(name: str) -> bool:
    """Return whether the values of this name are redacted."""
    part = squeezed(name).replace("tokeniz", "")
    return part in SECRET_NAMES or any(secret in part for secret in secret_parts)
