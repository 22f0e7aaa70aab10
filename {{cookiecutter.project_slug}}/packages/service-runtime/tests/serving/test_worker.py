"""The worker under gunicorn: slow clients, idle connections, overload, and its limits.

One process with two threads serves a WSGI application, so that two slow clients would stop it if
they held threads.
"""

import json
import os
import re
import resource
import select
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from http.client import HTTPConnection
from pathlib import Path
from types import SimpleNamespace
from urllib.request import urlopen

import pytest
from gunicorn.config import Config

from service_runtime.serving import connection
from service_runtime.serving.worker import Worker
from tests.serving.test_gunicorn import free_port
from tests.waiting import wait_for

ROOT = Path(__file__).parents[2]
BODY_MAX, CONNECTIONS_MAX, THREADS = 300_000, 100, 2
CONFIGURATION = f"""
from service_runtime.serving import gunicorn
globals().update(gunicorn.configuration("acme"))
wsgi_app, worker_connections = "application:application", {CONNECTIONS_MAX}
"""
APPLICATION = """
import os, threading
import django
django.setup()
gate = os.environ["GATE"]
leaked = []
def wait():
    while os.path.exists(gate):
        threading.Event().wait(0.02)
def stream():
    yield b"part"
    wait()
def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/error":
        raise ValueError("on purpose")
    if path == "/stream":
        start_response("200 OK", [])
        return stream()
    if path == "/length":
        start_response("200 OK", [("Content-Length", "4")])
        return stream()
    if path == "/wait":
        wait()
    if path == "/pieces":
        start_response("200 OK", [])
        return (b"x" * 65536 for _ in range(1000))
    if path == "/leak":
        leaked.append(b"x" * 4_000_000)
    body = environ["wsgi.input"].read() if path == "/echo" else b"x" * 20_000_000 * (path == "/big")
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""


class Server:
    """A running gunicorn."""

    def __init__(self, folder, configuration="", **environment):
        self.port, self.ops_port = int(free_port()), int(free_port())
        self.gate, self.log = folder / "gate", folder / "log"
        (folder / "gunicorn.conf.py").write_text(CONFIGURATION + configuration)
        (folder / "application.py").write_text(APPLICATION)
        self._environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("LOG_", "PROMETHEUS_"))},
            "DJANGO_SETTINGS_MODULE": "tests.settings",
            "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}",
            "PORT": str(self.port),
            "OPS_PORT": str(self.ops_port),
            "WEB_CONCURRENCY": "1",
            "WEB_THREADS": str(THREADS),
            "GATE": str(self.gate),
            "REQUEST_HEAD_SECONDS": "1",
            "REQUEST_BODY_SECONDS": "2",
            "REQUEST_BODY_MAX_BYTES": str(BODY_MAX),
            "QUEUE_SECONDS": "0.3",
            **environment,
        }
        self._folder = folder

    def __enter__(self):
        with self.log.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gunicorn"],
                cwd=self._folder,
                env=self._environment,
                stdout=output,
            )
        wait_for(self.is_up, seconds=120)
        return self

    def __exit__(self, *error):
        self.gate.unlink(missing_ok=True)
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(60) == 0

    def is_up(self):
        assert self.process.poll() is None, "gunicorn exited"
        try:
            return self.get("/")
        except OSError:
            return None

    def get(self, path, method="GET", **arguments):
        """Return the status, headers and body of a request on a new connection."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, **arguments)
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        finally:
            connection.close()

    @contextmanager
    def client(self, data=b""):
        """Connect, and send something."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=15) as client:
            client.sendall(data)
            yield client

    def exchange(self, data):
        """Return all that the server sends to a client that sends only this."""
        with self.client(data) as client:
            return b"".join(iter(lambda: client.recv(65536), b""))

    @contextmanager
    def busy(self, path="/wait") -> Iterator[None]:
        """Occupy all threads."""
        self.gate.touch()
        requests = [threading.Thread(target=self.get, args=(path,)) for _ in range(THREADS)]
        for request in requests:
            request.start()
        wait_for(lambda: self.metric("active_requests") == THREADS)
        try:
            yield
        finally:
            self.gate.unlink()
            for request in requests:
                request.join()

    def metric(self, name, **labels):
        with urlopen(f"http://127.0.0.1:{self.ops_port}/metrics", timeout=10) as response:
            text = response.read().decode()
        label = ",".join(f'{key}="{value}"' for key, value in labels.items())
        found = re.search(rf"^\w*{name}(?:\{{{label}[^}}]*\}})? (\S+)$", text, re.MULTILINE)
        return float(found[1]) if found else 0

    def rejected(self, reason):
        return self.metric("rejected_requests_total", reason=reason)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with Server(tmp_path_factory.mktemp("server")) as server:
        yield server


def receive(client, end):
    """Return what arrives until `end`, or until the connection is closed."""
    data = b""
    while not data.endswith(end) and (part := client.recv(65536)):
        data += part
    return data


GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n"


@pytest.mark.parametrize("sent", [b"", b"GET / HT", GET[:-2], POST, POST + b"half"])
def test_slow_clients_hold_no_thread(server, sent):
    with ExitStack() as stack:
        for _ in range(4 * THREADS):
            stack.enter_context(server.client(sent))
        assert server.get("/")[0] == 200


def test_unused_connections_hold_no_thread_after_a_request(server):
    with ExitStack() as stack:
        for _ in range(4 * THREADS):
            client = stack.enter_context(server.client(GET))
            assert client.recv(65536).startswith(b"HTTP/1.1 200")
        assert server.get("/")[0] == 200


@pytest.mark.parametrize("sent", [b"GET / HT", POST + b"half"])
def test_request_that_does_not_arrive_in_time_is_a_408(server, sent):
    before = server.rejected("request_timeout")
    response = server.exchange(sent)

    assert response.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert b"Connection: close" in response
    assert server.rejected("request_timeout") == before + 1


def test_deadline_is_of_the_whole_head_and_not_of_each_byte(server):
    with server.client() as client:
        client.settimeout(0.1)
        response = b""
        for byte in GET[:-1] * 10:
            client.send(bytes([byte]))
            try:
                response = client.recv(65536)
                break
            except TimeoutError:
                pass
        assert response.startswith(b"HTTP/1.1 408")


def test_connection_without_a_request_is_closed_silently(server):
    assert server.exchange(b"") == b""


@pytest.mark.parametrize("size", [0, 1, 70_000, BODY_MAX])
def test_body_arrives_whole(server, size):
    body = os.urandom(size)

    assert server.get("/echo", "POST", body=body)[::2] == (200, body)


def test_response_without_a_body_arrives(server):
    status, headers, body = server.get("/big", method="HEAD")
    assert (status, headers["Content-Length"], body) == (200, "20000000", b"")


def test_head_does_not_wait_for_the_body_that_it_omits(server):
    server.gate.touch()
    with server.client(b"HEAD /length HTTP/1.1\r\nHost: x\r\n\r\n") as client:
        assert b"Content-Length: 4" in receive(client, b"\r\n\r\n")
        server.gate.unlink()


def test_body_in_pieces_arrives_whole(server):
    with server.client(POST + b"01234") as client:
        client.sendall(b"56789")
        assert receive(client, b"0123456789").endswith(b"0123456789")


def test_pipelined_requests_are_handled_in_order(server):
    closing = POST.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    response = server.exchange(POST + b"0123456789" + GET + closing + b"abcdefghij")

    assert response.count(b"HTTP/1.1 200") == 3
    assert response.index(b"0123456789") < response.index(b"Content-Length: 0")
    assert response.endswith(b"abcdefghij")


def test_unread_body_is_not_taken_for_a_request(server):
    unread = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(GET) + GET
    closing = GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")

    assert server.exchange(unread + closing).count(b"HTTP/1.1 200") == 2


def test_too_large_body_is_a_413_before_it_is_sent(server):
    head = f"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: {BODY_MAX + 1}\r\n\r\n"

    assert server.exchange(head.encode()).startswith(b"HTTP/1.1 413 ")


def test_client_that_sends_on_after_a_413_still_receives_it(server):
    head = f"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: {BODY_MAX * 2}\r\n\r\n"

    assert server.exchange(head.encode() + b"x" * BODY_MAX).startswith(b"HTTP/1.1 413 ")


def test_endless_head_is_a_431(server):
    assert server.exchange(b"GET / HTTP/1.1\r\n" + b"x" * 40_000).startswith(b"HTTP/1.1 431 ")


def test_body_without_a_length_is_a_411(server):
    chunked = b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    response = server.exchange(chunked)

    assert response.startswith(b"HTTP/1.1 411 ")
    assert b"Content-Length" in response.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost : x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"GET /" + b"x" * 5000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 200 + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: x\r\nExpect: magic\r\n\r\n", 417),
    ],
)
def test_malformed_request_is_rejected_by_gunicorn(server, head, status):
    assert server.exchange(head).startswith(b"HTTP/1.1 %d " % status)


def test_client_is_told_to_send_its_body_once(server):
    expecting = POST.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n")
    with server.client(expecting) as client:
        assert client.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"0123456789")
        assert client.recv(65536).startswith(b"HTTP/1.1 200")


def test_too_many_connections_close_the_one_that_has_waited_longest(server):
    with ExitStack() as stack:
        clients = [stack.enter_context(server.client()) for _ in range(CONNECTIONS_MAX + 5)]
        assert server.get("/")[0] == 200
        assert clients[0].recv(1) == b""
        assert server.rejected("evicted") >= 5


def test_client_that_does_not_close_does_not_delay_others(server):
    closing = GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    with ExitStack() as stack:
        for _ in range(20):  # gunicorn's event loop would wait for each of them
            stack.enter_context(server.client(closing))
        connection = HTTPConnection("127.0.0.1", server.port, timeout=1.5)
        connection.request("GET", "/")
        assert connection.getresponse().status == 200
        connection.close()


def test_client_that_does_not_read_frees_its_thread(server):
    with ExitStack() as stack:
        for _ in range(THREADS):
            stack.enter_context(server.client(GET.replace(b"/ ", b"/big ")))
        wait_for(lambda: server.metric("active_requests") == THREADS)
        wait_for(lambda: server.metric("active_requests") == 0)


def test_request_that_waits_too_long_for_a_thread_is_a_503(server):
    before = server.rejected("queue")
    with server.busy():
        status, headers, body = server.get("/")
        head_status, _, head_body = server.get("/", "HEAD")

    assert (status, head_status, head_body) == (503, 503, b"")
    assert headers["Retry-After"] == "1"
    assert "overloaded" in json.loads(body)["detail"]
    assert server.rejected("queue") == before + 2
    assert server.get("/")[0] == 200


def test_connection_can_be_used_again_after_a_503(server):
    connection = HTTPConnection("127.0.0.1", server.port, timeout=10)
    statuses = []
    with server.busy():
        connection.request("GET", "/")
        response = connection.getresponse()
        response.read()
        statuses.append(response.status)
    connection.request("GET", "/")
    statuses.append(connection.getresponse().status)
    connection.close()

    assert statuses == [503, 200]
    assert response.headers["Connection"] == "keep-alive"  # which HTTP/1.0 does not imply


def test_admin_waits_for_a_thread(server):
    with ExitStack() as stack, server.busy():
        client = stack.enter_context(server.client(GET.replace(b"/ ", b"/admin/ ")))
        wait_for(lambda: server.get("/")[0] == 503)  # longer than QUEUE_SECONDS
        server.gate.unlink()
        assert client.recv(65536).startswith(b"HTTP/1.1 200")
        server.gate.touch()


def test_admin_waits_only_as_often_as_there_are_threads(server):
    before = server.rejected("queue")
    with ExitStack() as stack, server.busy():
        for _ in range(3 * THREADS):
            stack.enter_context(server.client(GET.replace(b"/ ", b"/admin/ ")))
        wait_for(lambda: server.rejected("queue") == before + 2 * THREADS)
    wait_for(lambda: server.metric("active_requests") == 0)
    assert server.rejected("queue") == before + 2 * THREADS


@pytest.mark.parametrize("path", ["/wait", "/stream"])
def test_request_is_active_until_its_body_is_sent(server, path):
    with server.busy(path):
        pass
    wait_for(lambda: server.metric("active_requests") == 0)


def test_request_is_not_active_after_its_application_raises(server):
    assert server.get("/error")[0] == 500
    wait_for(lambda: server.metric("active_requests") == 0)


def test_time_in_the_queue_is_measured(server):
    before = server.metric("queue_duration_seconds_count")
    server.get("/")

    assert server.metric("queue_duration_seconds_count") == before + 1


def test_stopping_process_finishes_requests_that_have_started_to_arrive(tmp_path):
    with Server(tmp_path) as server, ExitStack() as stack:
        idle = stack.enter_context(server.client(GET))
        assert idle.recv(65536).startswith(b"HTTP/1.1 200")
        arriving = stack.enter_context(server.client(POST + b"01234"))
        server.process.send_signal(signal.SIGTERM)
        wait_for(lambda: "stopping" in server.log.read_text())
        arriving.sendall(b"56789")
        response = receive(arriving, b"0123456789")
        idle.sendall(GET)
        last = idle.recv(65536)

    assert response.endswith(b"0123456789")
    assert last.startswith(b"HTTP/1.1 200")
    assert b"Connection: close" in response
    assert b"Connection: close" in last


def test_stack_of_a_long_request_is_logged_once(tmp_path):
    with Server(tmp_path, REQUEST_SECONDS="0.2") as server:
        with server.busy():
            wait_for(lambda: server.log.read_text().count('"ev": "request_long"') == THREADS)
        with server.busy():
            wait_for(lambda: server.log.read_text().count('"ev": "request_long"') == 2 * THREADS)

    lines = [json.loads(line) for line in server.log.read_text().splitlines()]
    long = [line["data"] for line in lines if line.get("ev") == "request_long"]
    assert len(long) == 2 * THREADS
    assert "application" in long[0]["stack"]
    assert long[0]["seconds"] >= 0.2


FULL_DISK = """
import resource
def post_fork(server, worker):
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_200_000, 1_200_000))
"""
LITTLE_SPACE = """
from service_runtime.serving import connection
connection.BODIES_MAX_BYTES = 250_000
"""


def post(size, missing=0):
    """Return a request with a body, of which some bytes are missing."""
    head = f"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n"
    return head.encode() + b"x" * (size - missing)


def test_full_disk_closes_only_the_connection_of_the_body(tmp_path):
    with (
        Server(tmp_path, FULL_DISK, REQUEST_BODY_MAX_BYTES="5000000") as server,
        server.client(GET) as other,
    ):
        assert receive(other, b"\r\n\r\n")
        response = server.exchange(post(1_500_000))
        other.sendall(GET)
        assert receive(other, b"\r\n\r\n").startswith(b"HTTP/1.1 200")
        assert server.rejected("insufficient_storage") == 1

    assert response.startswith(b"HTTP/1.1 507")


def test_bodies_have_a_limit_in_all(tmp_path):
    size = 200_000
    with Server(tmp_path, LITTLE_SPACE) as server, ExitStack() as stack:
        clients = [stack.enter_context(server.client(post(size, missing=1))) for _ in range(2)]
        (rejected,), _, _ = select.select(clients, [], [], 10)
        (admitted,) = set(clients) - {rejected}
        assert receive(rejected, b"}").startswith(b"HTTP/1.1 503")
        assert server.get("/echo", "POST", body=b"x" * 60_000)[0] == 200
        admitted.sendall(b"x")
        assert receive(admitted, b"x" * size).startswith(b"HTTP/1.1 200")
        # Its bytes are free again.
        wait_for(lambda: server.get("/echo", "POST", body=b"x" * size)[0] == 200)


def test_client_that_reads_slowly_holds_a_thread_for_a_limited_time(tmp_path):
    request = GET.replace(b"/ ", b"/pieces ")
    with Server(tmp_path) as server, ExitStack() as stack:
        clients = [stack.enter_context(server.client(request)) for _ in range(THREADS)]
        ended = threading.Event()
        stack.callback(ended.set)

        def read_slowly():
            while not ended.wait(0.2):  # more often than REQUEST_BODY_SECONDS
                for client in clients:
                    with suppress(OSError):
                        client.recv(1000)

        threading.Thread(target=read_slowly).start()
        wait_for(lambda: server.rejected("response_timeout") == THREADS)
        assert server.get("/")[0] == 200
        assert "Socket error" not in server.log.read_text()


def test_limit_of_bodies_is_that_of_the_empty_disk(monkeypatch, request):
    request.addfinalizer(connection.bodies_max_bytes.cache_clear)
    connection.bodies_max_bytes.cache_clear()
    free = connection.bodies_max_bytes(2)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=0))
    assert connection.bodies_max_bytes(2) == free > 0


def test_worker_may_have_a_descriptor_for_each_connection(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    running = Server(tmp_path, "worker_connections = 300\n", REQUEST_HEAD_SECONDS="60")
    with ExitStack() as stack:
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        resource.setrlimit(resource.RLIMIT_NOFILE, (128, hard))
        server = stack.enter_context(running)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for _ in range(200):
            stack.enter_context(server.client(b"GET / HT"))
        assert server.get("/")[0] == 200
        assert server.rejected("evicted") == 0


def test_stopping_process_rejects_new_connections(tmp_path):
    with Server(tmp_path) as server, server.busy():
        server.process.send_signal(signal.SIGTERM)

        def is_refused():
            try:
                server.client().__enter__().close()
            except ConnectionRefusedError:
                return True
            return False

        wait_for(is_refused)
        assert server.metric("active_requests") == THREADS


def test_stopping_worker_handles_connections_that_the_kernel_has_accepted():
    with socket.create_server(("127.0.0.1", 0)) as listener, ExitStack() as stack:
        listener.setblocking(False)
        address = listener.getsockname()
        worker = Worker(1, os.getpid(), [listener], None, 30, Config(), None)
        stack.callback(worker.tmp.close)
        worker.poller = selectors.DefaultSelector()
        stack.callback(worker.poller.close)
        clients = [stack.enter_context(socket.create_connection(address)) for _ in range(3)]
        worker._cap_keepalive(time.monotonic())
        for conn in worker._waiting:
            stack.callback(conn.close)
        for client in clients:
            client.sendall(GET)
        wait_for(lambda: len(worker.poller.select(0)) == 3)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address)


def test_queue_of_the_threads_has_a_limit(tmp_path):
    with Server(tmp_path, "worker_connections = 10\n", QUEUE_SECONDS="0.1") as server:
        with server.busy(), server.client() as client:
            for _ in range(30):
                client.sendall(GET)
                assert receive(client, b"}").startswith(b"HTTP/1.1 503")
            # Each of these is rejected at once. They are more than Python's limit of recursion.
            client.sendall(b"GET / HTTP/1.1\r\n\r\n" * 1000)
            data = b""
            while data.count(b"HTTP/1.1 503") < 1000 and (part := client.recv(65536)):
                data += part
            assert data.count(b"HTTP/1.1 503") == 1000
        assert server.get("/")[0] == 200


@pytest.mark.parametrize(
    "setting",
    [{"proxy_protocol": "auto"}, {"certfile": "x.pem", "keyfile": "x.pem"}],
    ids=["proxy", "tls"],
)
def test_what_the_worker_does_not_support_is_rejected(tmp_path, setting):
    lines = [f"{name} = {value!r}" for name, value in setting.items()]
    (tmp_path / "x.pem").touch()
    server = Server(tmp_path, "\n".join(lines) + "\n")
    with pytest.raises(AssertionError, match="exited"), server:
        pass
    assert "is not supported" in server.log.read_text()
