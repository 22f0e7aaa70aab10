"""Load above the capacity of two pods, and of all pods."""

import time

import pytest

from ..running import wait_for
from .cluster import is_ready, restarts
from .web import HOST

pytestmark = pytest.mark.cluster
# Computed for each request; a few requests saturate a pod.
EXPENSIVE = "/api/schema/"


def test_pods_scale_out_and_in_with_the_load(cluster, web, record):
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
    with web.load() as light:
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
    assert load.results.failed == []
    assert light.results.failed == []


def test_no_probe_restarts_an_overloaded_pod(cluster, web, record):
    web.settle()
    # As fast as possible, for longer than the probes tolerate failures.
    with web.load(EXPENSIVE, rate=None, threads=40, seconds=90) as load:
        load.finish()
        pods = web.pods()

    record("Overload", pods=len(pods), outcomes=load.results.outcomes, **load.results.figures())
    assert len(pods) == 4
    assert sum(restarts(pods).values()) == 0
    assert load.results.failed == []


def desired(cluster):
    """Return the autoscaler's desired number of pods."""
    scaler = cluster.autoscaling.read_namespaced_horizontal_pod_autoscaler(HOST, cluster.namespace)
    return scaler.status.desired_replicas
