"""Run drills against a release on kubectl's current cluster, and print a table.

A drill stops pods, holds locks and uses up connections: run it against a staging release.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from typing import Any

from .cluster import Client, Load, Target, figures

FAILURE_SECONDS = 15  # of a lock, or without free connections
SLOW_CONNECTIONS = 200
_KILL_WORKER = """
import os, pathlib, signal
stats = {path.parent.name: path.read_text() for path in pathlib.Path("/proc").glob("[0-9]*/stat")}
workers = [int(pid) for pid, stat in stats.items() if stat.rpartition(")")[2].split()[1] == "1"]
os.kill(min(workers), signal.SIGKILL)
"""
# PostgreSQL's connections from outside the pool.
_CONNECT = """
import time
import psycopg
from django.db import connection
options = {{k: v for k, v in connection.get_connection_params().items() if k != "options"}}
held = []
deadline = time.monotonic() + {seconds}
while time.monotonic() < deadline:
    try:
        held.append(psycopg.connect(**options))
    except psycopg.OperationalError:
        time.sleep(0.2)
print(len(held))
"""
_LOCK = """
import time
from django.db import connection, transaction
with transaction.atomic():
    connection.cursor().execute("LOCK TABLE {table}")
    time.sleep({seconds})
"""


class Drills:
    """The drills: functions that cause a failure, and return when it has ended."""

    def __init__(self, client: Client, options: argparse.Namespace) -> None:
        self._client, self._target, self._options = client, client.target, options

    def names(self) -> dict[str, Callable[[], None]]:
        """Return the drills that the options allow, by their names in the table."""
        target, options = self._target, self._options
        web = f"deployment/{target.deployment}"
        found: dict[str, Callable[[], None]] = {
            "nothing": lambda: time.sleep(options.seconds),
            "200 idle connections": lambda: self._slow("idle"),
            "200 clients that drip headers": lambda: self._slow("head"),
            "200 clients that drip a body": lambda: self._slow("body"),
            "a worker is killed": self._kill_worker,
            "a pod is deleted by force": lambda: self._delete(web, all_pods=False),
            "all pods are replaced": self._restart,
        }
        if options.redis:
            found["Redis is killed"] = lambda: self._delete(options.redis, all_pods=True)
        if options.database:
            found["PostgreSQL is killed"] = lambda: self._delete(options.database, all_pods=True)
        if options.connections:
            found["PostgreSQL has no connections left"] = lambda: self._django(_CONNECT)
        if options.table:
            found[f"{options.table} is locked"] = lambda: self._django(_LOCK)
        return found

    def run(self, drill: Callable[[], None]) -> dict[str, Any]:
        """Run a drill under load and return its figures."""
        with Load(self._client) as load:
            time.sleep(self._options.seconds / 2)
            failed_at = load.elapsed
            drill()
            time.sleep(self._options.seconds)
        return figures(load.results, failed_at)

    def _slow(self, kind: str) -> None:
        options = {"host": self._target.deployment, "port": self._target.port, "kind": kind}
        process = self._client.start("slow", connections=SLOW_CONNECTIONS, **options)
        time.sleep(self._options.seconds)
        process.communicate()

    def _kill_worker(self) -> None:
        self._target.kubectl("exec", self._target.web_pod(), "--", "python", "-c", _KILL_WORKER)

    def _delete(self, owner: str, all_pods: bool) -> None:
        pods = self._target.pods_of(owner)
        victims = pods if all_pods else pods[:1]
        self._target.kubectl("delete", "pod", *victims, "--grace-period=0", "--force")
        self._target.settle(owner)

    def _restart(self) -> None:
        owner = f"deployment/{self._target.deployment}"
        self._target.kubectl("rollout", "restart", owner)
        self._target.settle(owner)

    def _django(self, script: str) -> None:
        text = script.format(seconds=FAILURE_SECONDS, table=self._options.table)
        pod = self._target.web_pod()
        self._target.kubectl("exec", pod, "--", "python", "manage.py", "shell", "-c", text)


def main() -> None:
    """Run the drills of the command line."""
    options = _parser().parse_args()
    target = Target(
        options.namespace, options.deployment, options.port, options.path or ["/"], options.rate
    )
    results = {}
    with Client(target) as client:
        drills = Drills(client, options)
        for name, drill in drills.names().items():
            print(f"{name} ...", file=sys.stderr, flush=True)
            target.settle(f"deployment/{target.deployment}")
            results[name] = drills.run(drill)
    print(json.dumps(results) if options.json else _table(results))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m service_runtime.drills", description=__doc__)
    add = parser.add_argument
    add("--namespace", required=True)
    add("--deployment", required=True, help="of the web chart; its Service has the same name")
    add("--port", type=int, default=80, help="of the Service (default: 80)")
    add("--path", action="append", help="to request; {n} is a number (default: /)")
    add("--rate", type=float, default=50, help="requests per second (default: 50)")
    add("--seconds", type=float, default=10, help="of load next to each failure (default: 10)")
    add("--redis", help="an object whose pods to kill, such as statefulset/redis")
    add("--database", help="the same for PostgreSQL")
    add("--connections", action="store_true", help="use up PostgreSQL's connections")
    add("--table", help="a table to lock")
    add("--json", action="store_true", help="print JSON instead of a table")
    return parser


def _table(results: dict[str, dict[str, Any]]) -> str:
    columns = ["requests", "failed", "p50 ms", "p99 ms", "recovery s", "failures"]
    lines = [f"| drill | {' | '.join(columns)} |", f"|---{'|---:' * 5}|---|"]
    lines += [
        f"| {name} | {' | '.join(str(values[column]) for column in columns)} |"
        for name, values in results.items()
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
