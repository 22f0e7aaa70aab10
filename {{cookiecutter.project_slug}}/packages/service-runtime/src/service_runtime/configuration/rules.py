"""Rules for values, and parsers of the items of lists."""

import ipaddress
import re
from urllib.parse import urlsplit

from environs import validate

from ..logging.names import FIELD_NAMES

port = validate.Range(1, 65535)
positive = validate.Range(min=1)
not_negative = validate.Range(min=0)
above_zero = validate.Range(min=0, min_inclusive=False)
log_level = validate.OneOf(
    ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"], error="Must be one of: {choices}."
)
key_prefix = validate.Regexp(r"[\w.:-]+\Z", error="Must be of letters, digits and . : _ -")


def parse_host(text: str) -> str:
    """Return a host name as ALLOWED_HOSTS takes it, such as `api.example.com` or `.example.com`.

    Raises:
        ValueError: the text and the rule.
    """
    if not re.fullmatch(r"\*|\.?[\w-]+(\.[\w-]+)*|\[[0-9a-fA-F:.]+\]", text):
        raise ValueError(f"{text!r} is not a host name such as api.example.com.")
    return text


def parse_origin(text: str) -> str:
    """Return an origin, such as `https://api.example.com`.

    Raises:
        ValueError: the text and the rule.
    """
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.netloc or parts.path or parts.query:
        raise ValueError(f"{text!r} is not an origin such as https://api.example.com.")
    return text


def parse_field_names(text: str) -> dict[str, str]:
    """Return names of log fields: those of a log service, or a pair such as `uid=user.id`.

    Raises:
        ValueError: the text and the rule.
    """
    if text in FIELD_NAMES:
        return FIELD_NAMES[text]
    field, separator, name = text.partition("=")
    if not (separator and field.strip() and name.strip()):
        raise ValueError(
            f"{text!r} is neither one of {', '.join(FIELD_NAMES)} nor a pair such as uid=user.id."
        )
    return {field.strip(): name.strip()}


def parse_network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """Parse a network such as `10.0.0.0/8`, or a single address.

    Raises:
        ValueError: the text and the rule.
    """
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a network such as 10.0.0.0/8.") from None
