"""Convert any value to what JSON can express, within bounds and without secrets."""

import dataclasses
import inspect
import math
from collections import deque
from collections.abc import Callable, Mapping, MappingView
from datetime import date, time, timedelta
from enum import Enum
from functools import lru_cache
from itertools import islice
from types import MemberDescriptorType
from typing import Any

from django.db.models import Manager, Model, QuerySet
from django.http import HttpRequest
from django.utils.functional import LazyObject, empty

from .redaction import REDACTED, Masked, is_secret
from .scanner import redacted

MAX_DEPTH, MAX_ITEMS, MAX_TEXT = 8, 100, 8192
MAX_VALUES = 2000  # of one structure, in which a part can occur many times
_INTEGERS = range(-(2**63), 2**64)  # which parsers of JSON take
_RUNS_QUERIES = (QuerySet, LazyObject)  # when converted to text


def text(value: object, limit: int = MAX_TEXT, *, code: bool = False) -> str:
    """Return a value as text without secrets.

    Args:
        value: anything.
        limit: the length of the result, in characters.
        code: the value is source code, in which only literals are secrets.
    """
    if type(value) is not str:
        try:
            value = str(value)
        except Exception as error:  # of the value's own code
            value = f"<{type(value).__name__} that cannot be shown: {type(error).__name__}>"
    size = len(value)
    if size > 4 * limit:  # the middle is not shown, so it is not searched
        value = f"{value[: 2 * limit]}\n{value[-2 * limit :]}"
    if _may_have_secret(value) and type(value) is not Masked:
        value = redacted(value, code=code)
    return value if len(value) <= limit else shortened(value, limit, size)


def _may_have_secret(value: str) -> bool:
    """Return whether a text needs a search. Most do not, and this is twice as fast as a pattern."""
    if "=" in value or ":" in value or "'" in value or '"' in value:
        return True
    return len(value) > 10 and (
        ("earer " in value or "oken " in value or "asic " in value)
        or ("eyJ" in value or "$" in value or "--" in value)
    )


def shortened(value: str, limit: int, size: int = 0) -> str:
    """Return the start and the end of a text, and the number of characters left out.

    Args:
        value: the text.
        limit: the length of the result, in characters.
        size: the length of the original text, if `value` is a part of it.
    """
    shown = max(0, limit - 40)
    start, end = shown * 2 // 3, shown // 3
    omitted = max(size, len(value)) - start - end
    return f"{value[:start]}...[{omitted} characters]...{value[len(value) - end :]}"


def plain(value: Any, name: str = "", depth: int = 0, budget: list[int] | None = None) -> Any:
    """Return what JSON can express for a value; never raise, run a query or consume an iterator.

    Args:
        value: anything.
        name: the value's name, which decides whether it is a secret.
        depth: the value's depth in the logged structure.
        budget: one item, the number of values that the structure can still show.
    """
    kind = type(value)
    if name and is_secret(name) and value is not None and kind is not bool:
        is_count = kind is int and name.lower().endswith("tokens")
        return value if is_count else REDACTED
    if kind is str:
        return text(value)
    if value is None or kind is bool or (kind is int and value in _INTEGERS):
        return value
    if kind is float:
        return value if math.isfinite(value) else str(value)
    budget = budget or [MAX_VALUES]
    try:
        if kind is dict:  # dicts and lists are most values, and need no checks of their class
            return _mapping(value, depth, budget)
        if kind is list:
            return _sequence(value, depth, budget)
        return _converted(value, name, depth, budget)
    except RecursionError:
        return f"<{kind.__name__} that is too deep>"
    except Exception as error:  # of the value's own code: an iterator, a property, a mapping
        return f"<{kind.__name__} that cannot be shown: {type(error).__name__}>"


def _converted(value: Any, name: str, depth: int, budget: list[int]) -> Any:
    kind: Any = type(value)
    if issubclass(kind, LazyObject):  # isinstance() would load what it wraps
        wrapped = vars(value).get("_wrapped")
        return "<not loaded>" if wrapped is empty else plain(wrapped, name, depth, budget)
    if fields := _fields_of(kind):
        if issubclass(kind, tuple):
            return _mapping(dict(zip(fields, value, strict=False)), depth, budget)
        return _mapping({field: _stored(value, field) for field in fields}, depth, budget)
    if isinstance(value, Mapping):
        return _mapping(value, depth, budget)
    if isinstance(value, _SEQUENCES):
        return _sequence(value, depth, budget)
    for types, convert in _CONVERSIONS:
        if isinstance(value, types):
            return plain(convert(value), depth=depth)
    return text(value)


