"""Writes that send no signal, or one that does not say all: cacheops is told of them here.

These are `update()`, `bulk_update()`, fields that a deletion sets to NULL, upserts, and rows of the
tables that many-to-many relations create, however they are written. They invalidate every result
that depends on the table. `cacheops.no_invalidation` suppresses it.
"""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any

from cacheops import invalidation
from django.db.models import Model, QuerySet
from django.db.models.sql import DeleteQuery, UpdateQuery

from .dependencies import ANY_ROW, is_tracked


def _always(model: type[Model], arguments: dict[str, Any]) -> bool:
    return True


def _without_signals(model: type[Model], arguments: dict[str, Any]) -> bool:
    return bool(model._meta.auto_created)


def _without_old_row(model: type[Model], arguments: dict[str, Any]) -> bool:
    return bool(model._meta.auto_created or arguments.get("on_conflict"))


# The methods through which Django's ORM writes, and when signals do not cover one. Inserts and
# updates of single objects, and deletions, have signals unless the table is a relation's.
_METHODS: list[tuple[type, str, Callable[[type[Model], dict[str, Any]], bool]]] = [
    (QuerySet, "update", _always),
    (QuerySet, "_raw_delete", _always),
    (QuerySet, "_insert", _without_old_row),
    (QuerySet, "_update", _without_signals),
    (UpdateQuery, "update_batch", _always),
    (DeleteQuery, "delete_batch", _without_signals),
]


def watch_writes() -> None:
    """Have every method through which the ORM writes invalidate what it changes."""
    for owner, name, is_unsignalled in _METHODS:
        setattr(owner, name, _watched(getattr(owner, name), is_unsignalled))


def _watched(
    write: Callable[..., Any], is_unsignalled: Callable[[type[Model], dict[str, Any]], bool]
) -> Callable[..., Any]:
    signature = inspect.signature(write)

    @wraps(write)
    def watched(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = write(self, *args, **kwargs)
        arguments = signature.bind(self, *args, **kwargs).arguments
        if is_unsignalled(self.model, arguments) and is_tracked(self.model):
            invalidate_table(self.model, arguments.get("using") or self.db)
        return result

    return watched


def invalidate_table(model: type[Model], using: str) -> None:
    """Invalidate every result that depends on a model's table, once the transaction commits.

    Args:
        model: whose rows have changed.
        using: the alias of the database.
    """
    invalidation.invalidate_dict(model, ANY_ROW, using=using)


def get_obj_dict(model: type[Model], obj: Model) -> dict[str, Any]:
    """Return the values by which cacheops finds the results that depend on a row.

    It takes the place of `cacheops.invalidation.get_obj_dict`, which leaves out fields that are
    deferred or set to an expression. Whichever result depends on these is invalidated.
    """
    values: dict[str, Any] = _cacheops_get_obj_dict(model, obj)
    is_complete = len(values) == len(invalidation.serializable_fields(model))
    return values if is_complete else {**values, **ANY_ROW}


_cacheops_get_obj_dict = invalidation.get_obj_dict
