"""Replace a worker whose memory grows, before the kernel kills the container.

Only private memory counts, not that which workers share since the fork. A new worker starts before
the old one stops accepting connections; only one is replaced at a time.
"""

import fcntl
import os
import re
import signal
import threading
import time
from mmap import mmap
from pathlib import Path
from typing import Any

from ..conf import settings
from ..logging import log_event
from ..metrics import PRIVATE_MEMORY, WORKER_DRAINS

LIMIT_SHARE = 0.6  # of the container's limit, for all workers; the rest is shared memory and files
INTERVAL = 2.0  # seconds between readings
READINGS = 3  # above the maximum in succession
START_SECONDS = 30.0  # for the new worker
_SMAPS = Path("/proc/self/smaps_rollup")
_CGROUPS = Path("/sys/fs/cgroup")
_PID_BYTES = 8
# The worker that has started last; all processes share it.
_started = mmap(-1, _PID_BYTES)
_replaced = threading.Event()
_UNLIMITED = 2**60  # cgroup v1 has a huge number for no limit


def private_bytes() -> int:
    """Return the memory that this process does not share with others."""
    found = re.findall(r"^Private_\w+: +(\d+) kB", _SMAPS.read_text(), re.MULTILINE)
    return sum(map(int, found)) * 1024


def container_limit(cgroups: Path = _CGROUPS, own: Path = Path("/proc/self/cgroup")) -> int | None:
    """Return the memory limit in bytes of this process's control groups; None if there is none."""
    limits = []
    for line in own.read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            root, name = cgroups, "memory.max"
        elif "memory" in controllers.split(","):
            root, name = cgroups / "memory", "memory.limit_in_bytes"
        else:
            continue
        # Within a container, a path of version 1 can be that of the host, which is not mounted.
        group = root / path.strip("/")
        for folder in (group, *group.parents):
            if folder.is_relative_to(root) and (folder / name).exists():
                limits.append((folder / name).read_text().strip())
    found = [int(limit) for limit in limits if limit != "max" and int(limit) < _UNLIMITED]
    return min(found, default=None)


def maximum_bytes(workers: int) -> int | None:
    """Return how much private memory a worker can use; None if there is no limit."""
    if settings.WORKER_MEMORY_MAX_BYTES:
        return settings.WORKER_MEMORY_MAX_BYTES
    limit = container_limit()
    return int(limit * LIMIT_SHARE / workers) if limit else None


def start(worker: Any) -> None:
    """Observe this worker's memory from a thread. Does nothing if the system is not Linux."""
    if _SMAPS.exists():
        threading.Thread(target=_watch, args=[worker], name="memory", daemon=True).start()


def _watch(worker: Any) -> None:
    maximum = maximum_bytes(worker.cfg.workers)
    gauge = PRIVATE_MEMORY.labels(worker.slot)
    pause = threading.Event()
    above = 0
    while worker.alive:
        used = private_bytes()
        gauge.set(used)
        above = above + 1 if maximum and used > maximum else 0
        if above >= READINGS and _take_turn():
            WORKER_DRAINS.inc()
            data = {"private_bytes": used, "maximum_bytes": maximum}
            log_event("worker_draining", data, level="WARNING")
            _replace(worker)
            return
        pause.wait(INTERVAL)


def _replace(worker: Any) -> None:
    """Let gunicorn start another worker, and then stop this one."""
    before = _started[:]
    os.kill(worker.ppid, signal.SIGTTIN)
    deadline = time.monotonic() + START_SECONDS
    pause = threading.Event()
    while _started[:] == before and time.monotonic() < deadline:
        pause.wait(0.1)
    _replaced.set()
    os.kill(os.getpid(), signal.SIGTERM)


def set_started(pid: int) -> None:
    """Record that a worker has started."""
    _started[:] = pid.to_bytes(_PID_BYTES, "big")


def is_replaced() -> bool:
    """Return whether this worker stops because another one replaces it."""
    return _replaced.is_set()


def _turn_file() -> Path:
    return Path(os.environ["PROMETHEUS_MULTIPROC_DIR"], "draining")


def _take_turn() -> bool:
    """Return whether no other worker is being replaced. The lock is held until the process ends."""
    file = os.open(_turn_file(), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        return False
    os.pwrite(file, str(os.getpid()).encode().ljust(20), 0)
    return True


def was_replaced(pid: int) -> bool:
    """Return whether a worker that has exited had been replaced by another one before."""
    file = _turn_file()
    return file.exists() and file.read_text().strip() == str(pid)
