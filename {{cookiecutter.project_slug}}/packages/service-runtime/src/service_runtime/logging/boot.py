"""Logging from a process' first moment, before there are settings or when there are none."""

import logging
import os
import sys
import threading

from .formatter import JsonFormatter
from .handler import LineHandler
from .streams import capture


def load_settings(service: str, *, stream: str) -> None:
    """Log from here on, and load Django's settings; end the process when they are wrong.

    Args:
        service: the name on every line.
        stream: "stdout" or "stderr", whichever is the log's.
    """
    if _wants_json(stream):
        start(service, stream=stream)

    from django.core.exceptions import ImproperlyConfigured

    from ..conf import settings

    try:
        settings.SECRET_KEY  # noqa: B018 - the first access loads the settings
    except ImproperlyConfigured as error:
        fail(str(error))  # masked already, if it is the environment's
    if settings.LOG_FORMAT != "json":
        _stop()


def _wants_json(stream: str) -> bool:
    """Tell whether a process writes JSON to a stream: unless people read it.

    LOG_FORMAT says so, or, for a command's stderr, a terminal.
    """
    chosen = os.environ.get("LOG_FORMAT")
    is_terminal = stream == "stderr" and sys.__stderr__ is not None and sys.__stderr__.isatty()
    return chosen == "json" or (chosen != "console" and not is_terminal)


def start(service: str, *, stream: str) -> None:
    """Have everything that this process prints be JSON lines on the stream.

    A command's stdout stays its own. Django's LOGGING takes over when the settings are loaded.
    """
    handler = LineHandler(stream)
    handler.setFormatter(JsonFormatter(service, ""))
    logging.basicConfig(handlers=[handler], level=logging.INFO, force=True)
    capture(stdout=stream == "stdout")


def _stop() -> None:
    """Give the process its own output back: the settings say that people read it."""
    sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
    sys.excepthook = sys.__excepthook__
    threading.excepthook = threading.__excepthook__
    sys.unraisablehook = sys.__unraisablehook__


def fail(message: str) -> None:
    """Say why the process cannot start, a record for each line, and end it with status 1."""
    if sys.stderr is not sys.__stderr__:  # captured
        for line in message.splitlines():
            # Masked text stays so: it is about secrets, by name, and has none.
            logging.getLogger("boot").critical(type(message)(line))
        raise SystemExit(1)
    raise SystemExit(message)
