"""Pods of the service and of its database are evicted or killed under load."""

import kubernetes
import pytest

from ..running import wait_for
from .cluster import restarts

pytestmark = pytest.mark.cluster
# Kills a gunicorn worker. Workers are the children of the container's first process.
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
    """Evict a pod like a node drain; return whether the disruption budget allowed it."""
    name = pod.metadata.name
    metadata = kubernetes.client.V1ObjectMeta(name=name)
    body = kubernetes.client.V1Eviction(metadata=metadata)
    try:
        cluster.core.create_namespaced_pod_eviction(name, cluster.namespace, body)
    except kubernetes.client.ApiException as error:
        if error.status == 429:  # the disruption budget is used up
            return False
        raise
    return True


def test_a_drain_evicts_pods_one_by_one_and_fails_no_request(cluster, web, record):
    pods = web.settle()
    with web.load() as load:
        load.more(100)
        assert evict(cluster, pods[0])
        assert not evict(cluster, pods[1])
        wait_for(lambda: evict(cluster, pods[1]), "the budget to allow another eviction", 120)
        replaced = web.settle()
        load.more(100)

    record("Both pods evicted, 50 requests per second", **load.results.figures())
    assert not names(pods) & names(replaced)
    assert load.results.is_served, load.results.outcomes


def test_a_killed_pod_fails_few_requests(cluster, web, record):
    pods = web.settle()
    victim = pods[0].metadata.name
    with web.load() as load:
        load.more(100)
        cluster.kubectl("delete", "pod", victim, "--grace-period=0", "--force")
        web.settle()
        load.more(100)

    results = load.results
    record(
        "Pod deleted by force, 50 requests per second", **results.figures(), outage_s=results.outage
    )
    # Requests in flight, and those before the Service removed the endpoint.
    assert len(results.failed) <= 25
    assert results.outage < 5


def test_a_killed_worker_fails_only_its_requests_in_flight(cluster, web, record):
    pods = web.settle()
    victim = pods[0].metadata.name
    with web.load() as load:
        load.more(100)
        cluster.execute(victim, "python", "-c", KILL_WORKER)
        load.more(200)

    record("Worker killed, 50 requests per second", **load.results.figures())
    # One for each thread of the worker.
    assert len(load.results.failed) <= 4
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
        wait_for(lambda: web.get("/api/blogs/?e2e=after").status == 200, "a response from it", 60)
        uncached.more(500)

    for kind, load in (("cached", cached), ("uncached", uncached)):
        results = load.results
        title = f"PostgreSQL's pod killed, 50 {kind} requests per second"
        record(title, **results.figures(), outage_s=results.outage)
        assert {item.get("status") for item in results.items[-50:]} == {200}, results.outcomes
        assert set(results.outcomes) <= {"200", "503"}, results.outcomes
        assert results.milliseconds(1) < 4000  # DATABASE_CONNECT_TIMEOUT and one second
    assert cached.results.is_served, cached.results.outcomes
    now = restarts(web.pods())
    assert pods <= set(now)
    assert sum(now.values()) == 0
