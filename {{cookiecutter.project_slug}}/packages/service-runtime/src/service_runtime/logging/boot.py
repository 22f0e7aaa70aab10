"""Log as JSON from the start of a process, before its settings are loaded."""

import logging
import os
import sys
import threading

from .formatter import JsonFormatter
from .handler import LineHandler
from .streams import capture


def load_settings(service: str, *, stream: str) -> None:
    """Start to log, and load Django's settings.

    Args:
        service: the service's name in log lines until the settings are loaded.
        stream: "stdout" or "stderr", the log's stream.

    Raises:
        SystemExit: the settings are invalid; the reasons have been logged.
    """
    if _wants_json(stream):
        start(service, stream=stream)

    from django.core.exceptions import ImproperlyConfigured

    from ..conf import settings

    try:
        settings.SECRET_KEY  # noqa: B018 - the first access loads the settings
    except ImproperlyConfigured as error:
        fail(str(error))
    if settings.LOG_FORMAT != "json":
        _stop()


def _wants_json(stream: str) -> bool:
    """Return whether to log as JSON: as LOG_FORMAT says, else unless stderr is a terminal."""
    chosen = os.environ.get("LOG_FORMAT")
    is_terminal = stream == "stderr" and sys.__stderr__ is not None and sys.__stderr__.isatty()
    return chosen == "json" or (chosen != "console" and not is_terminal)


def start(service: str, *, stream: str) -> None:
    """Turn everything that this process prints into JSON lines on the stream.

    With stderr, a management command keeps stdout for its output. LOGGING replaces the root
    logger's handler when Django configures it.
    """
    handler = LineHandler(stream)
    handler.setFormatter(JsonFormatter(service, ""))
    logging.basicConfig(handlers=[handler], level=logging.INFO, force=True)
    capture(stdout=stream == "stdout")


def _stop() -> None:
    """Undo `start`, since LOG_FORMAT of the settings is "console"."""
    sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
    sys.excepthook = sys.__excepthook__
    threading.excepthook = threading.__excepthook__
    sys.unraisablehook = sys.__unraisablehook__


def fail(message: str) -> None:
    """Log why the process cannot start, one record per line, and exit with status 1."""
    if sys.stderr is not sys.__stderr__:  # captured
        for line in message.splitlines():
            # Masked text stays masked: it describes secrets by example and has none.
            logging.getLogger("boot").critical(type(message)(line))
        raise SystemExit(1)
    raise SystemExit(message)
