"""Both charts after installation."""

import json
from datetime import UTC, datetime
from functools import partial

import pytest

from ..running import wait_for
from . import images
from .cluster import restarts
from .web import AUTHOR_LIMIT, HOST, RELEASE_NAME

pytestmark = pytest.mark.cluster
MIB = 2**20


def test_the_releases_pass_their_own_tests(cluster, web):
    for release in ("redis", RELEASE_NAME):
        assert "Succeeded" in cluster.helm("test", release, "--logs").stdout


def test_the_migration_completed_before_the_pods_started(cluster, web):
    events = json.loads(cluster.kubectl("get", "events", "--output=json"))["items"]
    completed = [
        event["reason"]
        for event in events
        if event["involvedObject"]["kind"] == "Job"
        and event["involvedObject"]["name"] == f"{HOST}-migrate"
    ]
    assert "Completed" in completed
    # `--check` fails if a migration is not applied.
    for pod in web.pods():
        cluster.execute(pod.metadata.name, "python", "manage.py", "migrate", "--check")
        assert sum(restarts([pod]).values()) == 0


def test_pods_start_quickly_and_use_little_memory(cluster, web, record):
    started = datetime.now(UTC)

    def memory(pod):
        metrics = cluster.metrics(pod.metadata.name)
        # Older metrics include commands that earlier tests ran in the pods.
        if not metrics or datetime.fromisoformat(metrics["timestamp"]) < started:
            return None
        usages = [container["usage"]["memory"] for container in metrics["containers"]]
        return sum(int(usage.removesuffix("Ki")) * 1024 / MIB for usage in usages)

    pods = web.pods()
    used = [wait_for(partial(memory, pod), "metrics of a pod", 120) for pod in pods]
    seconds = []
    for pod in pods:
        times = {item.type: item.last_transition_time for item in pod.status.conditions}
        seconds.append((times["Ready"] - pod.status.start_time).total_seconds())
    size = cluster.image_bytes(f"{images.repository()}:{images.RELEASE}")
    record(
        "Pod with two workers",
        ready_after_s=max(seconds),
        memory_at_rest_MiB=max(used),
        image_MiB=round(size / MIB) if size else "unknown",
    )
    assert max(used) < 160
    assert max(seconds) < 60


def test_every_line_of_the_log_is_json(cluster, web):
    with web.load(count=200) as load:
        load.finish()
    assert load.results.outcomes == {"200": 200}
    requests = 0
    for pod in web.pods():
        lines = cluster.kubectl("logs", pod.metadata.name).splitlines()
        events = [json.loads(line) for line in lines]
        requests += sum("http.request.method" in event for event in events)
    assert requests >= 200


def increase(before, after):
    """Return the increase of each pod's value; a new pod started at 0."""
    return {pod: value - before.get(pod, 0) for pod, value in after.items()}


def test_metrics_are_on_the_ops_port(web):
    metric = "http_server_request_duration_seconds_count", 'route="api/blogs/"'
    before = web.totals(*metric)
    with web.load("/api/blogs/", count=100) as load:
        load.finish()
    increases = increase(before, web.totals(*metric))

    assert sum(increases.values()) == 100
    # The Service balances connections, and each pod counts only its own requests.
    assert all(increases[pod] for pod in before)


def test_a_limit_holds_across_pods(web, record):
    metric = "throttle_requests_total", 'scope="author_limit"'
    before = web.totals(*metric)
    results = web.admitted(3 * AUTHOR_LIMIT)
    increases = increase(before, web.totals(*metric))

    record(f"Limit of {AUTHOR_LIMIT} over two pods", **{"200": results.outcomes.get("200")})
    assert results.outcomes == {"200": AUTHOR_LIMIT, "429": 2 * AUTHOR_LIMIT}
    assert all(increases[pod] for pod in before)
