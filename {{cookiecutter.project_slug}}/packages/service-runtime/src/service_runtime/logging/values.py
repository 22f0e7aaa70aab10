"""Makes of anything that is logged what JSON can express, within bounds and without secrets."""

import dataclasses
import inspect
import math
from collections import deque
from collections.abc import Mapping, MappingView
from datetime import date, datetime, time, timedelta
from enum import Enum
from functools import lru_cache
from itertools import islice
from types import MemberDescriptorType
from typing import Any

from django.db.models import Manager, Model, QuerySet
from django.http import HttpRequest
from django.utils.functional import LazyObject, Promise, empty

from .redaction import REDACTED, Masked, is_secret, redacted

MAX_DEPTH, MAX_ITEMS, MAX_TEXT = 8, 100, 8192
MAX_VALUES = 2000  # in all of a structure, whose parts may hold each other
_QUERYING = (QuerySet, LazyObject)


def text(value: object, limit: int = MAX_TEXT, *, code: bool = False) -> str:
    """Return a value as text: no longer than the limit, without the secrets that it names.

    Args:
        value: anything.
        limit: how many characters are left of it.
        code: it is source code, in which only literals are secrets.
    """
    if type(value) is not str:
        try:
            value = str(value)
        except Exception as error:  # the value's own code
            value = f"<{type(value).__name__} that cannot be shown: {type(error).__name__}>"
    size = len(value)
    if size > 4 * limit:  # the middle is not shown, so it is not searched
        value = f"{value[: 2 * limit]}\n{value[-2 * limit :]}"
    if (  # what a secret cannot be without, as fast as can be: most texts have nothing of it
        "=" in value
        or ":" in value
        or "'" in value
        or '"' in value
        or (
            size > 10
            and (
                "earer " in value
                or "oken " in value
                or "asic " in value
                or "eyJ" in value
                or "$" in value
                or "--" in value
            )
        )
    ) and type(value) is not Masked:
        value = redacted(value, code=code)
    return value if len(value) <= limit else shortened(value, limit, size)


def shortened(value: str, limit: int, size: int = 0) -> str:
    """Return the beginning and the end of a text, and how much is left out between them.

    Args:
        value: the text.
        limit: how long the result may be.
        size: how long the text was, if it is shorter already.
    """
    kept = max(0, limit - 40)
    start, end = kept * 2 // 3, kept // 3
    lost = max(size, len(value)) - start - end
    return f"{value[:start]}...[{lost} characters]...{value[len(value) - end :]}"


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
        is_count = kind is int and name.lower().endswith("tokens")
        return value if is_count else REDACTED
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
            is_usual = type(key) is str and len(key) < 200 and key.isidentifier()
            name = key if is_usual else _name(key)
            found[name] = plain(value[key], name, depth + 1, room)
        if "value" in found and is_secret(str(found.get("name") or found.get("key"))[:100]):
            found["value"] = REDACTED  # {"name": "DB_PASSWORD", "value": "..."}
        if more:
            found["..."] = f"{more} more"
        return found
    if type(value) is tuple and _is_pair(value):
        return _pair(value, depth, room)
    items = []
    for item in first:
        kind = type(item)
        if kind is int and -(2**63) <= item < 2**64:  # what lists have most
            items.append(item)
        elif kind is list and _is_pair(item):
            items.append(_pair(item, depth + 1, room))
        else:
            items.append(plain(item, "", depth + 1, room))
    if more:
        items.append(f"{more} more")
    return items


def _name(key: Any) -> str:
    return text(key.decode("utf-8", "replace") if type(key) is bytes else key, 200)


def _is_pair(value: Any) -> bool:
    """Return whether it may be a name with its value, such as a header."""
    return len(value) == 2 and type(value[0]) in (str, bytes)


def _pair(value: Any, depth: int, room: list[int] | None) -> list[Any]:
    name = _name(value[0])
    return [name, plain(value[1], name, depth + 1, room)]


@lru_cache(maxsize=1024)
def _fields_of(kind: Any) -> tuple[str, ...]:
    """Return the fields of a named tuple, or those that a dataclass or attrs class shows.

    None if its author has written what it is shown as, which may well hide something.
    """
    if issubclass(kind, tuple):
        return tuple(getattr(kind, "_fields", ()))
    code = getattr(inspect.unwrap(kind.__repr__), "__code__", None)
    is_generated = code is not None and code.co_filename.startswith("<")
    if not is_generated or kind.__str__ is not object.__str__:
        return ()
    if dataclasses.is_dataclass(kind):
        return tuple(field.name for field in dataclasses.fields(kind) if field.repr)
    fields = getattr(kind, "__attrs_attrs__", ())
    has_own = any(callable(field.repr) for field in fields)
    return () if has_own else tuple(field.name for field in fields if field.repr)


def _stored(value: Any, name: str) -> Any:
    """Return what a field holds, without a call of its class' code."""
    found = inspect.getattr_static(value, name, None)
    return found.__get__(value) if isinstance(found, MemberDescriptorType) else found


def _single(value: Any, depth: int, room: list[int] | None) -> Any:
    kind: Any = type(value)
    if fields := _fields_of(kind):
        if isinstance(value, tuple):
            named = dict(zip(fields, value, strict=False))
        else:
            named = {name: _stored(value, name) for name in fields}
        return _structure(named, depth, room)
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
        return text(f"{value.method} {value.path}")
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
