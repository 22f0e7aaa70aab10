"""Queries with different parameters never share a result."""

import gc
import ipaddress
import json
import uuid
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any

import pytest
from cacheops import cached_as
from django.db import connections
from django.db.models import Count, F, Max
from django.utils.safestring import SafeString
from psycopg import Binary
from psycopg.types.json import Json, Jsonb
from psycopg.types.numeric import Int4, Int8
from psycopg.types.range import Range

from service_runtime.caching.exact import exact
from service_runtime.caching.querysets import cache_key
from service_runtime.database.postgresql import base
from tests.shapes.models import Document

documents: Any = Document.objects  # cacheops adds methods
PREFIX = "x" * 40  # longer than what psycopg's repr() contains
OPERATIONS = {
    "fetch": lambda rows: [row.name for row in rows],
    "count": lambda rows: rows.count(),
    "exists": lambda rows: rows.exists(),
    "aggregate": lambda rows: rows.aggregate(found=Max("name")),
    "cached_as": lambda rows: cached_as(rows)(lambda: [row.name for row in rows.nocache()])(),
}
CONDITIONS: dict[str, list[dict[str, Any]]] = {
    "JSON": [{"data": {"key": f"{PREFIX}{end}"}} for end in "ab"],
    "binary": [{"content": f"{PREFIX}{end}".encode()} for end in "ab"],
}


@pytest.mark.redis
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("conditions", CONDITIONS.values(), ids=CONDITIONS)
@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
def test_conditions_that_differ_at_their_end_have_separate_results(operation, conditions):
    Document.objects.create(name="first", **conditions[0])

    def results():
        for condition in conditions:
            gc.collect()  # so that both parameters may have the same address
            yield operation(documents.filter(**condition).cache())

    found = list(results())
    assert found == [operation(documents.filter(**one).nocache()) for one in conditions]
    assert found[0] != found[1]


@pytest.mark.redis
@pytest.mark.django_db(transaction=True)
def test_query_with_a_binary_condition_is_cached(django_assert_num_queries):
    Document.objects.create(name="first", content=b"a")
    held = []  # so that the parameters have different addresses

    def found():
        held.append(documents.filter(content=memoryview(b"a")).cache())
        held.append(held[-1].query.get_compiler("default").as_sql())
        return [row.name for row in held[-2]]

    assert found() == ["first"]
    with django_assert_num_queries(0):
        assert found() == ["first"]


@pytest.mark.redis
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("path", [str, F])
def test_aggregates_of_different_json_keys_have_separate_results(path):
    Document.objects.create(name="first", data={"a": 1})

    found = [documents.cache().aggregate(found=Count(path(f"data__{key}"))) for key in "ab"]

    assert found == [{"found": 1}, {"found": 0}]


@pytest.mark.redis
@pytest.mark.django_db(transaction=True)
def test_aggregates_of_columns_are_cached(django_assert_num_queries):
    def found():
        rows = documents.filter(name="first").cache()
        return rows.aggregate(Max("name"), number=Count("*"), pk=Count("pk"))

    assert found() == {"name__max": None, "number": 0, "pk": 0}
    with django_assert_num_queries(0):
        found()


@pytest.fixture
def postgres():
    """Return the alias of a PostgreSQL backend without a server, for compiling queries."""
    alias = "postgres-keys"
    configuration = {**connections["default"].settings_dict, "NAME": "tests", "OPTIONS": {}}
    connections[alias] = base.DatabaseWrapper(configuration, alias)
    yield alias
    del connections[alias]


def test_postgresql_parameters_that_differ_at_their_end_have_separate_keys(postgres):
    for conditions in CONDITIONS.values():
        first, second = (Document.objects.using(postgres).filter(**one) for one in conditions)
        assert cache_key(first, prefix=False) == cache_key(first.all(), prefix=False)
        assert cache_key(first, prefix=False) != cache_key(second, prefix=False)


