"""Values of variables without their secrets."""

from typing import Any
from urllib.parse import ParseResult, parse_qsl, urlsplit

from ..logging.redaction import REDACTED
from ..logging.values import plain
from .variable import Variable


def masked(variable: Variable, value: Any) -> Any:
    """Return a value without secrets, of the types that JSON has."""
    if isinstance(value, ParseResult):
        value = value.geturl()
    if variable.secret:
        return REDACTED if value else ""
    if isinstance(value, str) and "://" in value:
        return masked_url(value)
    return plain(value)


def masked_url(url: str) -> str:
    """Return a URL without its password, and without secrets in its query.

    A special character that is not percent-encoded ends the host early, so the rest can be a part
    of the password. Then nothing is shown.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        return REDACTED
    user, at, hosts = parts.netloc.rpartition("@")
    if not parts.scheme or parts.fragment or "@" in parts.path + parts.query:
        return REDACTED
    name, _, password = user.partition(":")
    # Without a password, the name can be a token.
    user = f"{name}:{REDACTED}" if password else REDACTED
    query = "&".join(
        f"{option}={plain(value, option)}"
        for option, value in parse_qsl(parts.query, keep_blank_values=True)
    )
    shown = f"{parts.scheme}://{user + at if at else ''}{hosts}{parts.path}"
    return f"{shown}?{query}" if query else shown
