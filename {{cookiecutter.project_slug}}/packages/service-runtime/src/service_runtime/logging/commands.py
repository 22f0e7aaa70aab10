"""The context of management commands."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from django.utils.autoreload import DJANGO_AUTORELOAD_ENV

from .context import Context, current, new_id
from .events import log_event

RELOAD = 3  # the status with which runserver asks its parent process for a restart


@contextmanager
def command_context(name: str) -> Iterator[None]:
    """Give every line of a command the same `run_id`, and log its outcome.

    Args:
        name: the command's name.
    """
    token = current.set(Context(run_id=new_id()))
    started = time.perf_counter()
    outcome = "failed"
    try:
        yield
        outcome = "succeeded"
    except SystemExit as error:
        if error.code == RELOAD and os.environ.get(DJANGO_AUTORELOAD_ENV) == "true":
            outcome = "reloading"
        else:
            outcome = "failed" if error.code else "succeeded"
        raise
    except KeyboardInterrupt:
        outcome = "interrupted"
        raise
    finally:
        elapsed = round((time.perf_counter() - started) * 1000, 1)
        level = "ERROR" if outcome == "failed" else "INFO"
        data = {"command": name, "outcome": outcome, "duration_ms": elapsed}
        log_event("command_finished", data, level=level)
        current.reset(token)
