"""Pods of the service and of its database end, as they wish or not, while requests come in."""

import kubernetes
import pytest

from ..running import wait_for
from .cluster import restarts

pytestmark = pytest.mark.cluster
# Kills one of gunicorn's workers, which are the children of the container's first process.
KILL_WORKER = """
import os, pathlib, signal
workers = [
    int(path.parent.name)
    for path in pathlib.Path("/proc").glob("[0-9]*/stat")
    if path.read_text().rpartition(")")[2].split()[1] == "1"
]
os.kill(min(workers), signal.SIGKILL)
"""


def names(pods):
    """Return the pods' names."""
    return {pod.metadata.name for pod in pods}


def evict(cluster, pod):
    """Ask for a pod's end as a drain of its node does; tell whether it was granted."""
    name = pod.metadata.name
    metadata = kubernetes.client.V1ObjectMeta(name=name)
    body = kubernetes.client.V1Eviction(metadata=metadata)
    try:
        cluster.core.create_namespaced_pod_eviction(name, cluster.namespace, body)
    except kubernetes.client.ApiException as error:
        if error.status == 429:  # too many requests: the disruption budget is used up
            return False
        raise
    return True


def test_a_drain_takes_pods_one_by_one_and_fails_no_request(cluster, web, record):
    pods = web.settle()
    with web.load() as load:
        load.more(100)
        assert evict(cluster, pods[0])
        assert not evict(cluster, pods[1])
        wait_for(lambda: evict(cluster, pods[1]), "the budget to allow another eviction", 120)
        replaced = web.settle()
        load.more(100)

    record("Both pods evicted, 50 requests a second", **load.answers.figures())
    assert not names(pods) & names(replaced)
    assert load.answers.failed == []


def test_a_pod_that_is_killed_costs_little(cluster, web, record):
    pods = web.settle()
    victim = pods[0].metadata.name
    with web.load() as load:
        load.more(100)
        cluster.kubectl("delete", "pod", victim, "--grace-period=0", "--force")
        web.settle()
        load.more(100)

    answers = load.answers
    record(
        "Pod deleted by force, 50 requests a second", **answers.figures(), outage_s=answers.outage
    )
    # What it was answering, and what came before the Service had forgotten it.
    assert len(answers.failed) <= 25
    assert answers.outage < 5


def test_a_worker_that_is_killed_costs_what_it_was_answering(cluster, web, record):
    pods = web.settle()
    victim = pods[0].metadata.name
    with web.load() as load:
        load.more(100)
        cluster.execute(victim, "python", "-c", KILL_WORKER)
        load.more(200)

    record("Worker killed, 50 requests a second", **load.answers.figures())
    # As many as a worker has threads.
    assert len(load.answers.failed) <= 4
    log = cluster.kubectl("logs", victim)
    assert "SIGKILL" in log
    assert sum(restarts(web.settle()).values()) == 0


def test_the_service_survives_its_database(cluster, web, record):
    pods = names(web.settle())
    old = cluster.core.read_namespaced_pod("postgres-0", cluster.namespace)
    with web.load("/api/blogs/") as cached, web.load("/api/blogs/?e2e=d{n}") as uncached:
        uncached.more(100)
        cluster.kubectl("delete", "pod", "postgres-0", "--grace-period=0", "--force")

        def replaced():
            pod = cluster.wait_ready("postgres-0")
            return pod.metadata.uid != old.metadata.uid

        wait_for(replaced, "another PostgreSQL", 120)
        wait_for(lambda: web.get("/api/blogs/?e2e=after").status == 200, "an answer from it", 60)
        uncached.more(500)

    for what, load in (("cached", cached), ("uncached", uncached)):
        answers = load.answers
        title = f"PostgreSQL's pod killed, 50 {what} requests a second"
        record(title, **answers.figures(), outage_s=answers.outage)
        assert {item.get("status") for item in answers.items[-50:]} == {200}, answers.outcomes
    now = restarts(web.pods())
    assert pods <= set(now)
    assert sum(now.values()) == 0
