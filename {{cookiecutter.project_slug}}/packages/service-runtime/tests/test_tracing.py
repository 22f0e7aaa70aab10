"""Traces and error reports arrive at a receiver, without secrets, and only if they are enabled."""

import gzip
import http.server
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from service_runtime import tracing
from tests.logging.conftest import parsed

HEAD = """
import logging, sys
import django
from service_runtime.logging import boot
boot.load_settings("tests", stream="stdout")
django.setup()
from service_runtime import tracing
tracing.start()
"""
TRACED = f"""{HEAD}
from opentelemetry import trace
with trace.get_tracer("tests").start_as_current_span("paying"):
    logging.getLogger("shop").warning("in a span")
    from django.contrib.auth import get_user_model
    from django.db import connection
    with connection.cursor() as cursor:
        cursor.execute("SELECT 17")
logging.getLogger("shop").warning("outside of any span")
trace.get_tracer_provider().force_flush()
"""
ROUTED = f"""{HEAD}
from django.conf import settings
from django.contrib.auth.models import Group
from django.test import Client
from opentelemetry import trace
settings.ROOT_URLCONF, settings.ALLOWED_HOSTS = "tests.fast_path.views", ["testserver"]
Group.objects.count = lambda: 0
client = Client()
for _ in range(3):
    response = client.get("/api/unthrottled/")
assert "fast-path" in response.headers["Cache-Status"]
trace.get_tracer_provider().force_flush()
"""
REPORTED = f"""{HEAD}
import sentry_sdk
password = "HUSH".lower()  # so that no line of the source has it
log = logging.getLogger("shop")
log.warning("a breadcrumb at redis://:%s@host", password)
try:
    raise ValueError(f"on purpose, token={{password}}")
except ValueError:
    log.exception("failed with password=%s", password, extra={{"password": password}})
sentry_sdk.flush()
"""


@pytest.fixture
def receiver():
    """Yield a server's address and what it has received: paths and bodies."""
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


def run(script, **environment):
    """Run a program of the test project, and return its log lines."""
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=Path(__file__).parents[1],
        env=os.environ | {"DJANGO_SETTINGS_MODULE": "tests.settings"} | environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return [parsed(line) for line in done.stdout.splitlines()]


@pytest.mark.skipif("REDIS_URL" not in os.environ, reason="needs REDIS_URL")
def test_spans_of_the_fast_path_have_the_route(receiver):
    pytest.importorskip("opentelemetry.sdk", reason="needs the extra tracing")
    address, received = receiver
    run(ROUTED, OTEL_EXPORTER_OTLP_ENDPOINT=f"http://{address}")
    assert b"".join(body for _, body in received).count(b"http.route") == 3


def test_spans_arrive_and_log_lines_name_them(receiver, tmp_path):
    pytest.importorskip("opentelemetry.sdk", reason="needs the extra tracing")
    address, received = receiver
    (tmp_path / "endpoint").write_text(f"http://{address}")

    # The exporter has to be told an endpoint that comes from a file.
    inside, outside = run(TRACED, OTEL_EXPORTER_OTLP_ENDPOINT_FILE=str(tmp_path / "endpoint"))

    assert {path for path, _ in received} == {"/v1/traces"}
    spans = b"".join(body for _, body in received)
    for part in (b"paying", b"SELECT", b"service.name", b"tests"):
        assert part in spans
    assert bytes.fromhex(inside["trace_id"]) in spans
    assert bytes.fromhex(inside["span_id"]) in spans
    assert not outside.keys() & {"trace_id", "span_id"}


def test_errors_are_reported_without_secrets(receiver):
    pytest.importorskip("sentry_sdk", reason="needs the extra sentry")
    address, received = receiver

    run(REPORTED, SENTRY_DSN=f"http://key@{address}/1")

    reports = b"".join(body for _, body in received)
    assert b"on purpose, token=[redacted]" in reports
    assert b"tests@1.0" in reports
    assert b"a breadcrumb" in reports
    assert b"hush" not in reports


def test_report_is_redacted_like_a_log_line():
    event = {
        "logentry": {"message": "at redis://:hush@host"},
        "extra": {"password": "hush"},
        "request": {"headers": [["Cookie", "hush"]]},
        "exception": {"values": [{"type": "ValueError", "value": "token=hush"}, {"value": None}]},
    }

    assert "hush" not in str(tracing._redacted(event, {}))
    assert tracing._redacted({}, {}) == {}


def test_nothing_is_imported_unless_it_is_enabled():
    names = ["django", "sentry_sdk", "opentelemetry.exporter", "opentelemetry.instrumentation"]
    script = f"{HEAD}print([name for name in {names} if name in sys.modules])"

    (line,) = run(script, OTEL_EXPORTER_OTLP_ENDPOINT="", SENTRY_DSN="")

    assert line["message"] == "['django']"


@pytest.mark.parametrize(
    ("setting", "module", "extra"),
    [
        ("SENTRY_DSN", "sentry_sdk", "sentry"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "opentelemetry", "tracing"),
    ],
)
def test_missing_extra_is_named(settings, monkeypatch, setting, module, extra):
    monkeypatch.setitem(sys.modules, module, None)  # what Python does for a missing package
    setattr(settings, setting, "http://127.0.0.1")

    with pytest.raises(ImproperlyConfigured) as error:
        tracing.start()

    assert str(error.value) == (
        f"{setting} is set, but the extra '{extra}' is not installed: `uv sync --extra {extra}`."
    )