class Color(Enum):
    RED = 1
    BLUE = 2


class Words(str):
    def __repr__(self):
        return "words"


NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
# Pairs of functions that create different values.
PAIRS: dict[str, tuple[Any, Any]] = {
    "str": (lambda: "1", lambda: "2"),
    "str and int": (lambda: "1", lambda: 1),
    "bool and int": (lambda: True, lambda: 1),
    "None": (lambda: None, lambda: "None"),
    "float": (lambda: 0.1, lambda: 0.1 + 1e-16),
    "bytes": (lambda: b"a", lambda: b"b"),
    "Decimal": (lambda: Decimal("1.0"), lambda: Decimal("1.1")),
    "date": (lambda: date(2026, 1, 1), lambda: date(2026, 1, 2)),
    "time": (lambda: time(12), lambda: time(12, 0, 0, 1)),
    "datetime": (lambda: NOON, lambda: NOON.replace(tzinfo=None)),
    "zone": (lambda: NOON, lambda: NOON.replace(tzinfo=timezone(timedelta(hours=1)))),
    "timedelta": (lambda: timedelta(1), lambda: timedelta(2)),
    "UUID": (lambda: uuid.UUID(int=1), lambda: uuid.UUID(int=2)),
    "address": (
        lambda: ipaddress.ip_address("::1"),
        lambda: ipaddress.ip_address("::2"),
    ),
    "network": (
        lambda: ipaddress.ip_network("10.0.0.0/8"),
        lambda: ipaddress.ip_interface("10.0.0.0/8"),
    ),
    "integer types": (lambda: Int4(1), lambda: Int8(1)),
    "enumeration": (lambda: Color.RED, lambda: Color.BLUE),
    "subclass of str": (lambda: Words("a"), lambda: Words("b")),
    "safe string": (lambda: SafeString("a"), lambda: SafeString("b")),
    "list": (lambda: [b"a", memoryview(b"b")], lambda: [b"a", memoryview(b"c")]),
    "nested": (lambda: ([1], [2]), lambda: ([1, 2],)),
    "dict": (lambda: {"a": PREFIX}, lambda: {"b": PREFIX}),
    "bytearray": (lambda: bytearray(b"a"), lambda: bytearray(b"b")),
    "memoryview": (lambda: memoryview(b"a"), lambda: memoryview(b"b")),
    "Binary": (lambda: Binary(f"{PREFIX}a".encode()), lambda: Binary(f"{PREFIX}b".encode())),
    "Binary of a view": (lambda: Binary(memoryview(b"a")), lambda: Binary(memoryview(b"b"))),
    "Jsonb": (lambda: Jsonb([PREFIX, 1]), lambda: Jsonb([PREFIX, 2])),
    "Json": (lambda: Json([PREFIX, 1]), lambda: Jsonb([PREFIX, 1])),
    "encoded Jsonb": (
        lambda: Jsonb([1], dumps=json.dumps),
        lambda: Jsonb([1], dumps=lambda value: "another"),
    ),
    "Range": (lambda: Range(1, 2), lambda: Range(1, 2, "[]")),
    "Range of times": (lambda: Range(NOON), lambda: Range(None, NOON)),
    "empty Range": (lambda: Range(empty=True), lambda: Range()),
}


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_equal_parameters_print_equally_and_different_ones_do_not(pair):
    first, second = pair
    assert repr(exact(first())) == repr(exact(first()))
    assert repr(exact(second())) == repr(exact(second()))
    assert repr(exact(first())) != repr(exact(second()))


class Opaque:
    def __repr__(self):
        return "opaque"


@pytest.mark.parametrize("wrap", [lambda value: value, lambda value: [value], Range])
def test_parameter_of_an_unknown_type_is_never_a_hit(wrap):
    parameter = wrap(Opaque())
    assert repr(exact(parameter)) != repr(exact(parameter))
