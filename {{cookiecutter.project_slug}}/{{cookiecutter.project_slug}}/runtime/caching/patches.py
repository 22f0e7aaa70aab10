"""The places where cacheops is told to use what this package provides instead."""

import cacheops.invalidation
import cacheops.query
import cacheops.transaction

from . import querysets, writes
from .dependencies import conditions_of

_is_sql_dirty = cacheops.transaction.is_sql_dirty


def is_sql_dirty(sql: object) -> bool:
    """Return whether an SQL statement writes; psycopg's composed SQL is accepted too."""
    as_string = getattr(sql, "as_string", None)
    return bool(_is_sql_dirty(as_string(None) if as_string else sql))


def install() -> None:
    """Replace cacheops' functions; called once, when Django's applications are ready."""
    cacheops.query.dnfs = conditions_of
    cacheops.query.getting = querysets.getting
    cacheops.query.cache_thing = querysets.cache_thing
    cacheops.invalidation.get_obj_dict = writes.get_obj_dict
    cacheops.transaction.is_sql_dirty = is_sql_dirty
    writes.watch_writes()
