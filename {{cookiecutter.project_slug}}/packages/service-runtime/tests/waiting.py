"""Waiting for other threads."""

import time
from collections.abc import Callable


def wait_for(condition: Callable[[], object]) -> None:
    """Return when the condition is true; fail after 20 seconds."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
