import os
import subprocess
import sys
import threading

import pytest
from django.http import HttpResponse, StreamingHttpResponse
from django.test import RequestFactory

from service_runtime import metrics


def test_a_file_that_a_worker_is_just_making_is_no_error(monkeypatch, tmp_path):
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    (tmp_path / "counter_1.db").touch()
    script = "from prometheus_client import Counter; Counter('made', 'By another process.').inc(3)"
    subprocess.run([sys.executable, "-c", script], check=True, env=dict(os.environ))

    assert b"made_total 3.0" in metrics.exposition()


def test_what_logs_while_it_counts_does_not_wait_for_itself():
    counter = metrics.LOG_RECORDS.labels("INFO")

    def count():
        with counter._value._lock:  # as a destructor finds it that runs in the midst of counting
            counter.inc()

    thread = threading.Thread(target=count, daemon=True)
    thread.start()
    thread.join(20)
    assert not thread.is_alive()


@pytest.mark.django_db
@pytest.mark.parametrize("streaming", [False, True])
def test_a_request_is_active_until_its_body_is_sent(streaming):
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


def test_a_view_that_raises_is_active_no_longer():
    before = metrics.ACTIVE_REQUESTS._value.get()

    def view(request):
        raise ValueError("on purpose")

    with pytest.raises(ValueError, match="on purpose"):
        metrics.MetricsMiddleware(view)(RequestFactory().get("/"))
    assert metrics.ACTIVE_REQUESTS._value.get() == before
