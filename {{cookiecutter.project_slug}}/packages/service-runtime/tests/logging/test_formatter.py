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
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser
from django.test import RequestFactory
from django.utils.functional import SimpleLazyObject
from django.utils.translation import gettext_lazy

from service_runtime.logging import get_current_user_id, log_event, redaction, values
from service_runtime.logging.bounds import MAX_BYTES
from service_runtime.logging.context import Context, current
from service_runtime.logging.formatter import JsonFormatter
from service_runtime.logging.names import FIELD_NAMES
from tests.logging.conftest import parsed


@pytest.fixture
def request_of():
    """Return a function that makes the current request that of the given user."""
    tokens = []

    def set_user(user):
        request = RequestFactory().get("/")
        request.user = user
        tokens.append(current.set(Context("abcdefgh", request, "1" * 32, "2" * 16)))

    yield set_user
    for token in reversed(tokens):
        current.reset(token)


def test_an_event_is_one_object_with_its_context(lines, request_of):
    request_of(get_user_model()(pk=7))
    log_event("blog_read", {"id": 1, "at": datetime(2026, 1, 2, tzinfo=UTC)}, level="warning")

    (line,) = lines()

    assert datetime.fromisoformat(line.pop("timestamp")).tzinfo
    assert line == {
        "severity": "WARNING",
        "logger": "django_default",
        "message": "blog_read",
        "service": "acme",
        "version": "1.2.3",
        "request_id": "abcdefgh",
        "trace_id": "1" * 32,
        "span_id": "2" * 16,
        "uid": 7,
        "ev": "blog_read",
        "data": {"id": 1, "at": "2026-01-02T00:00:00+00:00"},
    }


def test_no_user_is_0_and_leaves_uid_out(lines, request_of):
    assert get_current_user_id() == 0
    request_of(AnonymousUser())
    assert get_current_user_id() == 0

    log_event("anonymous", None)

    assert "uid" not in lines()[0]


def test_a_user_nobody_has_looked_at_is_not_loaded(request_of):
    def load():
        raise AssertionError("logging must not load the user")

    request_of(SimpleLazyObject(load))

    assert get_current_user_id() == 0


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
def test_how_values_are_written(lines, name, written):
    log_event("value", AWKWARD[name])

    assert lines()[0]["data"] == written


def test_what_is_long_is_shortened_and_says_so(lines):
    log_event("long", {"text": "a" * 10**6, "items": list(range(1000))})

    data = lines()[0]["data"]
    assert data["text"].startswith("aaaa")
    assert "characters]" in data["text"]
    assert data["items"][-1] == "900 more"


def test_a_line_stays_within_its_bounds(lines):
    log_event("big", {str(number): "\u00fc" * 5000 for number in range(50)})
    logging.getLogger("django_default").warning("x" * 10**6, extra={"small": "kept"})
    many = {f"field{number}": "y" * 500 for number in range(500)}
    logging.getLogger("django_default").warning("many", extra=many)

    first, second, third = lines()
    for line in (first, second, third):
        assert len(json.dumps(line, ensure_ascii=False).encode()) <= MAX_BYTES
    assert first["truncated"] == ["data"]
    assert second["small"] == "kept"
    assert third["message"] == "many"
    assert third["severity"] == "WARNING"


@pytest.mark.parametrize("letter", ["k", "\u00fc", "\U0001f600", '"'])
@pytest.mark.parametrize("length", [1, 198, 5000])
def test_names_alone_stay_within_the_bounds(lines, letter, length):
    fields = {f"{letter * length}{number}": letter for number in range(100)}
    log_event("names", fields)
    logging.getLogger("django_default").warning(fields)

    for line in lines():
        assert len(json.dumps(line, ensure_ascii=False).encode()) <= MAX_BYTES
        assert {"timestamp", "severity", "logger", "message"} <= line.keys()


def test_what_is_left_out_is_counted():
    assert len(values.shortened("x" * 1000, 42)) < 42
    assert "[1000 characters]" in values.shortened("x" * 1000, 10)


def test_parts_that_hold_each_other_take_bounded_time(lines):
    shared: list[Any] = [1]
    for _ in range(values.MAX_DEPTH):
        shared = [shared] * 100
    log_event("shared", {"shared": shared})

    assert len(json.dumps(lines()[0])) <= MAX_BYTES


def test_the_text_of_an_argument_makes_no_query(lines, django_assert_num_queries, db):
    users = get_user_model().objects.all()
    lazy = SimpleLazyObject(users.first)
    with django_assert_num_queries(0):
        logging.getLogger("django_default").warning("%s, %s, %d", users, lazy, 3)
        log_event("views", {"values": {"users": users}.values()})

    assert lines()[0]["message"] == "QuerySet(auth.User), <not loaded>, 3"
    assert lines()[1]["data"]["values"] == ["QuerySet(auth.User)"]


def test_a_field_called_fields_is_one_like_any_other(lines):
    fields = {"password": "hush", "severity": "mine", "nan": math.nan}
    logging.getLogger("django_default").warning("fields", extra={"fields": fields})

    (line,) = lines()
    assert line["severity"] == "WARNING"
    assert line["fields"] == {"password": "[redacted]", "severity": "mine", "nan": "nan"}


