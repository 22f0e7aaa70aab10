"""Counts are exact, probes respond under load, and alerts query existing metrics."""

import contextlib
import json
import os
import re
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from ..charts.queries import TARGET, selectors
from ..running import wait_for

pytestmark = [pytest.mark.network, pytest.mark.server]


def counted(service):
    """Return the number of counted requests to the view, over all workers."""
    pattern = r'^http_server_request_duration_seconds_count\{.*route="faulty/log/".*\} (.*)$'
    found = re.findall(pattern, service.probe("metrics").body, re.MULTILINE)
    return sum(float(number) for number in found)


def test_counters_are_exact_across_restarts(serve_faulty, tmp_path):
    metrics = tmp_path / "metrics"
    metrics.mkdir()
    files = {"PROMETHEUS_MULTIPROC_DIR": str(metrics)}
    with serve_faulty(WEB_CONCURRENCY="4", **files) as service:
        sent = 0

        def send_requests(count):
            nonlocal sent
            with ThreadPoolExecutor(8) as pool:
                found = list(
                    pool.map(
                        lambda n: service.get("/faulty/log/", X_Request_ID="12345678").status,
                        range(count),
                    )
                )
            sent += count
            assert set(found) == {200}

        def replaced(worker):
            pids = service.workers()
            return worker not in pids and len(pids) == 4 and service.is_ready()

        send_requests(400)
        for number in (signal.SIGKILL, signal.SIGTERM) * 4:
            victim = service.workers()[0]
            os.kill(victim, number)
            wait_for(partial(replaced, victim), "a new worker")
            time.sleep(0.2)  # until the kernel has moved queued connections to the new worker
            send_requests(100)
        before = set(service.workers())
        service.process.send_signal(signal.SIGHUP)
        wait_for(lambda: not before & set(service.workers()), "the old workers to exit")
        wait_for(lambda: service.is_ready() and len(service.workers()) == 4, "the new workers")
        send_requests(400)
        assert counted(service) == sent
        wait_for(
            lambda: "\nhttp_server_active_requests 0.0\n" in service.probe("metrics").body,
            "no active requests",
        )
        slots = {path.stem.rpartition("_")[2] for path in metrics.iterdir()}
        assert len(slots) <= 9  # four workers, four after the reload, and the arbiter


def test_probes_respond_while_every_thread_is_busy(serve_faulty):
    with (
        serve_faulty(WEB_CONCURRENCY="1", WEB_THREADS="2") as service,
        ThreadPoolExecutor(6) as pool,
    ):
        requests = [pool.submit(service.get, "/faulty/sleep/?seconds=2") for _ in range(6)]
        wait_for(
            lambda: "http_server_active_requests 2.0" in service.probe("metrics").body,
            "both threads to be busy",
        )
        while not all(request.done() for request in requests):
            assert service.probe("livez").status == 200
            assert service.probe("readyz").status == 200
        assert {request.result().status for request in requests} == {200}


def test_draining_fails_readiness_and_requests_in_flight_succeed(serve_faulty):
    with serve_faulty() as service, ThreadPoolExecutor(1) as pool:
        request = pool.submit(service.get, "/faulty/sleep/?seconds=3")
        wait_for(
            lambda: "http_server_active_requests 1.0" in service.probe("metrics").body,
            "the request",
        )
        statuses = set()

        def draining():
            with contextlib.suppress(OSError):
                statuses.add(service.probe("readyz").status)
            return 503 in statuses

        service.process.terminate()
        wait_for(draining, "readiness to fail")
        assert request.result().status == 200


def queries(project):
    """Return the expressions of the alert rules and of the dashboard."""
    files = project.path / "helm/web/files"
    rules = yaml.safe_load((files / "alerts.yaml").read_text())["groups"]
    panels = json.loads((files / "dashboard.json").read_text())["panels"]
    return [rule["expr"] for group in rules for rule in group["rules"]] + [
        target["expr"] for panel in panels for target in panel["targets"]
    ]


def test_every_alert_and_panel_queries_existing_metrics_and_labels(serve_faulty, faulty):
    with serve_faulty(THROTTLE_BLOG_LIMIT="2/hour") as service:
        for path in ["/api/blogs/"] * 3 + ["/faulty/fail/"]:
            service.get(path)
        samples = [
            sample
            for family in text_string_to_metric_families(service.probe("metrics").body)
            for sample in family.samples
        ]

    labels = {sample.name: set(sample.labels) for sample in samples}
    found = queries(faulty)
    assert len(found) > 15
    # A labelled metric has no series before its first event; tests/charts checks its declaration.
    without_series = {
        "http_server_rejected_requests_total",
        "database_circuit_open",
        "database_errors_total",
        "process_private_memory_bytes",
    }
    for query in found:
        for name, matched, grouped in selectors(query):
            if name not in without_series:
                assert name in labels, query
                assert matched | grouped <= labels[name] | TARGET, (query, name)


def test_every_alert_has_a_runbook(faulty):
    rules = yaml.safe_load((faulty.path / "helm/web/files/alerts.yaml").read_text())["groups"]
    headings = re.findall(r"^### (.*)$", (faulty.path / "docs/logging.md").read_text(), re.M)
    for rule in rules[0]["rules"]:
        path, _, anchor = rule["annotations"]["runbook_url"].partition("#")
        assert path == "docs/logging.md"
        assert anchor in {heading.lower() for heading in headings}
