"""Human-readable log lines."""

import logging
import sys

from .scanner import redacted
from .values import plain

_COLOURS = {"DEBUG": 90, "WARNING": 33, "ERROR": 31, "CRITICAL": 41}


class ConsoleFormatter(logging.Formatter):
    """Show time, severity, logger, message and an event's data, in colour on a terminal."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-8s %(name)s: %(message)s", "%H:%M:%S")
        self._colours = sys.stdout.isatty()

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as text without secrets."""
        line = redacted(super().format(record))
        if (data := getattr(record, "data", None)) is not None:
            line += f" {plain(data)}"
        colour = _COLOURS.get(record.levelname)
        return f"\033[{colour}m{line}\033[0m" if self._colours and colour else line
