"""Bounded waits for calls that have no timeout, such as name lookups."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

T = TypeVar("T")


class SingleFlight(Generic[T]):
    """Run a function in a daemon thread; concurrent callers share one run and its deadline.

    A run that exceeds its deadline continues, and no other one starts before it ends.

    Args:
        function: the function to run.
        name: the name of the thread.
    """

    def __init__(self, function: Callable[[], T], name: str) -> None:
        self._function = function
        self._name = name
        self._lock = threading.Lock()
        self._future: Future[T] | None = None
        self._deadline = 0.0

    def run(self, timeout: float) -> T:
        """Return the result of the current run, or of a new one; raise its exception.

        Args:
            timeout: seconds from the start of a new run.

        Raises:
            TimeoutError: the result is not there in time.
            RuntimeError: no thread can be started.
        """
        with self._lock:
            if self._future is None or self._future.done():
                future: Future[T] = Future()
                thread = threading.Thread(target=self._complete, args=(future,), name=self._name)
                thread.daemon = True
                thread.start()
                self._future, self._deadline = future, time.monotonic() + timeout
            future, deadline = self._future, self._deadline
        return future.result(max(0, deadline - time.monotonic()))

    def _complete(self, future: "Future[T]") -> None:
        try:
            future.set_result(self._function())
        except BaseException as error:
            future.set_exception(error)