@pytest.mark.parametrize(
    "secret",
    [
        "token=hush&page=1",
        "https://example.com/?page=1&user[password]=hush",
        "https://example.com/#access_token=hush",
        "a=1;token=hush",
        "https://hush@example.com/",
        "redis://user:hu/sh@host:6379/0",
        "redis://:p@hush@host:6379/0",
        [("Authorization", "hush"), ("Accept", "text/plain")],
        {"Authorization": "hush"}.items(),
        {"jwt": "hush"},
        {"signing_key": "hush"},
        {"session": "hush"},
        {"auth": "hush"},
    ],
)
def test_secrets_in_text_and_pairs_are_redacted(lines, secret):
    log_event("secret", {"value": secret})

    assert "[redacted]" in str(lines())
    assert "hush" not in str(lines())
    assert "hu/sh" not in str(lines())


@pytest.mark.parametrize(
    "text", ["http://host:8000/users/@ada", "session_count=3", "GET /?page=2&order=title", "a = b"]
)
def test_what_only_looks_alike_is_left_alone(lines, text):
    log_event("fine", {"value": text})

    assert lines()[0]["data"]["value"] == text


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "user_password",
        "Authorization",
        "HTTP_COOKIE",
        "Set-Cookie",
        "apiKey",
        "api-key",
        "private_key",
        "csrfmiddlewaretoken",
        "sessionid",
        "CLIENT_SECRET",
        "X-Auth-Token",
        "pin",
    ],
)
def test_secrets_are_redacted_wherever_they_are(lines, name):
    redaction.redact(["PIN"])
    log_event("secret", {"headers": [{name: "hush"}], name: {"deep": "hush"}})
    logging.getLogger("django_default").warning("secret", extra={name: "hush"})
    redaction.redact([])

    for line in lines():
        assert "hush" not in str(line)
        assert "[redacted]" in str(line)


def test_passwords_in_urls_are_redacted(lines):
    url = "redis://user:hush@host:6379/0"
    log_event("connected", {"url": url})
    try:
        raise ConnectionError(f"cannot reach {url}")
    except ConnectionError:
        logging.getLogger("django_default").exception("at %s", url)

    assert "hush" not in str(lines())
    assert lines()[0]["data"]["url"] == "redis://user:[redacted]@host:6379/0"


def test_other_names_are_left_alone(lines):
    log_event("fine", {"tokenizer": 1, "author": "Ada", "key": "k", "is_secret": False})

    assert lines()[0]["data"]["author"] == "Ada"
    assert lines()[0]["data"]["key"] == "k"
    assert lines()[0]["data"]["is_secret"] is False


def test_local_variables_are_not_logged(lines):
    def fail():
        password = "hush"
        raise ValueError(len(password))

    try:
        fail()
    except ValueError:
        logging.getLogger("django_default").exception("failed")

    assert "hush" not in str(lines())


def test_wrong_arguments_do_not_lose_the_record():
    record = logging.LogRecord("shop", logging.INFO, __file__, 1, "%d apples", ("many",), None)

    line = parsed(JsonFormatter(service="acme", version="1.2.3").format(record))

    assert line["message"] == "%d apples"
    assert line["logging_arguments"] == ["many"]
    assert "TypeError" in line["logging_error"]


def test_a_clash_of_names_keeps_both(lines):
    extra = {"timestamp": "mine", "severity": "mine", "service": "mine"}
    logging.getLogger("django_default").warning("clash", extra=extra)

    (line,) = lines()
    assert line["severity"] == "WARNING"
    assert line["service"] == "acme"
    assert {line[f"extra.{name}"] for name in extra} == {"mine"}


def test_an_exception_is_one_line(lines):
    try:
        try:
            raise KeyError("first")
        except KeyError as error:
            raise ValueError("two\nlines") from error
    except ValueError:
        logging.getLogger("django_default").error("failed", exc_info=sys.exc_info())

    (line,) = lines()
    assert line["exception.type"] == "builtins.ValueError"
    assert line["exception.message"] == "two\nlines"
    assert "KeyError: 'first'" in line["exception.stacktrace"]


@pytest.mark.parametrize(
    ("service", "names"),
    [
        ("gcp", {"time", "severity", "logging.googleapis.com/trace"}),
        ("datadog", {"timestamp", "status", "dd.trace_id", "error.stack", "usr.id"}),
        ("ecs", {"@timestamp", "log.level", "trace.id", "error.stack_trace", "user.id"}),
    ],
)
def test_names_of_log_services(request_of, service, names):
    request_of(get_user_model()(pk=7))
    formatter = JsonFormatter(service="acme", version="1", rename_fields=FIELD_NAMES[service])
    error = ValueError("wrong")
    record = logging.LogRecord("a", logging.ERROR, "", 1, "m", (), (ValueError, error, None))

    assert parsed(formatter.format(record)).keys() >= names


@pytest.mark.parametrize(("service", "name"), [("gcp", "time"), ("datadog", "status")])
def test_extra_fields_do_not_replace_renamed_ones(service, name):
    formatter = JsonFormatter(service="acme", version="1", rename_fields=FIELD_NAMES[service])
    record = logging.LogRecord("a", logging.ERROR, "", 1, "m", (), None)
    setattr(record, name, 200)

    line = parsed(formatter.format(record))
    assert line[name] != 200
    assert line[f"extra.{name}"] == 200
