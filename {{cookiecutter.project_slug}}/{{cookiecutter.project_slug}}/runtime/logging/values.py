"""Makes of anything that is logged what JSON can express, within bounds and without secrets."""

import math
import re
from collections import deque
from collections.abc import Iterable, Mapping, MappingView
from datetime import date, datetime, time, timedelta
from enum import Enum
from functools import lru_cache
from itertools import islice
from typing import Any

from django.db.models import Manager, Model, QuerySet
from django.http import HttpRequest
from django.utils.functional import LazyObject, Promise, empty

MAX_DEPTH, MAX_ITEMS, MAX_TEXT = 8, 100, 8192
MAX_VALUES = 2000  # in all of a structure, whose parts may hold each other
REDACTED = "[redacted]"
# Parts of names, without what stands between their words; settings.LOG_REDACT adds to them.
SECRETS = (
    *("password", "passwd", "passphrase", "pwd", "secret", "credential", "token", "csrf"),
    *("authorization", "cookie", "sessionid", "sessionkey", "signature"),
    *("apikey", "accesskey", "privatekey", "signingkey", "jwt"),
)
_SECRET_NAMES = frozenset({"auth", "session"})  # which are harmless as a part of a name
# A URL's password up to its last @, for it may hold what a URL should not; then a user alone.
_PASSWORD = re.compile(r"(\w://[^/@\s:]*:)(?!\d+/)(?:(?!://)\S)+@")
_USER = re.compile(r"(\w://)[^/@\s:]+@")
_PARAMETERS = re.compile(r"(^|[?&;#\s,(])([\w.~%\[\]-]+)=[^&#;\s'\"]+")
_QUERYING = (QuerySet, LazyObject)
_SEPARATORS = re.compile(r"[\W_]+")
_secrets: list[str] = list(SECRETS)


def redact(names: Iterable[str]) -> None:
    """Redact the values of names that contain one of these too, in this process."""
    _secrets[:] = [*SECRETS, *(_squeezed(name) for name in names)]
    is_secret.cache_clear()


def _squeezed(name: str) -> str:
    return _SEPARATORS.sub("", name.lower())


@lru_cache(maxsize=2048)
def is_secret(name: str) -> bool:
    """Tell whether the values of this name are kept out of the log."""
    squeezed = _squeezed(name)
    return squeezed in _SECRET_NAMES or any(secret in squeezed for secret in _secrets)


def text(value: object, limit: int = MAX_TEXT) -> str:
    """Return a value as text: no longer than the limit, without the passwords of URLs."""
    if type(value) is not str:
        try:
            value = str(value)
        except Exception as error:  # the value's own code
            value = f"<{type(value).__name__} that cannot be shown: {type(error).__name__}>"
    if "://" in value:
        value = _USER.sub(rf"\1{REDACTED}@", _PASSWORD.sub(rf"\1{REDACTED}@", value))
    if "=" in value:
        value = _PARAMETERS.sub(_without_secret, value)
    return value if len(value) <= limit else shortened(value, limit)


def _without_secret(parameter: re.Match[str]) -> str:
    mark, name = parameter.groups()
    return f"{mark}{name}={REDACTED}" if is_secret(name) else parameter[0]


def shortened(value: str, limit: int) -> str:
    """Return the beginning and the end of a text, and how much is left out between them."""
    kept = max(0, limit - 40)
    start, end = kept * 2 // 3, len(value) - kept // 3
    return f"{value[:start]}...[{end - start} characters]...{value[end:]}"


def plain(value: Any, name: str = "", depth: int = 0, room: list[int] | None = None) -> Any:
    """Return what JSON can express for a value; never raise, run a query or use up an iterator.

    Args:
        value: anything.
        name: what it is called, which decides whether it is a secret.
        depth: how deep it lies in what is logged.
        room: holds how many more values may be shown there.
    """
    kind = type(value)
    if name and is_secret(name) and value is not None and kind is not bool:
        return REDACTED
    if kind is str:
        return text(value)
    if value is None or kind is bool:
        return value
    if kind is int:
        return value if -(2**63) <= value < 2**64 else _big(value)
    if kind is float:
        return value if math.isfinite(value) else str(value)
    if issubclass(kind, LazyObject):  # of which isinstance() would ask what it stands for
        wrapped = value.__dict__.get("_wrapped")
        return "<not loaded>" if wrapped is empty else plain(wrapped, name, depth, room)
    try:
        if kind is dict or kind is list:  # the usual, before all that has to be asked about
            return _structure(value, depth, room)
        return _single(value, depth, room)
    except RecursionError:
        return f"<{kind.__name__} that is too deep>"
    except Exception as error:  # the value's own code: an iterator, a property, a mapping
        return f"<{kind.__name__} that cannot be shown: {type(error).__name__}>"


def _structure(value: Any, depth: int, room: list[int] | None) -> Any:
    if depth >= MAX_DEPTH:
        return f"<{type(value).__name__} that is too deep>"
    room = room or [MAX_VALUES]
    shown = size = len(value)
    if size > MAX_ITEMS or size > room[0]:
        shown = min(MAX_ITEMS, room[0])
    room[0] -= shown
    more = size - shown
    first = islice(value, shown) if more else value
    if isinstance(value, dict | Mapping):  # in this order: a dict is found at once
        found = {}
        for key in first:
            name = key if type(key) is str and len(key) < 200 else text(key, 200)
            found[name] = plain(value[key], name, depth + 1, room)
        if more:
            found["..."] = f"{more} more"
        return found
    items = []
    for item in first:
        kind = type(item)
        if kind is int and -(2**63) <= item < 2**64:  # what lists have most
            items.append(item)
        elif kind is tuple and len(item) == 2 and type(item[0]) is str:  # of headers, perhaps
            items.append([text(item[0]), plain(item[1], item[0], depth + 1, room)])
        else:
            items.append(plain(item, "", depth + 1, room))
    if more:
        items.append(f"{more} more")
    return items


def _single(value: Any, depth: int, room: list[int] | None) -> Any:
    if isinstance(value, Mapping | MappingView | list | tuple | set | frozenset | deque):
        return _structure(value, depth, room)
    if isinstance(value, Enum):
        return plain(value.value, depth=depth + 1)
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Model):
        return f"{value._meta.label}(pk={text(value.__dict__.get(value._meta.pk.attname))})"
    if isinstance(value, QuerySet | Manager):
        return f"{type(value).__name__}({value.model._meta.label if value.model else ''})"
    if isinstance(value, HttpRequest):
        return f"{value.method} {value.path}"
    if isinstance(value, bytes | bytearray | memoryview):
        return text(bytes(value[: MAX_TEXT * 2]).decode("utf-8", "backslashreplace"))
    if isinstance(value, BaseException):
        return f"{type(value).__qualname__}: {text(value)}"
    if isinstance(value, str | Promise):
        return text(str(value))
    if isinstance(value, int):
        return plain(int(value), depth=depth)
    if isinstance(value, float):
        return plain(float(value), depth=depth)
    return text(value)


def inert(arguments: Any) -> Any:
    """Return a record's arguments without those of which the text would be a query."""
    if type(arguments) is tuple:
        for one in arguments:
            if type(one) is not str and issubclass(type(one), _QUERYING):
                return tuple(
                    plain(each) if issubclass(type(each), _QUERYING) else each for each in arguments
                )
    return arguments


def _big(value: int) -> str:
    try:
        return text(str(value))
    except ValueError:  # Python refuses to convert thousands of digits
        return f"<a number of {value.bit_length()} bits>"
