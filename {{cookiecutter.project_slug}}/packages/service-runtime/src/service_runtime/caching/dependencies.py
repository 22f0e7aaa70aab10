"""The rows that a cached result depends on, as cacheops' conditions.

cacheops derives conditions from a query's conditions and joins. It misses the tables of subqueries
and of raw SQL, and models that share rows through multi-table inheritance. `conditions_of` finds
them all, or reports that a result cannot be tracked.
"""

import re
from collections.abc import Iterable
from functools import cache
from itertools import permutations
from typing import Any, NamedTuple

from cacheops.conf import model_profile
from cacheops.invalidation import serializable_fields
from cacheops.tree import dnfs
from cacheops.utils import family_has_profile
from django.apps import apps
from django.core.exceptions import EmptyResultSet, ImproperlyConfigured
from django.db.models import ForeignKey, Model, QuerySet
from django.db.models.signals import class_prepared

from .plain import is_ordered_by_columns, is_plain

Conditions = dict[str, list[dict[str, Any]]]
# Matches every write that does not say which rows it changes (writes.py).
ANY_ROW = {"*": "*"}
# The pseudo-table of tables whose changes are not tracked: the result must not be stored.
UNTRACKED = "?"
# Migrations create its rows, which never change.
IMMUTABLE = frozenset({"django_content_type"})


class Dependencies(NamedTuple):
    """The rows that a result depends on.

    Attributes:
        conditions: for each table, the conditions of which a changed row must match one.
        timeout: the smallest of the models' CACHEOPS timeouts, in seconds.
    """

    conditions: Conditions
    timeout: int

    @classmethod
    def of(cls, samples: Iterable[type[Model] | QuerySet[Any]]) -> "Dependencies":
        """Return the dependencies on models (any row) and querysets (rows by their conditions).

        Raises:
            ImproperlyConfigured: CACHEOPS has no entry for a model.
        """
        conditions: Conditions = {}
        timeouts = []
        for sample in samples:
            found, timeout = _of_model(sample) if isinstance(sample, type) else _of_rows(sample)
            timeouts.append(timeout)
            for table, conjunctions in found.items():
                conditions.setdefault(table, []).extend(conjunctions)
        return cls(conditions, min(timeouts, default=0))


# The models that each decorated view names, for the check at startup (checks.py).
declared: list[tuple[str, tuple[type[Model], ...]]] = []


def declare(view: Any, models: Iterable[type[Model]]) -> None:
    """Record the models that the cached responses of a view depend on."""
    declared.append((f"{view.__module__}.{view.__qualname__}", tuple(models)))


@cache
def _of_model(model: type[Model]) -> tuple[Conditions, int]:
    table = model._meta.concrete_model._meta.db_table  # type: ignore[union-attr]
    return _tracked(_complete({table: [{}]}), model_profile(model), model)


def _of_rows(queryset: Any) -> tuple[Conditions, int]:
    return _tracked(conditions_of(queryset), queryset._cacheprofile, queryset.model)


def _tracked(
    conditions: Conditions, profile: dict[str, Any] | None, model: type[Model]
) -> tuple[Conditions, int]:
    missing = [found["table"] for found in conditions.get(UNTRACKED, ())]
    if profile is None or missing:
        tables = missing or [model._meta.db_table]
        raise ImproperlyConfigured(" ".join(map(missing_entry, tables)))
    return conditions, profile["timeout"]


def missing_entry(table: str) -> str:
    """Return a message with the entry that CACHEOPS needs for a table."""
    if (model := _tables().get(table)) is None:
        return f"No model has the table {table}, so its changes are not tracked."
    entry = {model._meta.label_lower: {"ops": (), "timeout": 600}}
    return f"CACHEOPS has no entry for {model._meta.label}: add {entry} to track its changes."


def conditions_of(queryset: Any) -> Conditions:
    """Return the conditions on the rows of every table that a queryset reads.

    Replaces `cacheops.tree.dnfs`. A table without an entry in CACHEOPS is under the key UNTRACKED.
    """
    query = queryset.query
    if not is_plain(query):
        # `dnfs` would confuse the conditions of a subquery with those of its outer query.
        return _complete({table: [{}] for table in _tables_in_sql(queryset)})
    compiler = query.chain().get_compiler(queryset.db)
    if query.select_related or not is_ordered_by_columns(query):
        compiler.pre_sql_setup()  # adds their joins, including self-joins
    conditions = dnfs(compiler)
    if any(map(_has_ambiguous_names, conditions)):
        conditions = {table: [{}] for table in conditions}
    return _complete(conditions)


