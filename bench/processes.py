"""Processor time and memory of processes and their descendants, from /proc."""

import os
import re
from pathlib import Path

from tests.running import descendants

TICK = os.sysconf("SC_CLK_TCK")


def processor_time(pid: int) -> float:
    """Return the microseconds of a process and its descendants, living and waited for."""
    ticks = 0
    for each in (pid, *descendants(pid)):
        fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        ticks += sum(map(int, fields[11:15] if each == pid else fields[11:13]))
    return ticks * 1e6 / TICK


def proportional_memory(pid: int) -> float:
    """Return the MiB of a process and its descendants; each shares its common pages' size (PSS)."""
    total = 0
    for each in (pid, *descendants(pid)):
        rollup = Path(f"/proc/{each}/smaps_rollup").read_text()
        total += sum(map(int, re.findall(r"^Pss: +(\d+)", rollup, re.MULTILINE)))
    return total / 1024
