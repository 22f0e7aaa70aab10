"""Log lines for people."""

import logging
import sys

from .redaction import redacted
from .values import plain

_COLOURS = {"DEBUG": 90, "WARNING": 33, "ERROR": 31, "CRITICAL": 41}


class ConsoleFormatter(logging.Formatter):
    """Time, severity, logger and message, and an event's data; in colour on a terminal."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-8s %(name)s: %(message)s", "%H:%M:%S")
        self._colours = sys.stdout.isatty()

    def format(self, record: logging.LogRecord) -> str:
        """Return the lines of a record."""
        line = redacted(super().format(record))
        if (data := getattr(record, "data", None)) is not None:
            line += f" {plain(data)}"
        colour = _COLOURS.get(record.levelname)
        return f"\033[{colour}m{line}\033[0m" if self._colours and colour else line
