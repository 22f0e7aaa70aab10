"""Failures of the service's clients and of its database under load."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ..running import wait_for
from ..support import ROOT
from . import images
from .cluster import restarts
from .web import HOST

pytestmark = pytest.mark.cluster
# Seconds: the longest limit of a request (DATABASE_STATEMENT_TIMEOUT and a half), and one more.
LONGEST = 11.5
LOCK = """
import time
from django.db import connection, transaction
with transaction.atomic():
    connection.cursor().execute("LOCK TABLE blog_blog")
    time.sleep(60)
"""


def drill(cluster, *options):
    """Run the generated service's drills and return the figures of each."""
    command = [sys.executable, "-m", "service_runtime.drills", "--json", "--rate=50", "--seconds=5"]
    target = ["--namespace", cluster.namespace, "--deployment", HOST]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "runtime/src")}
    done = subprocess.run(
        [*command, *target, *options],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def test_drills(cluster, web, record):
    web.settle()
    drills = ["--redis=statefulset/redis", "--database=statefulset/postgres", "--connections"]
    paths = ["--path=/api/blogs/", "--path=/api/blogs/?drill={n}"]
    figures = drill(cluster, *drills, "--table=blog_blog", *paths)

    for name, values in figures.items():
        record(f"Drill: {name}, 50 requests per second", **values)
    slow = [name for name in figures if name.startswith("200 ")]
    assert len(slow) == 3
    for name in [*slow, "nothing", "all pods are replaced", "Redis is killed"]:
        assert figures[name]["failed"] <= figures[name]["requests"] / 200, name
        assert not figures[name]["failed"] or figures[name]["failures"].endswith(" x 503"), name
    assert figures["a worker is killed"]["failed"] <= 4  # one for each of its threads
    assert figures["a pod is deleted by force"]["failed"] <= 25
    for name in (
        "PostgreSQL is killed",
        "PostgreSQL has no connections left",
        "blog_blog is locked",
    ):
        assert " 500" not in f" {figures[name]['failures']}", name


def is_locked(cluster):
    """Return whether a transaction holds the lock."""
    query = "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted"
    return cluster.query(query) != "0"


def test_locked_table_and_a_release_that_alters_it(cluster, web, record):
    pod = web.settle()[0].metadata.name
    command = ["kubectl", "--namespace", cluster.namespace, "exec", pod, "--"]
    with (
        web.load("/api/blogs/?locked={n}", rate=25) as locked,
        web.load("/api/blogs/", "/api/schema/", rate=10) as others,
        subprocess.Popen([*command, "python", "manage.py", "shell", "-c", LOCK]) as lock,
    ):
        wait_for(lambda: is_locked(cluster), "the lock", 30)
        web.upgrade("--timeout=300s", image={"tag": images.ALTERING})
        lock.wait()
        wait_for(lambda: web.get("/api/blogs/?locked=after").status == 200, "the table", 30)
        locked.more(50)

    record("Table locked 60 s and altered by a release, its requests", **locked.results.figures())
    record("Table locked 60 s and altered by a release, others", **others.results.figures())
    assert others.results.is_served, others.results.outcomes
    assert set(locked.results.outcomes) <= {"200", "503"}, locked.results.outcomes
    assert locked.results.milliseconds(1) < 1000 * LONGEST
    assert {item["status"] for item in locked.results.items[-40:]} == {200}
    new = web.settle()[0].metadata.name
    listed = cluster.execute(new, "python", "manage.py", "showmigrations", "blog")
    assert f"[X] {images.ALTERING_MIGRATION}" in listed
    assert sum(restarts(web.pods()).values()) == 0


def processes_of(pod):
    """Return the processes of a pod, if its node is this machine."""
    names = {pod.metadata.uid, pod.metadata.uid.replace("-", "_")}
    found = []
    for path in Path("/proc").glob("[0-9]*/cgroup"):
        with contextlib.suppress(OSError):
            if any(name in path.read_text() for name in names):
                found.append(int(path.parent.name))
    return found


@contextlib.contextmanager
def suspended(processes):
    """Suspend processes."""
    for process in processes:
        os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        for process in processes:
            os.kill(process, signal.SIGCONT)


@contextlib.contextmanager
def unreachable(processes):
    """Drop all packets of the processes' network namespace."""
    network = ["nsenter", f"--target={processes[0]}", "--net", "ip", "link", "set", "eth0"]
    routes = ["nsenter", f"--target={processes[0]}", "--net", "ip", "route"]
    before = subprocess.check_output([*routes, "show", "default"], text=True).split()
    subprocess.run([*network, "down"], check=True)
    try:
        yield
    finally:
        subprocess.run([*network, "up"], check=True)
        subprocess.run([*routes, "replace", *before], check=False)


@pytest.mark.parametrize("failure", [suspended, unreachable])
def test_database_that_does_not_respond(cluster, web, record, failure):
    web.settle()
    processes = processes_of(cluster.core.read_namespaced_pod("postgres-0", cluster.namespace))
    if not processes:
        pytest.skip("The node of PostgreSQL is not this machine")
    options = {"rate": 25, "threads": 400}
    with (
        web.load("/api/blogs/", **options) as cached,
        web.load(f"/api/blogs/?{failure.__name__}={{n}}", **options) as uncached,
    ):
        uncached.more(100)
        with failure(processes):
            uncached.more(25 * 20)
        returned = time.monotonic() - uncached.started
        uncached.more(25 * 10)

    record(f"PostgreSQL {failure.__name__} 20 s, cached", **cached.results.figures())
    record(f"PostgreSQL {failure.__name__} 20 s, uncached", **uncached.results.figures())
    assert cached.results.is_served, cached.results.outcomes
    assert set(uncached.results.outcomes) <= {"200", "503"}, uncached.results.outcomes
    assert uncached.results.milliseconds(1) < 1000 * LONGEST
    late = [item["status"] for item in uncached.results.items if item["start"] > returned + 2]
    assert set(late) == {200}


def test_leaking_workers_are_replaced_without_a_failed_request(cluster, web, record):
    values = {
        "image": {"tag": images.LEAKING},
        "env": {"DJANGO_SETTINGS_MODULE": images.LEAK_SETTINGS},
        "resources": {"limits": {"memory": "1536Mi"}},
        "autoscaling": {"maxReplicas": 2},
    }
    web.upgrade(**values)
    pods = web.settle()

    def drains():
        try:
            return sum(web.totals("worker_drains_total").values())
        except AssertionError:  # the scraped worker was about to exit
            return 0

    # About 8 MiB a second for each of the four workers.
    with web.load("/leak/", rate=32) as load:
        wait_for(lambda: drains() >= 10, "ten replacements", 300)

    record("Ten leaking workers replaced, 32 requests per second", **load.results.figures())
    assert load.results.is_served, load.results.outcomes
    assert sum(restarts(web.pods()).values()) == 0
    for pod in pods:
        assert "out of memory" not in cluster.kubectl("logs", pod.metadata.name)