def _tables_in_sql(queryset: Any) -> set[str]:
    """Return the tables of models whose names occur anywhere in a query's SQL."""
    try:
        sql, _ = queryset.query.chain().get_compiler(queryset.db).as_sql()
    except EmptyResultSet:  # it never has rows
        return set()
    names = {(quoted or plain).lower() for quoted, plain in re.findall(r'"([^"]+)"|(\w+)', sql)}
    return {table for table in _tables() if table.lower() in names}


def _complete(conditions: Conditions) -> Conditions:
    """Add the tables that share rows with these, and ANY_ROW. Drop what writes do not report."""
    found: Conditions = {}
    for table, conjunctions in conditions.items():
        if table in IMMUTABLE:
            continue
        for relative, names in _family(table):
            if names is not None:
                found.setdefault(relative, []).extend(
                    {
                        names[name]: value
                        for name, value in as_stored(values).items()
                        if name in names
                    }
                    for values in conjunctions
                )
            elif relative not in conditions:  # else the query has joined it, and has its conditions
                found[relative] = [{}]
    for table, conjunctions in list(found.items()):
        if {} not in conjunctions:
            found[table] = [*conjunctions, ANY_ROW]
        if not is_tracked(_tables().get(table)):
            found.setdefault(UNTRACKED, []).append({"table": table})
    return found


def as_stored(values: dict[str, Any]) -> dict[str, Any]:
    """Return values with plain strings: enumerations and other subclasses print differently."""
    return {
        name: str.__str__(value) if isinstance(value, str) else value
        for name, value in values.items()
    }


@cache
def _family(table: str) -> list[tuple[str, dict[str, str] | None]]:
    """Return the tables whose models write rows of a table, with the names of its columns there.

    Saving a child of multi-table inheritance writes its parents' rows, but sends only the child's
    signals. Saving a parent, or another of its children, changes the columns a child inherits. The
    names are None for a model that does not have the table's columns.
    """
    model = _tables().get(table)
    if model is None:
        return [(table, {})]
    family = {model, *model._meta.get_parent_list()}
    return [(table, _reported_names(model, model))] + [
        (other_table, _reported_names(model, other) if model in ancestors else None)
        for other_table, other in _tables().items()
        if other is not model
        and not family.isdisjoint(ancestors := {other, *other._meta.get_parent_list()})
    ]


def _reported_names(model: type[Model], writer: type[Model]) -> dict[str, str]:
    """Map the columns and attributes of a model to the names that writes of another one report.

    `dnfs` copies a condition to the other side of a join under the name of its column, even if
    CACHEOPS_SKIP_FIELDS excludes that field from what writes report.
    """
    reported = serializable_fields(writer)
    fields: list[Any] = [*filter(reported.__contains__, model._meta.local_concrete_fields)]
    return {name: field.attname for field in fields for name in (field.column, field.attname)}


@cache
def _has_ambiguous_names(table: str) -> bool:
    """Return whether a field is named like another one's column, which `dnfs` confuses in joins."""
    model = _tables().get(table)
    fields = model._meta.local_concrete_fields if model else ()
    return any(one.attname == other.column for one, other in permutations(fields, 2))


@cache
def _tables() -> dict[str, type[Model]]:
    models = apps.get_models(include_auto_created=True, include_swapped=True)
    return {model._meta.db_table: model for model in models if not model._meta.proxy}


@cache
def is_tracked(model: type[Model] | None) -> bool:
    """Return whether changes of a model's rows invalidate results.

    The table that a many-to-many relation creates is tracked if one of its sides is.
    """
    if model is None:
        return False
    related = [field.related_model for field in model._meta.fields if isinstance(field, ForeignKey)]
    return any(map(family_has_profile, [model, *(related if model._meta.auto_created else ())]))


def _clear_caches(**kwargs: Any) -> None:
    for function in (_of_model, _family, _has_ambiguous_names, _tables, is_tracked):
        function.cache_clear()


# A new model changes the results.
class_prepared.connect(_clear_caches)
