"""A line is at most 16 KiB, and says what it omits."""

import json
import logging
from typing import Any

import pytest

from service_runtime.logging import log_event, values
from service_runtime.logging.bounds import MAX_BYTES


def test_long_values_are_visibly_shortened(lines):
    log_event("long", {"text": "a" * 10**6, "items": list(range(1000))})

    data = lines()[0]["data"]
    assert data["text"].startswith("aaaa")
    assert "characters]" in data["text"]
    assert data["items"][-1] == "900 more"


def test_line_is_at_most_16_kib(lines):
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
def test_line_with_long_names_is_at_most_16_kib(lines, letter, length):
    fields = {f"{letter * length}{number}": letter for number in range(100)}
    log_event("names", fields)
    logging.getLogger("django_default").warning(fields)

    for line in lines():
        assert len(json.dumps(line, ensure_ascii=False).encode()) <= MAX_BYTES
        assert {"timestamp", "severity", "logger", "message"} <= line.keys()


def test_omitted_characters_are_counted():
    assert len(values.shortened("x" * 1000, 42)) < 42
    assert "[1000 characters]" in values.shortened("x" * 1000, 10)


def test_shared_parts_take_bounded_time(lines):
    shared: list[Any] = [1]
    for _ in range(values.MAX_DEPTH):
        shared = [shared] * 100
    log_event("shared", {"shared": shared})

    assert len(json.dumps(lines()[0])) <= MAX_BYTES