def _first(value: Any, budget: list[int]) -> tuple[Any, int]:
    """Return the items of a collection that are shown, and the number of the others."""
    size = len(value)
    if size <= MAX_ITEMS and size <= budget[0]:
        budget[0] -= size
        return value, 0
    shown = min(MAX_ITEMS, budget[0])
    budget[0] -= shown
    return islice(value, shown), size - shown


def _mapping(value: Any, depth: int, budget: list[int]) -> dict[str, Any] | str:
    if depth >= MAX_DEPTH:
        return f"<{type(value).__name__} that is too deep>"
    found = {}
    keys, more = _first(value, budget)
    for key in keys:
        is_usual = type(key) is str and len(key) < 200 and key.isidentifier()
        name = key if is_usual else _name(key)
        found[name] = plain(value[key], name, depth + 1, budget)
    if "value" in found and is_secret(str(found.get("name") or found.get("key"))[:100]):
        found["value"] = REDACTED  # {"name": "DB_PASSWORD", "value": "..."}
    if more:
        found["..."] = f"{more} more"
    return found


def _sequence(value: Any, depth: int, budget: list[int]) -> list[Any] | str:
    if depth >= MAX_DEPTH:
        return f"<{type(value).__name__} that is too deep>"
    if type(value) is tuple and _is_pair(value):
        return _pair(value, depth, budget)
    items: list[Any] = []
    shown, more = _first(value, budget)
    for item in shown:
        kind = type(item)
        if kind is int and item in _INTEGERS:  # what long lists have most
            items.append(item)
        elif kind is list and _is_pair(item):
            items.append(_pair(item, depth + 1, budget))
        else:
            items.append(plain(item, "", depth + 1, budget))
    if more:
        items.append(f"{more} more")
    return items


def _name(key: Any) -> str:
    return text(key.decode("utf-8", "replace") if type(key) is bytes else key, 200)


def _is_pair(value: Any) -> bool:
    """Return whether it can be a name and its value, such as a header."""
    return len(value) == 2 and type(value[0]) in (str, bytes)


def _pair(value: Any, depth: int, budget: list[int]) -> list[Any]:
    name = _name(value[0])
    return [name, plain(value[1], name, depth + 1, budget)]


@lru_cache(maxsize=1024)
def _fields_of(kind: Any) -> tuple[str, ...]:
    """Return the fields of a named tuple, or those that a dataclass or attrs class shows.

    None if its author has written its text, which can hide something.
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
    """Return the value of a field without running code of its class."""
    found = inspect.getattr_static(value, name, None)
    return found.__get__(value) if isinstance(found, MemberDescriptorType) else found


_SEQUENCES = (list, tuple, set, frozenset, deque, MappingView)
# By type, the first that fits; everything else is shown as str() shows it.
_CONVERSIONS: tuple[tuple[Any, Callable[[Any], Any]], ...] = (
    (Enum, lambda value: value.value),
    (date | time, lambda value: value.isoformat()),  # a datetime is a date
    (timedelta, timedelta.total_seconds),
    (
        Model,
        lambda value: f"{value._meta.label}(pk={text(vars(value).get(value._meta.pk.attname))})",
    ),
    (
        QuerySet | Manager,
        lambda value: f"{type(value).__name__}({value.model._meta.label if value.model else ''})",
    ),
    (HttpRequest, lambda value: f"{value.method} {value.path}"),
    (
        bytes | bytearray | memoryview,
        lambda value: bytes(value[: MAX_TEXT * 2]).decode("utf-8", "backslashreplace"),
    ),
    (BaseException, lambda value: f"{type(value).__qualname__}: {text(value)}"),
    (int, lambda value: int(value) if value in _INTEGERS else text(value)),
    (float, float),
)


def inert(arguments: Any) -> Any:
    """Return a record's arguments without those that run a query when converted to text."""
    if type(arguments) is not tuple:
        return arguments
    return tuple([plain(one) if issubclass(type(one), _RUNS_QUERIES) else one for one in arguments])
