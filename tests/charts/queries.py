"""The series and labels that a PromQL query uses."""

from typing import Any

import promql_parser as promql

TARGET = {"namespace", "job", "pod"}  # labels that Prometheus adds


def selectors(query: str) -> list[tuple[str, set[str], set[str]]]:
    """Return each selected series, with the labels that filter it and those that group it."""
    found: list[tuple[str, set[str], set[str]]] = []

    def visit(node: Any, grouped: set[str]) -> None:
        if isinstance(node, promql.AggregateExpr):
            visit(node.expr, grouped | set(node.modifier.labels if node.modifier else ()))
        elif isinstance(node, promql.BinaryExpr):
            visit(node.lhs, grouped)
            visit(node.rhs, grouped)
        elif isinstance(node, promql.ParenExpr):
            visit(node.expr, grouped)
        elif isinstance(node, promql.Call):
            for argument in node.args:
                visit(argument, grouped)
        elif isinstance(node, promql.MatrixSelector):
            visit(node.vector_selector, grouped)
        elif isinstance(node, promql.VectorSelector):
            matched = {matcher.name for matcher in node.matchers.matchers}
            found.append((node.name or "", matched, grouped))
        else:
            assert isinstance(node, promql.NumberLiteral), node

    visit(promql.parse(query.replace("$__rate_interval", "1m")), set())  # as Grafana does
    assert found, query
    return found
