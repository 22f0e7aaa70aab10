"""Invalidation for writes that send no signal, or one without all changed values.

These are `update()`, `bulk_update()`, fields that a deletion sets to NULL, upserts, deletions and
partial saves, whose instances may differ from their rows, saves over a row that was not loaded,
deletions by the database, and rows of many-to-many tables, however they are written. They
invalidate every result that depends on the table. `cacheops.no_invalidation` suppresses this.
"""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any

from cacheops import invalidation, query
from django.db.models import Model, QuerySet
from django.db.models.sql import DeleteQuery, UpdateQuery

from .dependencies import ANY_ROW, as_stored, is_tracked


def _always(model: type[Model], arguments: dict[str, Any]) -> bool:
    return True


def _is_uncertain(model: type[Model], arguments: dict[str, Any]) -> bool:
    """Return whether a save has updated a row whose old or new values are not certain.

    The old row was not loaded, or the instance may have outdated values of fields that are not
    written.
    """
    instance, values = arguments["self"], arguments["values"]
    if not arguments["result"] or not values:
        return False
    written = {field for field, *_ in values}
    others = {field for field in model._meta.local_concrete_fields if not field.primary_key}
    matters = invalidation.serializable_fields(model)
    is_partial = bool(written & matters and (others - written) & matters)
    old_rows: Any = query._old_objs.__dict__
    is_loaded = (type(instance), instance.pk) in old_rows
    return bool(model._meta.auto_created or is_partial or not is_loaded)


def _has_no_old_row(model: type[Model], arguments: dict[str, Any]) -> bool:
    return bool(model._meta.auto_created or arguments.get("on_conflict"))


# The methods through which Django's ORM writes, and when signals do not cover a call. Inserts and
# updates of single objects send signals, except in many-to-many tables.
_METHODS: list[tuple[type, str, Callable[[type[Model], dict[str, Any]], bool]]] = [
    (QuerySet, "update", _always),
    (QuerySet, "_raw_delete", _always),
    (QuerySet, "_insert", _has_no_old_row),
    (Model, "_do_update", _is_uncertain),
    (UpdateQuery, "update_batch", _always),
    (DeleteQuery, "delete_batch", _always),
]


def watch_writes() -> None:
    """Make every method through which the ORM writes invalidate what it changes."""
    for owner, name, is_unsignalled in _METHODS:
        setattr(owner, name, _watched(getattr(owner, name), is_unsignalled))


def _watched(
    write: Callable[..., Any], is_unsignalled: Callable[[type[Model], dict[str, Any]], bool]
) -> Callable[..., Any]:
    signature = inspect.signature(write)

    @wraps(write)
    def watched(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = write(self, *args, **kwargs)
        arguments = {**signature.bind(self, *args, **kwargs).arguments, "result": result}
        rows = arguments.get("base_qs", self)
        if is_unsignalled(rows.model, arguments):
            deleted = _deleted_by_database(rows.model) if "delete" in write.__name__ else []
            for model in filter(is_tracked, [rows.model, *deleted]):
                using = arguments.get("using") or rows.db
                invalidation.invalidate_dict(model, ANY_ROW, using=using)
        return result

    return watched


def _deleted_by_database(model: type[Model]) -> list[type[Model]]:
    """Return the models whose rows the database itself deletes or changes with those of a model.

    Their relations use `DB_CASCADE` and the like of Django 6.1.
    """
    found: list[Any] = [model]
    for deleted in found:
        found += {
            relation.related_model
            for relation in deleted._meta.get_fields(include_hidden=True)
            if hasattr(getattr(relation, "on_delete", None), "on_delete_sql")
        } - {*found}
    return found[1:]


def get_obj_dict(model: type[Model], obj: Model) -> dict[str, Any]:
    """Return the values of a row, by which cacheops finds the results that depend on it.

    Replaces `cacheops.invalidation.get_obj_dict`, which omits fields that are deferred or set to an
    expression. Then every result that depends on the table is invalidated.
    """
    values: dict[str, Any] = as_stored(_cacheops_get_obj_dict(model, obj))
    is_complete = len(values) == len(invalidation.serializable_fields(model))
    return values if is_complete else {**values, **ANY_ROW}


_cacheops_get_obj_dict = invalidation.get_obj_dict


@invalidation.skip_on_no_invalidation
def remember_old_row(
    manager: Any, sender: type[Model], instance: Model, using: str, raw: bool = False, **kwargs: Any
) -> None:
    """Load the row that a save is about to change, to invalidate results by its old values.

    Replaces cacheops' `ManagerMixin._pre_save`. That one uses the manager `objects`, which may not
    exist or may hide the row, and skips instances that were created with their primary key.
    Without `force_update`, Django inserts a new instance whose key has a default: none is loaded.
    """
    old_rows: Any = query._old_objs.__dict__
    old_rows.pop((sender, instance.pk), None)  # of a save that failed
    is_new = instance._state.adding and instance._meta.pk.has_default() and not raw
    if instance.pk is None or is_new:
        return
    rows: Any = sender._base_manager.using(using).filter(pk=instance.pk)
    for row in rows.nocache():
        old_rows[sender, instance.pk] = row
