"""Traces and error reports are delivered, and log lines carry their IDs."""

import gzip
import http.server
import threading
from functools import partial

import pytest

from ..running import Service, wait_for
from ..support import UV, run
from .conftest import PRODUCTION

pytestmark = [pytest.mark.network, pytest.mark.server]
URLS = """
import logging
from django.urls import path
from {package}.urls import urlpatterns as service_urls

def fail(request):
    password = "HUSH".lower()  # not in the source lines of the report
    url = "redis://user:" + password + "@host/0"
    logging.getLogger("shop").error("at %s", url, extra=dict(password=password))
    raise ValueError("on purpose, at " + url)

urlpatterns = [*service_urls, path("fail/", fail)]
"""


@pytest.fixture
def receiver():
    """Return the address of a server, and the paths and bodies of the requests to it."""
    received: list[tuple[str, bytes]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            received.append((self.path, body))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            return

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever).start()
    yield f"127.0.0.1:{server.server_address[1]}", received
    server.shutdown()
    server.server_close()


def test_spans_and_errors_are_delivered_and_log_lines_carry_the_trace(
    project, tmp_path, redis_url, receiver
):
    address, received = receiver
    copy = project.copy(tmp_path)
    run([UV, "sync", "--quiet", "--extra", "tracing", "--extra", "sentry"], cwd=copy.path)
    (copy.path / "failing.py").write_text(URLS.format(package=copy.slug))
    (copy.path / "failing_settings.py").write_text(
        f"from {copy.slug}.settings import *\nROOT_URLCONF = 'failing'\n"
    )
    environment = {
        **PRODUCTION,
        "DATABASE_URL": f"sqlite:///{tmp_path}/db.sqlite3",
        "REDIS_URL": redis_url,
        "CACHE_KEY_PREFIX": "tracing",
        "DJANGO_SETTINGS_MODULE": "failing_settings",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{address}",
        "OTEL_BSP_SCHEDULE_DELAY": "100",
        "SENTRY_DSN": f"http://key@{address}/1",
    }
    python = copy.path / ".venv/bin/python"
    for command in (["migrate", "-v0"], ["load_blogs"], ["collectstatic", "--noinput"]):
        copy.run(python, "manage.py", *command, **environment)
    caller = "0af7651916cd43dd8448eb211c80319c"
    with Service(
        [python, "-m", "gunicorn"], copy.path, tmp_path / "service.log", **environment
    ) as service:
        response = service.get("/api/blogs/", Traceparent=f"00-{caller}-b7ad6b7169203331-01")
        assert service.get("/fail/").status == 500

        def sent(path):
            return b"".join(body for name, body in received if name.startswith(path))

        def has_span(part):
            return part in sent("/v1/traces")

        wait_for(partial(has_span, bytes.fromhex(caller)), "the spans")
        wait_for(lambda: b"on purpose" in sent("/api/1/"), "the error report")
        for part in (b"GET api/blogs/", b"SELECT", b"EVALSHA"):
            wait_for(partial(has_span, part), f"a span with {part!r}")

    request_id = response.headers["X-Request-ID"]
    lines = [line for line in service.lines() if line.get("request_id") == request_id]
    assert lines
    assert {line["trace_id"] for line in lines} == {caller}
    assert b"SECRET_KEY" not in sent("/api/1/")
    assert b"hush" not in sent("/api/1/")


def test_without_a_tracer_log_lines_carry_the_callers_trace(serve, redis_url):
    caller = "0af7651916cd43dd8448eb211c80319c"
    with serve(REDIS_URL=redis_url) as service:
        service.get("/", Traceparent=f"00-{caller}-b7ad6b7169203331-01")
        for invalid in (f"00-{'0' * 32}-b7ad6b7169203331-01", "nonsense", f"ff-{caller}-1-01"):
            service.get("/", Traceparent=invalid, X_Request_ID="is-invalid")

    access = [line for line in service.lines() if line["logger"] == "gunicorn.access"]
    assert (access[0]["trace_id"], access[0]["span_id"]) == (caller, "b7ad6b7169203331")
    assert [line for line in access[1:] if "trace_id" in line] == []
