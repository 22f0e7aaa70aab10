"""More load than two pods can bear, and than all can."""

import time

import pytest

from ..running import wait_for
from .cluster import is_ready, restarts
from .web import HOST

pytestmark = pytest.mark.cluster
# Computed anew for each request: a few of them keep a pod busy.
EXPENSIVE = "/api/schema/"


def test_pods_follow_the_load(cluster, web, record):
    web.settle()
    with web.load(EXPENSIVE, rate=30, threads=48) as load:
        began = time.monotonic()
        wait_for(lambda: desired(cluster) > 2, "more pods to be wanted", 120)
        decided = time.monotonic() - began
        wait_for(lambda: sum(map(is_ready, web.pods())) > 2, "more pods to be ready", 60)
        ready = time.monotonic() - began
        load.more(50)
    # Requests go on, but few of them: pods are taken away under load.
    ended = time.monotonic()
    with web.load() as light:
        web.settle(240)
        light.more(100)

    record(
        "Scaling out under load",
        decided_after_s=decided,
        ready_after_s=ready,
        in_again_after_s=time.monotonic() - ended,
        **load.answers.figures(),
    )
    record("Scaling in, 50 requests a second", **light.answers.figures())
    assert decided < 60
    assert load.answers.failed == []
    assert light.answers.failed == []


def test_no_probe_restarts_a_pod_that_has_too_much_to_do(cluster, web, record):
    web.settle()
    # As fast as the threads go, for longer than it takes a probe to give up.
    with web.load(EXPENSIVE, rate=None, threads=40, seconds=90) as load:
        load.finish()
        pods = web.pods()

    record("Overload", pods=len(pods), outcomes=load.answers.outcomes, **load.answers.figures())
    assert len(pods) == 4
    assert sum(restarts(pods).values()) == 0
    assert load.answers.failed == []


def desired(cluster):
    """Return how many pods the autoscaler wants."""
    scaler = cluster.autoscaling.read_namespaced_horizontal_pod_autoscaler(HOST, cluster.namespace)
    return scaler.status.desired_replicas
