import os
import subprocess
import sys
import threading
from pathlib import Path

from django.http import HttpResponse
from django.test import RequestFactory
from prometheus_client import REGISTRY

from service_runtime import metrics


def test_scrape_ignores_a_file_that_a_worker_is_creating(monkeypatch, tmp_path):
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    (tmp_path / "counter_1.db").touch()
    script = (
        "from prometheus_client import Counter; Counter('created', 'By another process.').inc(3)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, env=dict(os.environ))

    assert b"created_total 3.0" in metrics.exposition()


def test_counter_is_reentrant_for_a_destructor_that_logs():
    counter = metrics.LOG_RECORDS.labels("INFO")

    def count():
        with counter._value._lock:  # as if a destructor ran during `inc`
            counter.inc()

    thread = threading.Thread(target=count, daemon=True)
    thread.start()
    thread.join(20)
    assert not thread.is_alive()


WORKERS = """
import os
from service_runtime import metrics
for slot in ("worker-1", "worker-2", "worker-1"):  # the third replaces the first
    metrics.next_slot(slot)
    child = os.fork()
    if not child:
        metrics.LOG_RECORDS.labels("INFO").inc()
        os.kill(os.getpid(), 9)
    os.waitpid(child, 0)
print(metrics.exposition().decode())
print(*sorted(os.listdir(os.environ["PROMETHEUS_MULTIPROC_DIR"])))
"""


def test_counters_are_exact_across_replaced_and_killed_workers(tmp_path):
    environment = {
        **os.environ,
        "PROMETHEUS_MULTIPROC_DIR": str(tmp_path),
        "DJANGO_SETTINGS_MODULE": "tests.settings",
    }
    command = [sys.executable, "-W", "ignore", "-c", WORKERS]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)

    assert 'log_records_total{severity="INFO"} 3.0' in done.stdout
    files = done.stdout.splitlines()[-1].split()
    assert {file.rpartition("_")[2] for file in files} == {
        *("arbiter.db", "worker-1.db", "worker-2.db")
    }


def test_scrape_ignores_a_file_that_disappears(monkeypatch, tmp_path):
    gone = Path(tmp_path, "gauge_livesum_worker-1.db")
    assert not metrics._has_content(gone)


def test_duration_is_measured_by_route_and_method():
    def get(method):
        labels = {"method": method, "route": "unmatched", "status": "200"}
        name = "http_server_request_duration_seconds_count"
        return REGISTRY.get_sample_value(name, labels) or 0

    def view(request):
        request.resolver_match = None
        return HttpResponse()

    before = get("GET"), get("other")
    for method in ("GET", "BREW"):
        metrics.MetricsMiddleware(view)(RequestFactory().generic(method, "/"))

    assert (get("GET"), get("other")) == (before[0] + 1, before[1] + 1)
