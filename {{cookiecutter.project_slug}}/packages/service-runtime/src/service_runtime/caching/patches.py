"""The functions of cacheops that this package replaces."""

from typing import Any

from cacheops import invalidation, query, transaction

from . import querysets, writes
from .dependencies import conditions_of

_query: Any = query
_transaction: Any = transaction
_is_sql_dirty = _transaction.is_sql_dirty


def is_sql_dirty(sql: object) -> bool:
    """Return whether an SQL statement writes. Accepts psycopg's composed SQL too."""
    as_string = getattr(sql, "as_string", None)
    return bool(_is_sql_dirty(as_string(None) if as_string else sql))


def install() -> None:
    """Replace the functions. Call it once, before cacheops installs its methods."""
    _query.dnfs = conditions_of
    _query.getting = querysets.getting
    _query.cache_thing = querysets.cache_thing
    _query.QuerySetMixin._cache_key = querysets.cache_key
    _query.QuerySetMixin._should_cache = querysets.should_cache
    _query.QuerySetMixin.aggregate = querysets.aggregate
    _query.ManagerMixin._pre_save = writes.remember_old_row
    invalidation.get_obj_dict = writes.get_obj_dict
    _transaction.is_sql_dirty = is_sql_dirty
    writes.watch_writes()
