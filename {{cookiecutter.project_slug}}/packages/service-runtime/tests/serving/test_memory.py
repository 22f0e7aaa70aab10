"""Workers whose memory grows are replaced without a failed request."""

import json
import os
import subprocess
import sys
import threading
from http.client import HTTPConnection, HTTPException
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from service_runtime.serving import memory
from tests.serving.test_worker import THREADS, Server
from tests.waiting import wait_for

FAST = """
def post_fork(server, worker):
    from service_runtime.serving import memory
    memory.INTERVAL = 0.1
"""
MIB = 2**20
MAXIMUM = str(200 * MIB)  # a worker starts with less than half of it


# In a process of its own: the tests' process frees memory at any time.
PRIVATE_AND_SHARED = """
import mmap, os
from service_runtime.serving.memory import private_bytes
shared = mmap.mmap(-1, 64 * 2**20)
shared.write(bytes(64 * 2**20))
if os.fork():
    raise SystemExit(os.waitstatus_to_exitcode(os.wait()[1]))
shared[:]  # The child maps the pages, which the parent maps too.
before = private_bytes()
used = bytearray(os.urandom(2**20)) * 16
print(private_bytes() - before, before)
"""


def test_only_private_memory_counts():
    command = [sys.executable, "-c", PRIVATE_AND_SHARED]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    grown, before = map(int, done.stdout.split())
    assert 16 * MIB <= grown < 17 * MIB
    assert before < 64 * MIB


@pytest.mark.parametrize(
    ("own", "files", "limit"),
    [
        ("0::/", {"memory.max": "1000"}, 1000),
        ("0::/", {"memory.max": "max"}, None),
        ("0::/", {}, None),
        ("0::/pod/web", {"pod/web/memory.max": "max", "pod/memory.max": "2000"}, 2000),
        ("0::/pod/web", {"pod/web/memory.max": "1000", "pod/memory.max": "2000"}, 1000),
        ("4:cpu:/\n9:memory:/", {"memory/memory.limit_in_bytes": "1000"}, 1000),
        ("9:memory:/", {"memory/memory.limit_in_bytes": "9223372036854771712"}, None),
        # In a container, the path is the host's.
        ("9:memory:/kubepods/pod1", {"memory/memory.limit_in_bytes": "1000"}, 1000),
        ("9:memory:/\n0::/", {"memory/memory.limit_in_bytes": "1000"}, 1000),
    ],
)
def test_limit_of_the_container(tmp_path, own, files, limit):
    for name, content in files.items():
        path = tmp_path / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content + "\n")
    (tmp_path / "own").write_text(own + "\n")

    assert memory.container_limit(tmp_path / "cgroup", tmp_path / "own") == limit


def test_workers_share_the_limit(monkeypatch, settings):
    monkeypatch.setattr(memory, "container_limit", lambda: 1000)
    assert memory.maximum_bytes(workers=2) == 300

    settings.WORKER_MEMORY_MAX_BYTES = 800
    assert memory.maximum_bytes(workers=2) == 800


class Load(threading.Thread):
    """A client that requests a path on one connection, and reconnects when it is told to."""

    def __init__(self, port, path, is_over):
        super().__init__()
        self.statuses = []
        self._target, self._is_over = (port, path), is_over
        self.start()

    def run(self):
        port, path = self._target
        connection = HTTPConnection("127.0.0.1", port, timeout=10)
        while not self._is_over():
            try:
                connection.request("GET", path)
                response = connection.getresponse()
                response.read()
                self.statuses.append(response.status)
            except OSError as error:
                self.statuses.append(repr(error))
                connection.close()
        connection.close()


def metric(server, name):
    try:
        return server.metric(name)
    except (OSError, HTTPException):  # of a worker that was stopping
        return 0


def status_of_readiness(server):
    try:
        with urlopen(f"http://127.0.0.1:{server.ops_port}/readyz", timeout=10) as response:
            return json.load(response)["status"]
    except HTTPError as error:
        return json.load(error)["status"]


@pytest.mark.parametrize("workers", [1, 2])
def test_leaking_workers_are_replaced_without_a_failed_request(tmp_path, workers):
    environment = {"WEB_CONCURRENCY": str(workers), "WORKER_MEMORY_MAX_BYTES": MAXIMUM}
    with Server(tmp_path, FAST, QUEUE_SECONDS="10", **environment) as server:

        def drains():
            return server.log.read_text().count('"ev": "worker_draining"')

        over = threading.Event()
        clients = [Load(server.port, path, over.is_set) for path in ("/leak", "/", "/", "/")]
        wait_for(lambda: drains() >= 3, seconds=60)
        over.set()
        for client in clients:
            client.join()
        # One more starts for each that stops; then there are as many as before.
        wait_for(lambda: metric(server, "request_threads") == workers * THREADS)
        wait_for(lambda: metric(server, "worker_drains_total") >= 3)
        wait_for(lambda: metric(server, "private_memory_bytes") > 0)

    statuses = [status for client in clients for status in client.statuses]
    assert set(statuses) == {200}


def test_worker_that_is_replaced_alone_leaves_its_pod_ready(tmp_path):
    with Server(tmp_path, FAST, WORKER_MEMORY_MAX_BYTES=MAXIMUM, QUEUE_SECONDS="10") as server:
        server.gate.touch()
        waiting = threading.Thread(target=server.get, args=["/wait"])
        waiting.start()
        leaking = threading.Thread(target=lambda: [server.get("/leak") for _ in range(60)])
        leaking.start()
        wait_for(lambda: '"ev": "worker_draining"' in server.log.read_text())
        for _ in range(20):
            assert status_of_readiness(server) != "draining"
        server.gate.unlink()
        waiting.join()
        leaking.join()


def test_workers_are_replaced_one_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))

    assert memory._take_turn()
    assert not memory._take_turn()
    assert memory.was_replaced(os.getpid())
    assert not memory.was_replaced(os.getpid() + 1)
