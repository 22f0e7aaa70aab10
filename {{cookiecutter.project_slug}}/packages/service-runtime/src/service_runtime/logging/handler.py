"""Writes log lines whole, whoever else writes, and never into the face of the code that logs."""

import atexit
import fcntl
import json
import logging
import os
import queue
import select
import tempfile
import threading
import time
from functools import cache
from typing import Any

from prometheus_client import Counter

from ..metrics import LOG_RECORDS, LOG_RECORDS_DROPPED

# Nobody reads these of a record, and to find them out costs system calls.
logging.logProcesses = logging.logMultiprocessing = logging.logThreads = False

PIPE_BUF = 4096  # up to here a write to a pipe is never mixed with another


class LineHandler(logging.Handler):
    """Writes to a file descriptor, past everything that buffers.

    Lines of several processes on one pipe stay whole: longer ones than a pipe takes at once are
    written under a lock that the processes share, and so are the others while one of them is. A
    reader that does not read blocks, as it does for everyone who writes to a pipe. What cannot be
    written (a full disk, a closed pipe) is counted and reported on stderr once a minute.

    Args:
        stream: "stdout" or "stderr".
        capacity: 0, or how many lines wait for a reader that does not read; beyond them, lines are
            dropped and counted.
    """

    def __init__(self, stream: str, capacity: int = 0) -> None:
        super().__init__()
        self._descriptor = {"stdout": 1, "stderr": 2}[stream]
        self._torn = False
        self._reported = 0.0
        self._capacity = capacity
        self._queue: queue.Queue[bytes] = queue.Queue()
        self._pid = 0
        self._dropped = 0
        _shared_lock()

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record's line, or queue it."""
        _counter(record.levelname).inc()
        line = f"{self.format(record)}\n".encode("utf-8", "backslashreplace")
        if self._capacity:
            self._enqueue(line)
        else:
            self.write(line)

    def write(self, line: bytes) -> None:
        """Write a line as a whole, or count it as lost."""
        rest = memoryview(b"\n" + line if self._torn else line)
        lock = _shared_lock()
        try:
            fcntl.lockf(lock, fcntl.LOCK_EX if len(rest) > PIPE_BUF else fcntl.LOCK_SH)
            try:
                while rest:
                    rest = rest[self._written(rest) :]
            finally:
                fcntl.lockf(lock, fcntl.LOCK_UN)
            self._torn = False
        except OSError as error:
            self._torn = self._torn or 0 < len(rest) < len(line)
            self._lost(error)

    def _written(self, rest: memoryview) -> int:
        try:
            return os.write(self._descriptor, rest)
        except BlockingIOError:  # whoever shares the descriptor has made it one that does not wait
            select.select([], [self._descriptor], [])
            return 0

    def _lost(self, error: OSError) -> None:
        LOG_RECORDS_DROPPED.inc()
        now = time.monotonic()
        if self._descriptor == 2 or (self._reported and now - self._reported < 60):
            return
        self._reported = now
        report = {
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime()),
            "severity": "CRITICAL",
            "logger": __name__,
            "message": f"Log lines cannot be written and are lost: {error}",
        }
        try:
            os.write(2, json.dumps(report).encode() + b"\n")
        except OSError:
            return  # there is nobody left to tell

    def _enqueue(self, line: bytes) -> None:
        if self._pid != os.getpid():  # threads do not survive a fork, nor may a line be sent twice
            self._pid, self._queue = os.getpid(), queue.Queue(self._capacity)
            arguments = (self._queue,)
            threading.Thread(target=self._drain, args=arguments, name="log", daemon=True).start()
            atexit.register(self.drain)
        try:
            self._queue.put_nowait(line)
        except queue.Full:
            self._dropped += 1
            LOG_RECORDS_DROPPED.inc()

    def _drain(self, waiting: "queue.Queue[bytes]") -> None:
        while True:
            line = waiting.get()
            self.write(line)
            waiting.task_done()
            if self._dropped and waiting.qsize() <= self._capacity // 2:
                self.acquire()
                dropped, self._dropped = self._dropped, 0
                self.release()
                logging.getLogger(__name__).error(
                    "%d log lines were dropped, since nobody read them", dropped
                )

    def drain(self, seconds: float = 5) -> None:
        """Wait until the queued lines are written, at most so long."""
        deadline = time.monotonic() + seconds
        while self._queue.unfinished_tasks:
            if time.monotonic() > deadline:
                return
            time.sleep(0.01)


def drain(seconds: float = 5) -> None:
    """Wait until what the root logger's handlers have queued is written, at most so long each."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, LineHandler):
            handler.drain(seconds)


@cache
def _counter(severity: str) -> Counter:
    return LOG_RECORDS.labels(severity)


@cache
def _shared_lock() -> Any:
    """Return a file that this process and those that it forks can lock."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("log-lock")
    return tempfile.TemporaryFile()
