"""The programs that drills run in a pod, against a server here."""

import json
import socket
import subprocess
import sys
import threading
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from service_runtime.drills.cluster import figures
from tests.waiting import wait_for


class Server(ThreadingHTTPServer):
    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests = []


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self):
        self.server.requests.append((self.path, self.headers["X-Forwarded-For"]))
        self.send_response(503 if self.path == "/3" else 200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def start(module, **options):
    command = [sys.executable, "-m", f"service_runtime.drills.{module}"]
    pipe = subprocess.PIPE
    return subprocess.Popen([*command, json.dumps(options)], stdin=pipe, stdout=pipe, text=True)


def address(server):
    return {"host": "127.0.0.1", "port": server.server_address[1]}


def test_load_sends_each_request_once(server):
    headers = {"X-Forwarded-For": "198.18.{a}.{b}"}
    options = address(server) | {"paths": ["/{n}"], "headers": headers, "count": 300, "threads": 8}
    with start("load", **options) as load:
        *_, last = load.stdout
        results = json.loads(last)

    expected = [(f"/{n}", f"198.18.{n >> 8}.{n & 255}") for n in range(300)]
    assert sorted(server.requests) == sorted(expected)
    assert [result["status"] for result in results].count(503) == 1
    assert len(results) == 300


def test_load_ends_with_its_input_and_records_errors(server):
    options = address(server) | {"paths": ["/"], "headers": {}, "count": 10**9, "rate": 100}
    with start("load", **options) as load:
        wait_for(lambda: len(server.requests) > 10)
        server.socket.close()
        server.shutdown()
        load.stdin.close()
        *_, last = load.stdout

    assert load.returncode == 0
    assert len(json.loads(last)) >= len(server.requests)


@pytest.mark.parametrize(
    ("kind", "received"), [("idle", b""), ("head", b"GET / HTTP"), ("body", b"POST / HTTP")]
)
def test_slow_clients_hold_connections_until_their_input_ends(kind, received):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        options = {"host": "127.0.0.1", "port": listener.getsockname()[1]}
        with ExitStack() as stack, start("slow", connections=5, kind=kind, **options) as slow:
            clients = [stack.enter_context(listener.accept()[0]) for _ in range(5)]
            for client in clients:
                assert client.recv(len(received)) == received
            assert slow.poll() is None
            slow.stdin.close()

    assert slow.returncode == 0


def test_figures_of_a_failure():
    results: list[dict[str, Any]] = [
        {"start": second, "duration": 0.01, "status": 200} for second in range(100)
    ]
    results[20] = {"start": 20, "duration": 2, "status": 503}
    results[30] = {"start": 30, "duration": 5, "error": "TimeoutError: timed out"}

    assert figures(results, failed_at=18) == {
        "requests": 100,
        "failed": 2,
        "p50 ms": 10,
        "p99 ms": 2000,
        "recovery s": 17,
        "failures": "1 x 503, 1 x TimeoutError: timed out",
    }
    assert figures(results[:10], failed_at=5)["recovery s"] == 0
