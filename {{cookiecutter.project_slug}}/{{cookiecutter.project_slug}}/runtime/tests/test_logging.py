import json
import logging
import math
import sys
from datetime import UTC, datetime

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser
from django.test import RequestFactory
from django.utils.functional import SimpleLazyObject

from ..logging import get_current_user_id, log_event
from ..logging.context import current_request, request_id
from ..logging.formatter import JsonFormatter


@pytest.fixture
def lines():
    """Return a function that gives the lines logged so far, parsed as strict JSON."""
    written: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record):
            written.append(self.format(record).encode().decode())

    handler = Handler()
    handler.setFormatter(JsonFormatter(service="acme", version="1.2.3"))
    logger = logging.getLogger("django_default")
    logger.addHandler(handler)

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    yield lambda: [json.loads(line, parse_constant=refuse) for line in written]
    logger.removeHandler(handler)


@pytest.fixture
def request_of():
    """Return a function that makes the current request that of the given user."""
    tokens = []

    def set_user(user):
        request = RequestFactory().get("/")
        request.user = user
        tokens.append(current_request.set(request))

    yield set_user
    for token in tokens:
        current_request.reset(token)


def test_an_event_is_one_object_with_its_context(lines, request_of):
    request_of(get_user_model()(pk=7))
    token = request_id.set("abcdefgh")
    log_event("blog_read", {"id": 1, "at": datetime(2026, 1, 2, tzinfo=UTC)}, level="warning")
    request_id.reset(token)

    (line,) = lines()

    assert datetime.fromisoformat(line.pop("timestamp")).tzinfo
    assert line == {
        "severity": "WARNING",
        "logger": "django_default",
        "message": "blog_read",
        "service": "acme",
        "version": "1.2.3",
        "request_id": "abcdefgh",
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


def circular():
    value: dict[str, object] = {}
    value["self"] = value
    return value


@pytest.mark.parametrize(
    "data",
    [math.nan, circular(), {("a", 1): 1}, "\ud800", object(), {1, 2}, b"\xff", 10**5000],
    ids=["nan", "circular", "tuple key", "surrogate", "object", "set", "bytes", "big"],
)
def test_no_value_loses_its_record(lines, data):
    log_event("awkward", data)

    assert lines()[0]["message"] == "awkward"


def test_wrong_arguments_do_not_lose_the_record():
    record = logging.LogRecord("shop", logging.INFO, __file__, 1, "%d apples", ("many",), None)

    line = json.loads(JsonFormatter(service="acme", version="1.2.3").format(record))

    assert line["message"] == "%d apples"
    assert "TypeError" in line["logging_error"]


def test_a_queryset_is_named_and_not_evaluated(lines):
    log_event("users", get_user_model().objects.all())

    assert lines()[0]["data"] == "QuerySet(users.User)"


def test_an_exception_is_one_line(lines):
    try:
        raise ValueError("two\nlines")
    except ValueError:
        logging.getLogger("django_default").error("failed", exc_info=sys.exc_info())

    (line,) = lines()
    assert line["exception.type"] == "builtins.ValueError"
    assert line["exception.message"] == "two\nlines"
    assert "Traceback" in line["exception.stacktrace"]
