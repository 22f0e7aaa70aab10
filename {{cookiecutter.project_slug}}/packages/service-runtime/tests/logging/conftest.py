import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from service_runtime.logging.formatter import JsonFormatter


def refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is not JSON")


def parsed(line: str) -> dict[str, Any]:
    """Return a line, which has to be one line of strict JSON in UTF-8."""
    assert "\n" not in line
    found: dict[str, Any] = json.loads(line.encode(), parse_constant=refuse)
    return found


@pytest.fixture
def lines() -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """Return a function that gives the lines logged so far, parsed."""
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
