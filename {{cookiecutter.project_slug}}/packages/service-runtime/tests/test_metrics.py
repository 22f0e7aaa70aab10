import os
import subprocess
import sys
import threading

import pytest
from django.http import HttpResponse, StreamingHttpResponse
from django.test import RequestFactory

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


@pytest.mark.django_db
@pytest.mark.parametrize("streaming", [False, True])
def test_request_is_active_until_its_body_is_sent(streaming):
    active = metrics.ACTIVE_REQUESTS._value
    before = active.get()
    seen = []

    def body():
        seen.append(active.get() - before)
        yield b"part"

    def view(request):
        seen.append(active.get() - before)
        response = StreamingHttpResponse(body()) if streaming else HttpResponse("whole")
        request.resolver_match = None
        return response

    response = metrics.MetricsMiddleware(view)(RequestFactory().get("/"))
    b"".join(response)
    response.close()
    response.close()

    assert seen == [1, 1] if streaming else [1]
    assert active.get() == before


def test_request_is_not_active_after_its_view_raises():
    before = metrics.ACTIVE_REQUESTS._value.get()

    def view(request):
        raise ValueError("on purpose")

    with pytest.raises(ValueError, match="on purpose"):
        metrics.MetricsMiddleware(view)(RequestFactory().get("/"))
    assert metrics.ACTIVE_REQUESTS._value.get() == before
