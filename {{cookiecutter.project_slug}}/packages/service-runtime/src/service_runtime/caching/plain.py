"""Queries whose conditions cacheops' `dnfs` can derive."""

from functools import cache
from typing import Any

from django.db.models import Model
from django.db.models.expressions import Col
from django.db.models.lookups import IsNull, Lookup, Transform
from django.db.models.sql import Query
from django.db.models.sql.where import WhereNode


def is_plain(query: Query) -> bool:
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


def is_ordered_by_columns(query: Query) -> bool:
    defaults = query.get_meta().ordering if query.default_ordering else ()
    return all(
        isinstance(name, str) and name.lstrip("-+") in _columns(query.model)
        for name in query.order_by or defaults or ()
    )


@cache
def _columns(model: type[Model]) -> frozenset[str]:
    fields = [field for field in model._meta.concrete_fields if not field.is_relation]
    return frozenset({"pk", *(field.name for field in fields)})
