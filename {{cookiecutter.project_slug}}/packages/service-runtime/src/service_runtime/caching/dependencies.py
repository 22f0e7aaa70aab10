"""The rows that a cached result depends on, as cacheops' conditions.

cacheops derives them from a query's conditions and joins, and misses the tables of subqueries,
raw SQL, and models that share rows through multi-table inheritance. `conditions_of` has them all,
or says that a result cannot be tracked.
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
from django.dispatch import receiver

Conditions = dict[str, list[dict[str, Any]]]
# Met by every write that does not say which rows it changes (writes.py).
ANY_ROW = {"*": "*"}
# Stands among the tables for those whose changes are not seen: the result must not be stored.
UNTRACKED = "?"
# Rows are created by migrations and never change.
IMMUTABLE = frozenset({"django_content_type"})


class Dependencies(NamedTuple):
    """The rows that a result depends on.

    Attributes:
        conditions: for each table, the conditions of which a changed row has to meet one.
        timeout: the smallest of the models' CACHEOPS timeouts, in seconds.
    """

    conditions: Conditions
    timeout: int

    @classmethod
    def of(cls, samples: Iterable[type[Model] | QuerySet[Any]]) -> "Dependencies":
        """Return those on models (any row) and querysets (the rows that meet its conditions).

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


# The models that decorated views name, for the check at startup (checks.py).
declared: list[tuple[str, tuple[type[Model], ...]]] = []


def declare(view: Any, models: Iterable[type[Model]]) -> None:
    """Record the models on which the cached responses of a view depend."""
    declared.append((f"{view.__module__}.{view.__qualname__}", tuple(models)))


@cache
def _of_model(model: type[Model]) -> tuple[Conditions, int]:
    table = model._meta.concrete_model._meta.db_table  # type: ignore[union-attr]
    conditions, profile = _complete({table: [{}]}), model_profile(model)
    if profile is None or UNTRACKED in conditions:
        raise ImproperlyConfigured(missing_entry(model._meta.db_table))
    return conditions, profile["timeout"]


def _of_rows(queryset: Any) -> tuple[Conditions, int]:
    conditions, profile = conditions_of(queryset), queryset._cacheprofile
    if missing := conditions.get(UNTRACKED):
        raise ImproperlyConfigured(" ".join(missing_entry(found["table"]) for found in missing))
    if profile is None:
        raise ImproperlyConfigured(missing_entry(queryset.model._meta.db_table))
    return conditions, profile["timeout"]


def missing_entry(table: str) -> str:
    """Return the sentence that says what to add to CACHEOPS for a table."""
    if (model := _tables().get(table)) is None:
        return f"No model has the table {table}, so its changes are not seen."
    entry = {model._meta.label_lower: {"ops": (), "timeout": 600}}
    return f"CACHEOPS has no entry for {model._meta.label}, so changes are not seen: add {entry}."


def conditions_of(queryset: Any) -> Conditions:
    """Return the conditions on the rows of every table that a queryset reads.

    It takes the place of `cacheops.tree.dnfs`. A table without an entry in CACHEOPS appears under
    the key UNTRACKED.
    """
    query = queryset.query
    if not _is_plain(query):
        # Conditions of a subquery would have to be told from those of the query around it.
        return _complete({table: [{}] for table in _tables_in_sql(queryset)})
    compiler = query.chain().get_compiler(queryset.db)
    if query.select_related or not _is_ordered_by_columns(query):
        compiler.pre_sql_setup()  # adds the joins of these, also to a table that is there already
    return _complete(dnfs(compiler))


def _is_plain(query: Query) -> bool:
    """Return whether no subquery and no raw SQL can be in a query: what is unknown is not plain."""
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
            return False  # `dnfs` would take exponential time
        return all(_is_plain_condition(child, base_table) for child in node.children)
    if not isinstance(node, Lookup):
        return False
    left = node.lhs
    while isinstance(left, Transform):
        left = left.lhs
    if not isinstance(left, Col):
        return False
    if isinstance(node, IsNull) and left.alias != base_table:
        return False  # an outer join is NULL where there is no row: any new row may change that
    if getattr(left.target, "db_collation", None):
        return False  # values that differ may be equal
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
    """Return the tables of models that a query's SQL names, wherever it names them."""
    try:
        sql, _ = queryset.query.chain().get_compiler(queryset.db).as_sql()
    except EmptyResultSet:  # it has no rows, whatever the tables hold
        return set()
    names = {(quoted or plain).lower() for quoted, plain in re.findall(r'"([^"]+)"|(\w+)', sql)}
    return {table for table in _tables() if table.lower() in names}


def _complete(conditions: Conditions) -> Conditions:
    """Add the tables that share rows with these, and writes that do not name their rows."""
    found: Conditions = {}
    for table, conjunctions in conditions.items():
        if table in IMMUTABLE:
            continue
        for relative, shares_columns in _family(table):
            if shares_columns:
                found.setdefault(relative, []).extend(map(as_stored, conjunctions))
            elif relative not in conditions:  # else the query has joined it, with its conditions
                found[relative] = [{}]
    for table, conjunctions in list(found.items()):
        if {} not in conjunctions:
            found[table] = [*conjunctions, ANY_ROW]
        if not _is_tracked(table):
            found.setdefault(UNTRACKED, []).append({"table": table})
    return found


def as_stored(values: dict[str, Any]) -> dict[str, Any]:
    """Return values without classes of strings, such as enumerations, that print differently."""
    return {
        name: str.__str__(value) if isinstance(value, str) else value
        for name, value in values.items()
    }


@cache
def _family(table: str) -> list[tuple[str, bool]]:
    """Return the tables whose models write rows of a table, with whether they have its columns.

    Saving a child of multi-table inheritance writes its parents' rows, and only the child's signals
    are sent. Saving a parent, or another of its children, changes what a child has inherited.
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


@receiver(class_prepared)
def _forget(**kwargs: Any) -> None:
    """Forget what was known of the models when there is another one."""
    for function in (_of_model, _columns, _family, _tables, _is_tracked):
        function.cache_clear()


@cache
def _is_tracked(table: str) -> bool:
    model = _tables().get(table)
    return model is not None and is_tracked(model)


def is_tracked(model: type[Model]) -> bool:
    """Return whether changes of a model's rows invalidate results.

    The table that a many-to-many relation creates is tracked with either of its sides.
    """
    if family_has_profile(model):
        return True
    return bool(model._meta.auto_created) and any(
        family_has_profile(field.related_model)
        for field in model._meta.fields
        if isinstance(field, ForeignKey)
    )
