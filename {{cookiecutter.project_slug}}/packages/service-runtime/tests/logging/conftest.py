"""Fixtures for log lines and for programs that log."""

import json
import logging
import os
import sys
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.test import RequestFactory

from service_runtime.logging.context import Context, current
from service_runtime.logging.formatter import JsonFormatter


def reject(constant: str) -> None:
    raise AssertionError(f"{constant} is not valid JSON")


def parsed(line: str) -> dict[str, Any]:
    """Parse a line, which must be strict JSON in UTF-8."""
    assert "\n" not in line
    found: dict[str, Any] = json.loads(line.encode(), parse_constant=reject)
    return found


@pytest.fixture
def lines() -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """Return a function that returns the lines logged so far, parsed."""
    written: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            written.append(self.format(record))

    handler = Handler()
    handler.setFormatter(JsonFormatter(service="acme", version="1.2.3"))
    logger = logging.getLogger("django_default")
    logger.addHandler(handler)
    yield lambda: [parsed(line) for line in written]
    logger.removeHandler(handler)


@pytest.fixture
def request_of():
    """Return a function that sets the current request to one of the given user."""
    tokens = []

    def set_user(user):
        request = RequestFactory().get("/")
        request.user = user
        tokens.append(current.set(Context("abcdefgh", request, "1" * 32, "2" * 16)))

    yield set_user
    for token in reversed(tokens):
        current.reset(token)


BOOT = """
import logging, os, sys, threading
sys.path.insert(0, {path!r})
from service_runtime.logging import boot
boot.start("acme", stream={stream!r})
log = logging.getLogger("test")
"""


@pytest.fixture
def script(tmp_path):
    """Return a function that returns the command line of a program that logs."""

    def script(code, stream="stdout"):
        path = tmp_path / "script.py"
        head = BOOT.format(path=os.getcwd(), stream=stream)
        path.write_text(head + textwrap.dedent(code))
        return [sys.executable, path]

    return script
