"""The context of management commands."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from .context import Context, current, new_id
from .events import log_event


@contextmanager
def command_context(name: str) -> Iterator[None]:
    """Give every line of a command the same run id, and log how it ended.

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
        outcome = "failed" if error.code else "succeeded"
        raise
    finally:
        spent = round((time.perf_counter() - started) * 1000, 1)
        level = "INFO" if outcome == "succeeded" else "ERROR"
        data = {"command": name, "outcome": outcome, "duration_ms": spent}
        log_event("command_finished", data, level=level)
        current.reset(token)
