"""Turn printed text, warnings and uncaught exceptions into log records."""

import io
import logging
import re
import sys
import threading
from typing import Any

from .context import current
from .values import MAX_TEXT

# A line of stderr that names a level below ERROR, after a location or not: "views.py: Warning [".
_LEVEL = re.compile(r"(?:\S+: )?\[?(warn(?:ing)?|info|notice|debug)(?:\]|:| \[)", re.IGNORECASE)
_CHECKS = "System check identified"


class Lines(io.TextIOBase):
    """Replace sys.stdout or sys.stderr: log each line that is written.

    Args:
        name: "stdout" or "stderr".
        level: the level of lines that name no other one.
    """

    encoding, errors = "utf-8", "backslashreplace"

    def __init__(self, name: str, level: int) -> None:
        self.name = f"<{name}>"
        self._logger, self._level = logging.getLogger(name), level
        self._local = threading.local()

    def write(self, written: str) -> int:
        """Log each complete line, and an incomplete one that is as long as a field can be."""
        whole = getattr(self._local, "rest", "") + written
        *lines, rest = whole.split("\n")
        if len(rest) > MAX_TEXT:
            lines, rest = [*lines, rest], ""
        self._local.rest = rest
        report = whole if whole.startswith(_CHECKS) else ""
        for line in lines:
            self._log(line, self._level_of(report or line))
        return len(written)

    def flush(self) -> None:
        """Log an incomplete line."""
        rest, self._local.rest = getattr(self._local, "rest", ""), ""
        self._log(rest, self._level_of(rest))

    def close(self) -> None:
        """Log an incomplete line. The stream stays open."""
        self.flush()

    def fileno(self) -> int:
        """Return the descriptor, for callers that pass it to a subprocess."""
        return 1 if self.name == "<stdout>" else 2

    def writable(self) -> bool:
        """Return True."""
        return True

    def _level_of(self, written: str) -> int:
        """Return the level that a line, or a report of Django's checks, names, or the stream's.

        Commands write warnings and progress to stderr, too.
        """
        if self._level < logging.ERROR:
            return self._level
        if written.startswith(_CHECKS):
            is_serious = "\nERRORS:\n" in written or "\nCRITICALS:\n" in written
            return logging.ERROR if is_serious else logging.WARNING
        if not (named := _LEVEL.match(written)):
            return self._level
        return logging.WARNING if named[1].lower().startswith("warn") else logging.INFO

    def _log(self, line: str, level: int) -> None:
        # A handler that writes to this stream would log its own output again, without end.
        if not line.strip() or getattr(self._local, "is_logging", False):
            return
        self._local.is_logging = True
        try:
            self._logger.log(level, "%s", line)
        finally:
            self._local.is_logging = False


def capture(*, stdout: bool) -> None:
    """Turn what this process prints into log records.

    That is warnings, uncaught exceptions (those of threads and destructors too) and sys.stderr.

    Args:
        stdout: capture sys.stdout as well; not for a management command, whose output it is.
    """
    logging.captureWarnings(True)
    sys.excepthook = _log_uncaught
    threading.excepthook = _log_of_thread
    sys.unraisablehook = lambda args: _log_uncaught(
        args.exc_type, args.exc_value, args.exc_traceback, f" ignored in {_name(args.object)}"
    )
    sys.stderr = Lines("stderr", logging.ERROR)
    if stdout:
        sys.stdout = Lines("stdout", logging.INFO)


def _log_of_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_type is not SystemExit:  # a thread's usual way to end itself
        where = f" in thread {_name(args.thread)}"
        _log_uncaught(args.exc_type, args.exc_value, args.exc_traceback, where)


def _name(item: object) -> str:
    return getattr(item, "name", None) or getattr(item, "__qualname__", None) or repr(item)


def _log_uncaught(kind: Any, error: Any, traceback: Any, where: str = "") -> None:
    is_interrupt = issubclass(kind, KeyboardInterrupt)
    token = current.set(getattr(error, "log_context", None) or current.get())
    logging.getLogger("uncaught").log(
        logging.INFO if is_interrupt else logging.CRITICAL,
        "Uncaught %s%s",
        kind.__name__,
        where,
        exc_info=None if is_interrupt else (kind, error, traceback),
    )
    current.reset(token)
