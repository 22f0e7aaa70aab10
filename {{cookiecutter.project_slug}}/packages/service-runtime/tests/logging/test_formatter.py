"""The fields of a line, in JSON."""

import logging
import math
import sys
from datetime import UTC, datetime

import pytest
from django.contrib.auth import get_user_model

from service_runtime.logging import log_event
from service_runtime.logging.formatter import JsonFormatter
from service_runtime.logging.names import FIELD_NAMES
from tests.logging.conftest import parsed


def test_event_is_one_object_with_its_context(lines, request_of):
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


def test_extra_field_named_fields_is_an_ordinary_field(lines):
    fields = {"password": "hush", "severity": "mine", "nan": math.nan}
    logging.getLogger("django_default").warning("fields", extra={"fields": fields})

    (line,) = lines()
    assert line["severity"] == "WARNING"
    assert line["fields"] == {"password": "[redacted]", "severity": "mine", "nan": "nan"}


def test_local_variables_are_not_logged(lines):
    def fail():
        password = "hush"
        raise ValueError(len(password))

    try:
        fail()
    except ValueError:
        logging.getLogger("django_default").exception("failed")

    assert "hush" not in str(lines())


def test_invalid_arguments_do_not_lose_the_record():
    record = logging.LogRecord("shop", logging.INFO, __file__, 1, "%d apples", ("many",), None)

    line = parsed(JsonFormatter(service="acme", version="1.2.3").format(record))

    assert line["message"] == "%d apples"
    assert line["logging_arguments"] == ["many"]
    assert "TypeError" in line["logging_error"]


def test_extra_field_does_not_replace_a_standard_field(lines):
    extra = {"timestamp": "mine", "severity": "mine", "service": "mine"}
    logging.getLogger("django_default").warning("clash", extra=extra)

    (line,) = lines()
    assert line["severity"] == "WARNING"
    assert line["service"] == "acme"
    assert {line[f"extra.{name}"] for name in extra} == {"mine"}


def test_exception_is_one_line(lines):
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
def test_fields_have_the_names_of_a_log_service(request_of, service, names):
    request_of(get_user_model()(pk=7))
    formatter = JsonFormatter(service="acme", version="1", rename_fields=FIELD_NAMES[service])
    error = ValueError("wrong")
    record = logging.LogRecord("a", logging.ERROR, "", 1, "m", (), (ValueError, error, None))

    assert parsed(formatter.format(record)).keys() >= names


@pytest.mark.parametrize(("service", "name"), [("gcp", "time"), ("datadog", "status")])
def test_extra_field_does_not_replace_a_renamed_field(service, name):
    formatter = JsonFormatter(service="acme", version="1", rename_fields=FIELD_NAMES[service])
    record = logging.LogRecord("a", logging.ERROR, "", 1, "m", (), None)
    setattr(record, name, 200)

    line = parsed(formatter.format(record))
    assert line[name] != 200
    assert line[f"extra.{name}"] == 200
