"""Events: log lines for programs, each with a name and data."""

import logging
import time
from typing import Any

_logged: dict[tuple[str, str], float] = {}


def log_event(
    event_name: str, log_data: Any, logging_module: str = "django_default", level: str = "INFO"
) -> None:
    """Log an event as the fields `ev` and `data`, and `uid` when a user is signed in.

    Args:
        event_name: the event's name, such as "blog_published".
        log_data: anything; values that JSON cannot express are written as text.
        logging_module: the logger's name.
        level: a level's name; an unknown one counts as INFO.
    """
    number = logging.getLevelNamesMapping().get(str(level).upper(), logging.INFO)
    logging.getLogger(logging_module).log(
        number, "%s", event_name, extra={"ev": event_name, "data": log_data}, stacklevel=2
    )


def log_event_rarely(
    event_name: str, kind: str, log_data: Any, *, seconds: float, level: str = "INFO"
) -> None:
    """Log the first event of its name and kind in an interval.

    Args:
        event_name: the event's name.
        kind: events of another kind have an interval of their own.
        log_data: see `log_event`.
        seconds: the interval.
        level: see `log_event`.
    """
    now = time.monotonic()
    if now - _logged.get((event_name, kind), -seconds) >= seconds:
        _logged[event_name, kind] = now
        log_event(event_name, log_data, level=level)
