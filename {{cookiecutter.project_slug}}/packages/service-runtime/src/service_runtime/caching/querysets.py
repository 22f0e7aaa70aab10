"""cacheops' own results, querysets and `cached_as`, stored and read as cached responses are.

cacheops stores what it has read from the database however long ago that was, so a row that is read
just before a change and stored just after it stays stale for its timeout. Here both go through
`Slot`, which stores nothing that a change may have overtaken, and which signs what it stores.
"""

import logging
import pickle
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import redis
from cacheops import query
from cacheops.utils import md5hex, stamp_fields
from django.core.exceptions import EmptyResultSet
from django.db.models import Aggregate, F
from django.db.models.expressions import Star

from .dependencies import UNTRACKED, Conditions, missing_entry
from .store import Slot, is_bypassed

logger = logging.getLogger(__name__)
_local = threading.local()


class Serializer:
    """cacheops' serializer, which leaves the work to those who know the key: it is signed too."""

    @staticmethod
    def dumps(value: Any) -> tuple[Any]:
        """Return a value as `cache_thing` and the client's `set` take it."""
        return (value,)

    @staticmethod
    def loads(loaded: tuple[Any]) -> Any:
        """Return the value of what `getting` and the client's `get` return."""
        return loaded[0]


@contextmanager
def getting(
    key: str, conditions: Conditions, prefix: str, lock: bool = False
) -> Iterator[tuple[Any] | None]:
    """Yield a stored result in a tuple, or None for one to compute and to give to `cache_thing`.

    It takes the place of `cacheops.getset.getting`.
    """
    if untracked := conditions.get(UNTRACKED):
        _report_untracked(tuple(found["table"] for found in untracked))
        yield None
        return
    slot = Slot(prefix, key, conditions)
    try:
        loaded = _load(slot, slot.read())
        if loaded is None and lock:
            loaded = _load(slot, slot.claim())
        if loaded is None:
            slot.prepare()
    except redis.RedisError:
        slot.release()
        yield None
        return
    if loaded is not None:
        slot.release()
        yield loaded
        return
    slots = _local.__dict__.setdefault("slots", {})
    outer, slots[key] = slots.get(key), slot
    try:
        yield None
    finally:
        slots[key] = outer
        if outer is None:
            del slots[key]
        slot.release()


def _load(slot: Slot, value: bytes | None) -> tuple[Any] | None:
    if value is None:
        return None
    try:
        return (pickle.loads(value),)  # noqa: S301 - the slot has verified its signature
    except Exception:  # of another release, say, whose classes differ
        slot.discard()
        return None


def cache_thing(
    prefix: str,
    cache_key: str,
    data: Any,
    cond_dnfs: Conditions,
    timeout: int,
    dbs: Any = (),
    precall_key: str = "",
    expected_checksum: str = "",
) -> str:
    """Store a result that was computed within `getting`, unless it may be stale.

    It takes the place of `cacheops.getset.cache_thing`. What nobody has looked for before computing
    it (`cache_on_save`) is not stored: whether it is still true is unknown.
    """
    slot = _local.__dict__.get("slots", {}).get(cache_key)
    if slot is None or is_bypassed(dbs):
        return ""
    if expected_checksum:  # cached_as(keep_fresh=True) asks for the stamps, which the slot has read
        return ""
    slot.write(pickle.dumps(data, pickle.HIGHEST_PROTOCOL), timeout)
    return ""


def cache_key(queryset: Any, prefix: bool = True) -> str:
    """Return the key of a queryset's result.

    It takes the place of cacheops' `QuerySetMixin._cache_key`, which writes the parameters into the
    SQL as they are, where `IN ("a, b")` is `IN ("a", "b")`.
    """
    try:
        sql = queryset.query.get_compiler(queryset.db).as_sql()
    except EmptyResultSet:
        sql = None
    classes = (type(queryset), queryset.model, queryset._iterable_class)
    profile = queryset._cacheprofile
    database = queryset.db if profile and not profile["db_agnostic"] else None
    name = f"q:{md5hex(repr((classes, stamp_fields(queryset.model), sql, database)))}"
    return queryset._prefix + name if prefix else name


def should_cache(queryset: Any, operation: str) -> bool:
    """Return whether to look for a queryset's result, and to store it.

    It adds to cacheops' `QuerySetMixin._should_cache`: what a related manager finds has the
    manager's instance in it, of whose changes the result would know nothing.
    """
    return not queryset._known_related_objects and _cacheops_should_cache(queryset, operation)


def aggregate(queryset: Any, *args: Any, **kwargs: Any) -> Any:
    """Return aggregates of a queryset.

    It goes past cacheops' `QuerySetMixin.aggregate` for aggregates of more than names: it neither
    looks for tables in them, nor tells those apart that print alike.
    """
    is_plain = all(map(_is_plain_aggregate, [*args, *kwargs.values()]))
    rows = queryset if is_plain else queryset._chain().nocache()
    return _cacheops_aggregate(rows, *args, **kwargs)


def _is_plain_aggregate(found: Any) -> bool:
    return (
        isinstance(found, Aggregate)
        and "output_field" not in vars(found)
        and all(isinstance(source, F | Star | None) for source in found.get_source_expressions())
    )


_cacheops_should_cache: Any = query.QuerySetMixin._should_cache
_cacheops_aggregate: Any = query.QuerySetMixin.aggregate


@cache
def _report_untracked(tables: tuple[str, ...]) -> None:
    """Log, once in each process, why some results are not stored."""
    for table in tables:
        logger.warning("Some results are not cached. %s", missing_entry(table))
