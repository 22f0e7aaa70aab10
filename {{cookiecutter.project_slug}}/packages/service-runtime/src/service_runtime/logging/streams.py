"""Makes log records of what a process prints, of its warnings and of its uncaught exceptions."""

import logging
import re
import sys
import threading
from typing import Any

from .context import current
from .values import MAX_TEXT

# How a line on stderr names a level that is no error, perhaps after a place: "views.py: Warning [".
_LEVEL = re.compile(r"(?:\S+: )?\[?(warn(?:ing)?|info|notice|debug)(?:\]|:| \[)", re.IGNORECASE)
_CHECKS = "System check identified"


class Lines:
    """Stands for sys.stdout or sys.stderr and logs what is written, line by line."""

    encoding, errors = "utf-8", "backslashreplace"

    def __init__(self, name: str, level: int) -> None:
        self.name = f"<{name}>"
        self._logger, self._level = logging.getLogger(name), level
        self._local = threading.local()

    def write(self, written: str) -> int:
        """Log each line that is complete, and what has become too long for one."""
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
        """Log what has no end of line."""
        rest, self._local.rest = getattr(self._local, "rest", ""), ""
        self._log(rest, self._level_of(rest))

    def _level_of(self, written: str) -> int:
        """Return the level that a line, or a report of Django's checks, names, or the stream's.

        Commands write their warnings and their progress to stderr, too.
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
        # A handler of the team's own that writes what is being logged here has it logged already.
        if not line.strip() or getattr(self._local, "logging", False):
            return
        self._local.logging = True
        try:
            self._logger.log(level, "%s", line)
        finally:
            self._local.logging = False

    def writelines(self, lines: Any) -> None:
        """Log each of the lines."""
        for line in lines:
            self.write(line)

    def isatty(self) -> bool:
        """Return False: it is no terminal."""
        return False

    def fileno(self) -> int:
        """Return the descriptor, for those who pass it to other programs."""
        return 1 if self.name == "<stdout>" else 2

    def writable(self) -> bool:
        """Return True."""
        return True

    @property
    def closed(self) -> bool:
        """Return False: it cannot be closed."""
        return False


def capture(*, stdout: bool) -> None:
    """Have everything that this process would print become log records.

    That is uncaught exceptions, of threads and of destructors too, warnings, sys.stderr, and
    sys.stdout where it is not a command's output.
    """
    logging.captureWarnings(True)
    sys.excepthook = _excepthook
    threading.excepthook = lambda args: (
        None
        if args.exc_type is SystemExit  # a thread's usual way to end itself
        else _excepthook(
            args.exc_type, args.exc_value, args.exc_traceback, "in thread %s", args.thread
        )
    )
    sys.unraisablehook = lambda args: _excepthook(
        args.exc_type, args.exc_value, args.exc_traceback, "ignored in %s", args.object
    )
    sys.stderr = Lines("stderr", logging.ERROR)
    if stdout:
        sys.stdout = Lines("stdout", logging.INFO)


def _excepthook(kind: Any, error: Any, tb: Any, where: str = "", what: object = None) -> None:
    name = getattr(what, "name", None) or getattr(what, "__qualname__", None) or repr(what)
    suffix = f" {where % name}" if where else ""
    interrupted = issubclass(kind, KeyboardInterrupt)
    token = current.set(getattr(error, "log_context", None) or current.get())
    logging.getLogger("uncaught").log(
        logging.INFO if interrupted else logging.CRITICAL,
        "Uncaught %s%s",
        kind.__name__,
        suffix,
        exc_info=None if interrupted else (kind, error, tb),
    )
    current.reset(token)
