"""Load above the capacity of two pods, and of all pods."""

import threading
import time

import pytest

from ..running import wait_for
from .cluster import is_ready, restarts
from .web import HOST

pytestmark = pytest.mark.cluster
# Computed for each request; a few requests saturate a pod.
EXPENSIVE = "/api/schema/"


def test_pods_scale_out_and_in_with_the_load(cluster, web, record):
    # 200m: less than the expensive requests use, and more than the light ones, on any node.
    web.upgrade(autoscaling={"targetCPUUtilizationPercentage": 100})
    web.settle()
    with web.load(EXPENSIVE, rate=30, threads=48) as load:
        started = time.monotonic()
        wait_for(lambda: desired(cluster) > 2, "a scale-out", 120)
        decided = time.monotonic() - started
        wait_for(lambda: sum(map(is_ready, web.pods())) > 2, "more pods to be ready", 60)
        ready = time.monotonic() - started
        load.more(50)
    # A light load continues, so that pods are removed under load.
    ended = time.monotonic()
    with web.load("/api/blogs/") as light:
        web.settle(240)
        light.more(100)

    record(
        "Scaling out under load",
        decided_after_s=decided,
        ready_after_s=ready,
        in_again_after_s=time.monotonic() - ended,
        **load.results.figures(),
    )
    record("Scaling in, 50 requests per second", **light.results.figures())
    assert decided < 60
    assert load.results.is_served, load.results.outcomes
    assert light.results.is_served, light.results.outcomes


def test_no_probe_restarts_an_overloaded_pod(cluster, web, record):
    web.settle()
    # As fast as possible, for longer than the probes tolerate failures.
    with web.load(EXPENSIVE, rate=None, threads=40, seconds=90) as load:
        load.finish()
        pods = web.pods()

    record("Overload", pods=len(pods), outcomes=load.results.outcomes, **load.results.figures())
    assert len(pods) == 4
    assert sum(restarts(pods).values()) == 0
    # Requests that waited too long for a thread.
    assert set(load.results.outcomes) == {"200", "503"}


def desired(cluster):
    """Return the autoscaler's desired number of pods."""
    scaler = cluster.autoscaling.read_namespaced_horizontal_pod_autoscaler(HOST, cluster.namespace)
    return scaler.status.desired_replicas


class Connections:
    """The largest number of PostgreSQL's client connections during a `with` block."""

    def __init__(self, cluster):
        self._cluster, self.peak = cluster, 0

    def __enter__(self):
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample)
        self._thread.start()
        return self

    def _sample(self):
        query = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
        while not self._ended.wait(1):
            found = int(self._cluster.query(query)) - 1  # without this query's
            self.peak = max(self.peak, found)

    def __exit__(self, *error):
        self._ended.set()
        self._thread.join()


def test_connections_stay_within_the_budget(cluster, web, record):
    budget = 51  # of six pods, which the chart computes
    values = {"maxReplicas": 6, "targetCPUUtilizationPercentage": 20}
    web.upgrade(autoscaling=values, database={"maxConnections": budget})
    rejected = web.upgrade(autoscaling=values, database={"maxConnections": budget - 1}, check=False)
    with Connections(cluster) as connections, web.load(rate=100, threads=96) as load:
        wait_for(lambda: sum(map(is_ready, web.pods())) == 6, "six pods", 180)
        web.restart()
        load.more(200)

    record(
        "Scaling from 2 to 6 and a rollout, 100 requests per second",
        **load.results.figures(),
        connections=connections.peak,
        budget=budget,
    )
    assert f"the release can open {budget} connections" in rejected.stdout
    assert 0 < connections.peak <= budget
    assert load.results.is_served, load.results.outcomes
