"""Any value can be logged, without losing its record, raising or running a query."""

import collections
import dataclasses
import decimal
import enum
import itertools
import json
import logging
import math
import pathlib
import sys
import types
import uuid
from datetime import UTC, date, datetime, time, timedelta

import pytest
from django.contrib.auth import get_user_model
from django.test import RequestFactory
from django.utils.functional import SimpleLazyObject
from django.utils.translation import gettext_lazy

from service_runtime.logging import log_event
from service_runtime.logging.bounds import MAX_BYTES


class Broken:
    def __init__(self, error):
        self.error = error

    def __str__(self):
        raise self.error

    __repr__ = __str__


class BrokenMapping(collections.UserDict):
    def __getitem__(self, key):
        raise KeyError(key)


class BrokenList(list):
    def __iter__(self):
        raise RuntimeError


class Text(str):
    def __str__(self):
        return "shown"


class Colour(enum.Enum):
    RED = "red"


class Number(enum.IntEnum):
    ONE = 1


@dataclasses.dataclass
class Point:
    x: int


def circular():
    value: dict[str, object] = {}
    value["self"] = value
    return value


def nested(depth):
    value: object = "leaf"
    for _ in range(depth):
        value = [value]
    return value


def unloaded():
    raise AssertionError("logging must not load it")


def generator():
    yield unloaded()


AWKWARD = {
    "none": None,
    "true": True,
    "zero": 0,
    "negative": -1,
    "nan": math.nan,
    "infinity": math.inf,
    "minus infinity": -math.inf,
    "nested nan": {"a": [math.nan]},
    "64 bits": 2**64 - 1,
    "65 bits": 2**64,
    "5000 digits": 10**5000,
    "minus 5000 digits": -(10**5000),
    "decimal": decimal.Decimal("1.10"),
    "decimal nan": decimal.Decimal("NaN"),
    "complex": 1 + 2j,
    "empty": "",
    "newlines": "a\nb\r\u2028c",
    "quotes": '"\\"',
    "nul": "\0",
    "control": "\x1b[31m",
    "emoji": "\U0001f600",
    "surrogate": "\ud800",
    "surrogate key": {"\udfff": 1},
    "a megabyte": "x" * 10**6,
    "a megabyte of umlauts": "\u00fc" * 10**6,
    "a megabyte of controls": "\0" * 10**6,
    "str subclass": Text("hidden"),
    "lazy text": gettext_lazy("Hello"),
    "bytes": b"\xff\x00",
    "bytearray": bytearray(b"a"),
    "memoryview": memoryview(b"a"),
    "set": {1, 2},
    "frozenset": frozenset("a"),
    "tuple": (1, 2),
    "deque": collections.deque([1]),
    "tuple key": {("a", 1): 1},
    "none key": {None: 1},
    "mixed keys": {1: "a", "1": "b"},
    "many keys": {str(number): number for number in range(10_000)},
    "many items": list(range(100_000)),
    "circular": circular(),
    "deep": nested(50),
    "very deep": nested(100_000),
    "mapping": types.MappingProxyType({"a": 1}),
    "broken mapping": BrokenMapping(a=1),
    "broken list": BrokenList([1]),
    "broken str": Broken(ValueError("no")),
    "recursion": Broken(RecursionError()),
    "generator": generator(),
    "function": unloaded,
    "class": Point,
    "module": sys,
    "dataclass": Point(1),
    "enum": Colour.RED,
    "int enum": Number.ONE,
    "uuid": uuid.UUID(int=1),
    "path": pathlib.Path("/a"),
    "datetime": datetime(2026, 1, 2, tzinfo=UTC),
    "date": date(2026, 1, 2),
    "time": time(1, 2),
    "timedelta": timedelta(seconds=1.5),
    "exception": ValueError("wrong"),
    "exception that breaks": ValueError(Broken(ValueError())),
    "lazy object": SimpleLazyObject(unloaded),
    "request": RequestFactory().get("/path", {"token": "hush"}),
    "object": object(),
    "model": get_user_model()(pk=7),
    "manager": get_user_model().objects,
    "queryset": get_user_model().objects.all(),
}


PLACES = ["event", "extra", "argument", "message", "dict", "exception"]


# Where logging itself, or whoever makes a text of it, looks at a lazy object.
LOOKED_AT = {("lazy object", place) for place in ("argument", "message", "exception")}


@pytest.mark.parametrize(
    ("name", "place"), sorted(set(itertools.product(AWKWARD, PLACES)) - LOOKED_AT)
)
def test_no_value_loses_its_record(lines, name, place):
    assert len(AWKWARD) >= 49
    value = AWKWARD[name]
    logger = logging.getLogger("django_default")
    logger.propagate = False  # to the handlers of pytest, which are not what is tested
    try:
        if place == "event":
            log_event("awkward", value)
        elif place == "extra":
            logger.warning("awkward", extra={"value": value, "deep": {"value": value}})
        elif place == "argument":
            logger.warning("awkward %s", value)
        elif place == "message":
            logger.warning(value)
        elif place == "dict":
            logger.warning({"awkward": value})
        else:
            try:
                raise ValueError(value)
            except ValueError:
                logger.exception("awkward")
    finally:
        logger.propagate = True

    (line,) = lines()
    assert line.keys() >= {"timestamp", "severity", "logger", "message", "service"}
    assert len(json.dumps(line, ensure_ascii=False).encode("utf-8", "replace")) <= MAX_BYTES + 200
    assert "hush" not in str(line)


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("nan", "nan"),
        ("tuple key", {"('a', 1)": 1}),
        ("65 bits", str(2**64)),
        ("bytes", "\\xff\x00"),
        ("enum", "red"),
        ("int enum", 1),
        ("timedelta", 1.5),
        ("decimal", "1.10"),
        ("model", "auth.User(pk=7)"),
        ("manager", "UserManager(auth.User)"),
        ("queryset", "QuerySet(auth.User)"),
        ("lazy text", "Hello"),
        ("lazy object", "<not loaded>"),
        ("request", "GET /path"),
        ("exception", "ValueError: wrong"),
        ("broken str", "<Broken that cannot be shown: ValueError>"),
    ],
)
def test_values_are_converted(lines, name, written):
    log_event("value", AWKWARD[name])

    assert lines()[0]["data"] == written


def test_arguments_run_no_query(lines, django_assert_num_queries, db):
    users = get_user_model().objects.all()
    lazy = SimpleLazyObject(users.first)
    with django_assert_num_queries(0):
        logging.getLogger("django_default").warning("%s, %s, %d", users, lazy, 3)
        log_event("views", {"values": {"users": users}.values()})

    assert lines()[0]["message"] == "QuerySet(auth.User), <not loaded>, 3"
    assert lines()[1]["data"]["values"] == ["QuerySet(auth.User)"]
