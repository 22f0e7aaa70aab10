"""The rows that a cached result depends on, as cacheops' conditions.

cacheops derives conditions from a query's conditions and joins. It misses the tables of subqueries
and of raw SQL, and models that share rows through multi-table inheritance. `conditions_of` finds
them all, or reports that a result cannot be tracked.
"""

import re
from collections.abc import Iterable
from functools import cache
from typing import Any, NamedTuple

from cacheops.conf import model_profile
from cacheops.tree import dnfs
from cacheops.utils import family_has_profile
from django.apps import apps
from django.core.exceptions import EmptyResultSet, ImproperlyConfigured
from django.db.models import ForeignKey, Model, QuerySet
from django.db.models.expressions import Col
from django.db.models.lookups import IsNull, Lookup, Transform
from django.db.models.signals import class_prepared
from django.db.models.sql import Query
from django.db.models.sql.where import WhereNode

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
    if not _is_plain(query):
        # `dnfs` would confuse the conditions of a subquery with those of its outer query.
        return _complete({table: [{}] for table in _tables_in_sql(queryset)})
    compiler = query.chain().get_compiler(queryset.db)
    if query.select_related or not _is_ordered_by_columns(query):
        compiler.pre_sql_setup()  # adds their joins, including self-joins
    return _complete(dnfs(compiler))


def _is_plain(query: Query) -> bool:
    """Return whether a query cannot contain subqueries or raw SQL. Unknown nodes are not plain."""
    return (
        not (query.annotations or query.combined_queries or query.distinct_fields)
        and not (query.extra or query.extra_tables or query.extra_order_by)
        and not any(getattr(join, "filtered_relation", None) for join in query.alias_map.values())
        and all(isinstance(item, str) for item in query.order_by)
        and _is_plain_condition(query.where, next(iter(query.alias_map), None))
    )


def _is_plain_condition(node: Any, base_table: str | None) -> bool:
    if isinstance(node, WhereNode):
        if node.negated and (len(node.children) > 1 or isinstance(node.children[0], WhereNode)):
            return False  # exponential in `dnfs`
        return all(_is_plain_condition(child, base_table) for child in node.children)
    if not isinstance(node, Lookup):
        return False
    left = node.lhs
    while isinstance(left, Transform):
        left = left.lhs
    if not isinstance(left, Col):
        return False
    if isinstance(node, IsNull) and left.alias != base_table:
        return False  # NULL may mean that an outer join has no row, and any new row changes that
    if getattr(left.target, "db_collation", None):
        return False  # different values may be equal
    values = node.rhs if isinstance(node.rhs, list | tuple | set | frozenset) else [node.rhs]
    return not any(hasattr(value, "resolve_expression") for value in values)


def _is_ordered_by_columns(query: Query) -> bool:
    defaults = query.get_meta().ordering if query.default_ordering else ()
    return all(
        isinstance(name, str) and name.lstrip("-+") in _columns(query.model)
        for name in query.order_by or defaults or ()
    )


@cache
def _columns(model: type[Model]) -> frozenset[str]:
    fields = [field for field in model._meta.concrete_fields if not field.is_relation]
    return frozenset({"pk", *(field.name for field in fields)})


def _tables_in_sql(queryset: Any) -> set[str]:
    """Return the tables of models whose names occur anywhere in a query's SQL."""
    try:
        sql, _ = queryset.query.chain().get_compiler(queryset.db).as_sql()
    except EmptyResultSet:  # it never has rows
        return set()
    names = {(quoted or plain).lower() for quoted, plain in re.findall(r'"([^"]+)"|(\w+)', sql)}
    return {table for table in _tables() if table.lower() in names}


def _complete(conditions: Conditions) -> Conditions:
    """Add the tables that share rows with these, and ANY_ROW."""
    found: Conditions = {}
    for table, conjunctions in conditions.items():
        if table in IMMUTABLE:
            continue
        for relative, shares_columns in _family(table):
            if shares_columns:
                found.setdefault(relative, []).extend(map(as_stored, conjunctions))
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
def _family(table: str) -> list[tuple[str, bool]]:
    """Return the tables whose models write rows of a table, and whether they have its columns.

    Saving a child of multi-table inheritance writes its parents' rows, but sends only the child's
    signals. Saving a parent, or another of its children, changes the columns a child inherits.
    """
    model = _tables().get(table)
    if model is None:
        return [(table, True)]
    family = {model, *model._meta.get_parent_list()}
    return [(table, True)] + [
        (other_table, model in ancestors)
        for other_table, other in _tables().items()
        if other is not model
        and not family.isdisjoint(ancestors := {other, *other._meta.get_parent_list()})
    ]


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
    for function in (_of_model, _columns, _family, _tables, is_tracked):
        function.cache_clear()


# A new model changes the results.
class_prepared.connect(_clear_caches)
