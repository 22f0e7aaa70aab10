"""python-json-logger's documented hooks and options work, or are rejected by a sentence."""

import logging
import sys
from typing import Any

import pytest

from service_runtime.logging.formatter import AccessRecord, JsonFormatter
from tests.logging.conftest import parsed


def record_of(message: Any = "m", *, failed: bool = False, **extra: Any) -> logging.LogRecord:
    error = None
    if failed:
        try:
            raise ValueError("wrong")
        except ValueError:
            error = sys.exc_info()
    record = logging.LogRecord("shop", logging.INFO, "", 1, message, (), error, sinfo="stack")
    record.__dict__.update(extra)
    return record


def access() -> logging.LogRecord:
    return AccessRecord("gunicorn.access", ("GET", "/", 200), {"url.path": "/"})


class Processed(JsonFormatter):
    def process_log_record(self, log_data):
        log_data = super().process_log_record(log_data)
        return log_data | {"team": "shop", "password": "hush", "nan": float("nan")}


class Added(JsonFormatter):
    def add_fields(self, log_data, record, message_dict):
        super().add_fields(log_data, record, message_dict | {"team": "shop"})
        log_data["headers"] = {"Cookie": "hush"}


class Timed(JsonFormatter):
    def formatTime(self, record, datefmt=None):  # noqa: N802
        return "noon"


class Traced(JsonFormatter):
    def formatException(self, ei):  # noqa: N802
        return [f"{ei[0].__name__} password=hush"]

    def formatStack(self, stack_info):  # noqa: N802
        return stack_info.upper()


class Encoded(JsonFormatter):
    def jsonify_log_record(self, log_data):
        return super().jsonify_log_record({"encoded": True, **log_data})


class Serialized(JsonFormatter):
    def serialize_log_record(self, log_data):
        return super().serialize_log_record({"serialized": True, **log_data})


@pytest.mark.parametrize(
    ("formatter", "found"),
    [
        (Processed, {"team": "shop", "password": "[redacted]", "nan": "nan"}),
        (Added, {"team": "shop", "headers": {"Cookie": "[redacted]"}}),
        (Timed, {"timestamp": "noon"}),
        (Encoded, {"encoded": True}),
        (Serialized, {"serialized": True}),
    ],
)
@pytest.mark.parametrize("record", [record_of(), record_of({"a": 1}), access()], ids=str)
def test_hooks_are_called_for_every_record(formatter, found, record):
    line = parsed(formatter("acme", "1").format(record))

    assert line.items() >= found.items()
    assert line["service"] == "acme"
    assert line.get("url.path", "/") == "/"


def test_hooks_for_exceptions_and_stacks_are_called():
    line = parsed(Traced("acme", "1").format(record_of(failed=True)))

    assert line["exception.stacktrace"] == ["ValueError password=[redacted]"]
    assert line["stack_info"] == "STACK"


@pytest.mark.parametrize(
    "hook",
    [
        *("add_fields", "process_log_record", "serialize_log_record", "jsonify_log_record"),
        *("formatTime", "formatException", "formatStack"),
    ],
)
@pytest.mark.parametrize("record", [record_of(failed=True), access()], ids=str)
def test_failing_hook_loses_no_record(hook, record):
    def fail(*args, **kwargs):
        raise RuntimeError("of the hook")

    formatter = type("Failing", (JsonFormatter,), {hook: fail})
    line = parsed(formatter("acme", "1").format(record))

    is_called = record.exc_info or not hook.startswith(("formatE", "formatS"))
    assert line.get("logging_error") == ("RuntimeError: of the hook" if is_called else None)


def test_supported_options_are_applied():
    formatter = JsonFormatter(
        "acme",
        "1",
        rename_fields={"severity": "level"},
        static_fields={"team": "shop", "token": "hush"},
        defaults={"tenant": "none"},
        exc_info_as_array=True,
        stack_info_as_array=True,
    )
    line = parsed(formatter.format(record_of(failed=True)))

    assert line["level"] == "INFO"
    assert (line["team"], line["token"], line["tenant"]) == ("shop", "[redacted]", "none")
    assert line["exception.stacktrace"][-1] == "ValueError: wrong"
    assert line["stack_info"] == ["stack"]
    assert parsed(formatter.format(access()))["tenant"] == "none"
    assert parsed(formatter.format(record_of(tenant="own")))["tenant"] == "own"


@pytest.mark.parametrize(
    ("option", "replacement"),
    [
        ({"fmt": "%(message)s"}, "static_fields"),
        ({"datefmt": "%H"}, "formatTime"),
        ({"timestamp": True}, "rename_fields"),
        ({"reserved_attrs": []}, "process_log_record"),
        ({"json_default": str}, "jsonify_log_record"),
        ({"json_encoder": str}, "jsonify_log_record"),
        ({"json_serializer": str}, "jsonify_log_record"),
        ({"prefix": "log: "}, "static_fields"),
        ({"rename_fields": {"levelname": "level"}}, "severity"),
    ],
)
def test_unsupported_options_are_rejected_with_their_replacement(option, replacement):
    with pytest.raises(TypeError, match=replacement):
        JsonFormatter("acme", "1", **option)


def test_hooks_that_would_not_be_called_are_rejected():
    with pytest.raises(TypeError, match=r"Styled\.parse would not be called: .* add_fields\."):
        type("Styled", (JsonFormatter,), {"parse": lambda self: []})


def test_trace_of_another_process_is_logged():
    line = parsed(JsonFormatter("acme", "1").format(record_of(exc_text="ValueError: token=hush")))

    assert line["exception.stacktrace"] == "ValueError: token=[redacted]"
