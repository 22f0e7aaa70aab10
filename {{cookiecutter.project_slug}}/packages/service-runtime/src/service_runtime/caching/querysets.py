"""cacheops' querysets and `cached_as`, stored and read like cached responses.

cacheops stores rows however long ago they were read. A row that is read just before a change and
stored just after it stays stale until its timeout. Here both go through `Slot`, which signs
results, and which does not store one that a change has overtaken.
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
from django.core.exceptions import EmptyResultSet, FieldError
from django.db.models import Aggregate, F
from django.db.models.constants import LOOKUP_SEP
from django.db.models.expressions import Star
from django.db.models.sql import Query

from .dependencies import UNTRACKED, Conditions, missing_entry
from .exact import exact
from .slots import Slot
from .store import is_bypassed

logger = logging.getLogger(__name__)
_local = threading.local()


class Serializer:
    """A serializer for cacheops that only wraps values: pickling and signing need the key."""

    @staticmethod
    def dumps(value: Any) -> tuple[Any]:
        """Return a value as `cache_thing` and the client's `set` take it."""
        return (value,)

    @staticmethod
    def loads(loaded: tuple[Any]) -> Any:
        """Return the value from `getting` or the client's `get`."""
        return loaded[0]


@contextmanager
def getting(
    key: str, conditions: Conditions, prefix: str, lock: bool
) -> Iterator[tuple[Any] | None]:
    """Yield a stored result in a tuple, or None if it is to be computed and given to `cache_thing`.

    Replaces `cacheops.getset.getting`.
    """
    if untracked := conditions.get(UNTRACKED):
        _report_untracked(tuple(found["table"] for found in untracked))
        yield None
        return
    slot = Slot(prefix, key, conditions)
    try:
        loaded = _find(slot, lock)
        if loaded is None:
            _local.__dict__[key] = slot
        yield loaded
    finally:
        _local.__dict__.pop(key, None)
        slot.release()


def _find(slot: Slot, lock: bool) -> tuple[Any] | None:
    try:
        loaded = _load(slot.read())
        if loaded is None and lock:
            loaded = _load(slot.claim())
        if loaded is None:
            slot.prepare()
    except redis.RedisError:
        return None
    return loaded


def _load(value: bytes | None) -> tuple[Any] | None:
    if value is None:
        return None
    try:
        return (pickle.loads(value),)  # noqa: S301 - the slot has verified its signature
    except Exception:  # for example of a release with other classes; the next write replaces it
        return None


def cache_thing(
    prefix: str, cache_key: str, data: Any, cond_dnfs: Conditions, timeout: int, **options: Any
) -> str:
    """Store a result that was computed within `getting`, unless it may be stale.

    Replaces `cacheops.getset.cache_thing`. A result that was not looked up first (`cache_on_save`)
    is not stored, since it may have changed. `cached_as(keep_fresh=True)` calls this before the
    computation to get a checksum; the slot has one already.
    """
    slot = _local.__dict__.get(cache_key)
    if slot and not options.get("expected_checksum") and not is_bypassed(options.get("dbs", ())):
        slot.write(pickle.dumps(data, pickle.HIGHEST_PROTOCOL), timeout)
    return ""


def cache_key(queryset: Any, prefix: bool = True) -> str:
    """Return the key of a queryset's result.

    Replaces cacheops' `QuerySetMixin._cache_key`, which formats the parameters into the SQL without
    quotes, so that `IN ("a, b")` equals `IN ("a", "b")`.
    """
    try:
        sql = queryset.query.get_compiler(queryset.db).as_sql()
    except EmptyResultSet:
        sql = None
    classes = (type(queryset), queryset.model, queryset._iterable_class)
    profile = queryset._cacheprofile
    database = queryset.db if profile and not profile["db_agnostic"] else None
    name = f"q:{md5hex(repr((classes, stamp_fields(queryset.model), exact(sql), database)))}"
    return queryset._prefix + name if prefix else name


def should_cache(queryset: Any, operation: str) -> bool:
    """Return whether to look up and store a queryset's result.

    Extends cacheops' `QuerySetMixin._should_cache`: rows from a related manager contain the
    manager's instance, whose changes do not invalidate the result.
    """
    return not queryset._known_related_objects and _cacheops_should_cache(queryset, operation)


def aggregate(queryset: Any, *args: Any, **kwargs: Any) -> Any:
    """Return aggregates of a queryset.

    Bypasses cacheops' `QuerySetMixin.aggregate` for all but aggregates of fields. It does not see
    the tables in others, and confuses those with the same representation, such as of two keys of
    a JSON field.
    """
    is_plain = all(
        _is_plain_aggregate(queryset.query, found) for found in [*args, *kwargs.values()]
    )
    rows = queryset if is_plain else queryset._chain().nocache()
    return _cacheops_aggregate(rows, *args, **kwargs)


def _is_plain_aggregate(query: Query, found: Any) -> bool:
    return (
        isinstance(found, Aggregate)
        and "output_field" not in vars(found)
        and all(_is_plain_source(query, source) for source in found.get_source_expressions())
    )


def _is_plain_source(query: Query, source: Any) -> bool:
    if not isinstance(source, F):
        return isinstance(source, Star | None)
    path: Any = source  # its attributes have no types
    try:
        *_, transforms = query.names_to_path(path.name.split(LOOKUP_SEP), query.get_meta())
    except FieldError:  # an annotation of `alias()`, or a mistake that Django reports
        return False
    return not transforms


_cacheops_should_cache: Any = query.QuerySetMixin._should_cache
_cacheops_aggregate: Any = query.QuerySetMixin.aggregate


@cache
def _report_untracked(tables: tuple[str, ...]) -> None:
    """Log, once per process, why some results are not stored."""
    for table in tables:
        logger.warning("Some results are not cached. %s", missing_entry(table))
