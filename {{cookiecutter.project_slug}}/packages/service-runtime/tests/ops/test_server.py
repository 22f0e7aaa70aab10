import http.client
import json
import logging
import os
import socket
import socketserver
import struct
import subprocess
import sys
import threading
import time

import pytest

from service_runtime.ops import health
from service_runtime.ops import server as ops


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def port(monkeypatch):
    """Return the port of an operations server in this process."""
    monkeypatch.setattr(health._database_check, "run", lambda timeout: "ok")
    number = free_port()
    server = ops._Server("127.0.0.1", number, lambda: False)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield number
    server.shutdown()
    thread.join()
    server.server_close()


def fetch(port, method, path):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request(method, path)
    response = connection.getresponse()
    result = response.status, response.read(), response.headers
    connection.close()
    return result


@pytest.mark.parametrize(
    ("path", "status"),
    [("/livez", 200), ("/startupz?verbose", 200), ("/metrics", 200), ("/", 404), ("/admin", 404)],
)
def test_status_and_length_of_each_path(port, path, status):
    found, body, headers = fetch(port, "GET", path)

    assert found == status
    assert len(body) == int(headers["Content-Length"]) > 0
    assert "Server" not in headers


def test_unknown_method_does_not_reveal_the_server(port):
    status, body, headers = fetch(port, "BREW", "/livez")

    assert status == 501
    assert "Server" not in headers
    assert b"Python" not in body


def test_head_response_has_no_body(port):
    status, body, headers = fetch(port, "HEAD", "/metrics")

    assert (status, body) == (200, b"")
    assert int(headers["Content-Length"]) > 0


def test_connection_reset_leaves_no_traceback(port, capfd, caplog):
    with caplog.at_level(logging.INFO):
        for _ in range(20):
            client = socket.create_connection(("127.0.0.1", port))
            client.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
            # With this option, closing sends a reset.
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
        assert fetch(port, "GET", "/livez")[0] == 200

    assert capfd.readouterr().err == ""
    assert caplog.records == []


@pytest.mark.parametrize(("migrated", "status"), [(True, 200), (False, 503)])
def test_readiness_sets_the_status(port, monkeypatch, migrated, status):
    monkeypatch.setattr(health, "_migrated", bytes([migrated]))
    found, body, headers = fetch(port, "GET", "/readyz")

    assert found == status
    assert json.loads(body)["migrated"] is migrated
    assert headers["Content-Type"] == "application/json"


def test_error_in_a_probe_is_logged(port, monkeypatch, caplog):
    def fail(**kwargs):
        raise ZeroDivisionError

    monkeypatch.setattr(ops, "readiness", fail)
    with pytest.raises(http.client.RemoteDisconnected):
        fetch(port, "GET", "/readyz")

    (record,) = caplog.records
    assert record.message == "The operations port failed to respond"
    assert record.exc_info[0] is ZeroDivisionError


def test_workers_share_a_port(port):
    other = ops._Server("127.0.0.1", port, lambda: False)
    assert other.socket.getsockname() == ("127.0.0.1", port)
    other.server_close()


def test_address_family_follows_the_host(monkeypatch):
    monkeypatch.setattr(socketserver.TCPServer, "__init__", lambda self, *args: None)

    assert ops._Server("::1", 0, lambda: False).address_family == socket.AF_INET6
    assert ops._Server("127.0.0.1", 0, lambda: False).address_family == socket.AF_INET


@pytest.mark.parametrize(
    ("limit", "busy", "is_stuck"),
    [(10, [20, 11], True), (10, [20, 9], False), (10, [20], False), (0, [20, 20], False)],
)
def test_process_is_stuck_when_all_threads_exceed_the_limit(
    settings, monkeypatch, limit, busy, is_stuck
):
    settings.STUCK_SECONDS = limit
    now = time.monotonic()
    since = {thread: now - seconds for thread, seconds in enumerate(busy)}
    monkeypatch.setattr(ops, "busy_since", since)
    stuck = ops.stuck_threads(2)

    assert [int(seconds) for seconds in stuck.values()] == (busy if is_stuck else [])


WORKER = """
import sys, threading, time
import django
django.setup()
from service_runtime import metrics
from service_runtime.conf import settings
from service_runtime.ops import start
draining = threading.Event()
start("127.0.0.1", int(sys.argv[1]), threads=1, draining=draining.is_set)
assert metrics.REQUEST_THREADS._value.get() == 1
metrics.busy_since[threading.get_ident()] = time.monotonic()
draining.set()
threading.Event().wait(60)
"""


def test_stuck_worker_exits_and_its_log_says_why():
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings", "STUCK_SECONDS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", WORKER, str(free_port())],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    events = {line.get("ev"): line["data"] for line in map(json.loads, done.stdout.splitlines())}

    assert done.returncode == ops.EXIT_STUCK, done.stderr
    assert events["stopping"] == {"active_requests": 1}
    assert "in wait" in events["thread_stuck"]["stack"]
    assert events["thread_stuck"]["seconds"] >= 1
    assert events["worker_stuck"] == {"threads": 1}
