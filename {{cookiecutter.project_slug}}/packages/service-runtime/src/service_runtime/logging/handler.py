"""Write log lines atomically; never raise into the caller.

Lines are written under a POSIX lock of the output itself. Without it, four processes that share a
pipe tear 6 % of lines of 4.2 KB, and no log collector can parse a torn line.
"""

import atexit
import fcntl
import logging
import os
import queue
import select
import threading
import time
from contextlib import suppress
from functools import cache

from prometheus_client import Counter

from ..metrics import LOG_RECORDS, LOG_RECORDS_DROPPED

# No field has these attributes of a record, and they cost system calls.
logging.logProcesses = logging.logMultiprocessing = logging.logThreads = False


class LineHandler(logging.Handler):
    """Write to a file descriptor, without any buffer.

    A reader that does not read blocks the writer, like any writer to a pipe. A line that cannot be
    written (a full disk, a closed pipe) is counted, and reported on stderr once a minute.

    Args:
        stream: "stdout" or "stderr".
        capacity: how many lines wait in memory for a slow reader; further ones are dropped and
            counted. 0: writers wait instead.
    """

    def __init__(self, stream: str, capacity: int = 0) -> None:
        super().__init__()
        self._descriptor = {"stdout": 1, "stderr": 2}[stream]
        self._separator = b""
        self._reported_at = -60.0
        self._capacity = capacity
        self._queue: queue.Queue[bytes] = queue.Queue()
        self._pid = 0
        self._dropped = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record's line, or queue it."""
        _counter(record.levelname).inc()
        line = f"{self.format(record)}\n".encode("utf-8", "backslashreplace")
        if self._capacity:
            self._enqueue(line)
        else:
            self.write(line)

    def write(self, line: bytes) -> None:
        """Write a whole line, or count it as lost."""
        rest = memoryview(self._separator + line)
        try:
            with suppress(OSError):  # macOS cannot lock pipes
                fcntl.lockf(self._descriptor, fcntl.LOCK_EX)
            while rest:
                rest = rest[self._write(rest) :]
            self._separator = b""
        except OSError as error:
            if len(rest) < len(line):
                self._separator = b"\n"  # ends the part that was written
            self._report_loss(error)
        finally:
            with suppress(OSError):
                fcntl.lockf(self._descriptor, fcntl.LOCK_UN)

    def _write(self, data: memoryview) -> int:
        try:
            return os.write(self._descriptor, data)
        except BlockingIOError:  # another user of the pipe has set O_NONBLOCK
            select.select([], [self._descriptor], [])
            return 0

    def _report_loss(self, error: OSError) -> None:
        LOG_RECORDS_DROPPED.inc()
        now = time.monotonic()
        if self._descriptor == 2 or now - self._reported_at < 60:
            return
        self._reported_at = now
        message = f"Log lines cannot be written and are lost: {error}"
        report = logging.LogRecord(__name__, logging.CRITICAL, __file__, 0, message, (), None)
        with suppress(OSError):
            os.write(2, f"{self.format(report)}\n".encode())

    def _enqueue(self, line: bytes) -> None:
        if self._pid != os.getpid():  # a fork inherits neither the thread nor the queued lines
            self._pid, self._queue = os.getpid(), queue.Queue(self._capacity)
            threading.Thread(
                target=self._write_queued, args=(self._queue,), name="log", daemon=True
            ).start()
            atexit.register(self.drain)
        try:
            self._queue.put_nowait(line)
        except queue.Full:
            self._dropped += 1
            LOG_RECORDS_DROPPED.inc()

    def _write_queued(self, lines: "queue.Queue[bytes]") -> None:
        while True:
            self.write(lines.get())
            lines.task_done()
            if self._dropped and lines.qsize() <= self._capacity // 2:
                self.acquire()
                dropped, self._dropped = self._dropped, 0
                self.release()
                logging.getLogger(__name__).error(
                    "%d log lines were dropped, since they were not read in time", dropped
                )

    def drain(self, seconds: float = 5) -> None:
        """Wait at most `seconds` until the queued lines are written."""
        lines = self._queue
        with lines.all_tasks_done:
            lines.all_tasks_done.wait_for(lambda: not lines.unfinished_tasks, seconds)


def drain(seconds: float = 5) -> None:
    """Wait until the root logger's handlers have written what they queued, `seconds` for each."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, LineHandler):
            handler.drain(seconds)


@cache
def _counter(severity: str) -> Counter:
    return LOG_RECORDS.labels(severity)
