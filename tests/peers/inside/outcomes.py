"""A pytest plugin that writes the outcome of each test to the file PEERS_OUTCOMES.

The file is JSON: `{"counts": {outcome: number}, "failed": {test ID: last line of its error}}`.
"""

import json
import os
from collections import Counter

_counts: Counter[str] = Counter()
_failed: dict[str, str] = {}


def write(counts: dict[str, int], failed: dict[str, str]) -> None:
    """Write the file."""
    with open(os.environ["PEERS_OUTCOMES"], "w", encoding="utf-8") as output:
        json.dump({"counts": counts, "failed": failed}, output)


def pytest_collectreport(report) -> None:
    if report.failed:
        _failed[report.nodeid] = str(report.longrepr).splitlines()[-1]


def pytest_runtest_logreport(report) -> None:
    if report.failed:
        crash = getattr(report.longrepr, "reprcrash", None)
        message = crash.message if crash else str(report.longrepr)
        _failed.setdefault(report.nodeid, message.splitlines()[0])
    elif report.when == "call" or report.skipped:
        _counts["xfailed" if hasattr(report, "wasxfail") else report.outcome] += 1


def pytest_sessionfinish() -> None:
    write(_counts, _failed)
