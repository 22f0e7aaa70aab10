import copy
import os
import socketserver
import threading

import pytest
import redis

from service_runtime.redis import breaker_for, client, connection_options
from service_runtime.redis.circuit_breaker import CircuitBreaker
from tests.waiting import wait_for


class Server(socketserver.ThreadingTCPServer):
    """A Redis that replies to PING and to the start of connections, or hangs; counts commands."""

    allow_reuse_address = daemon_threads = True

    def __init__(self):
        self.is_responsive = threading.Event()
        self.is_responsive.set()
        self.commands = 0
        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"redis://127.0.0.1:{self.server_address[1]}/0?protocol=2"


class Handler(socketserver.StreamRequestHandler):
    server: Server

    def handle(self):
        while line := self.rfile.readline():
            if line.startswith(b"*"):
                words = [self.rfile.readline() for _ in range(2 * int(line[1:]))][1::2]
                self.server.commands += 1
                self.server.is_responsive.wait()
                try:
                    self.wfile.write(b"+PONG\r\n" if words[0] == b"PING\r\n" else b"+OK\r\n")
                except OSError:
                    return


@pytest.fixture
def server():
    server = Server()
    yield server
    server.is_responsive.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def ping(server, settings):
    """Return a function that pings the server and returns whether it replied."""
    settings.REDIS_SOCKET_TIMEOUT = 0.1
    connection = redis.Redis.from_url(server.url, **connection_options(server.url))

    def ping():
        try:
            return bool(connection.ping())
        except redis.RedisError:
            return False

    yield ping
    connection.close()


def test_outage_costs_one_timeout_and_the_circuit_closes_without_a_restart(server, ping, caplog):
    breaker = breaker_for(server.url)
    assert ping()

    server.is_responsive.clear()
    assert not ping()
    assert breaker.is_open
    commands = server.commands
    probes = threading.active_count()
    assert [ping() for _ in range(1000)] == [False] * 1000
    # A thousand timeouts would take 100 s and send as many commands. The probe sends few.
    assert server.commands - commands < 50
    assert threading.active_count() <= probes + 2

    server.is_responsive.set()
    wait_for(lambda: not breaker.is_open)
    assert ping()
    name = f"127.0.0.1:{server.server_address[1]}"
    assert [record.message.partition(": ")[0] for record in caplog.records] == [
        f"Redis at {name} is unavailable",
        f"Redis at {name} is available again",
    ]


def test_databases_of_a_server_share_a_breaker(server):
    options = connection_options(server.url)
    other_database = connection_options(server.url.replace("/0", "/5"))

    assert options["retry"] is other_database["retry"]
    assert copy.deepcopy(options["retry"]) is options["retry"]
    assert client(server.url) is client(server.url)


def test_error_reply_does_not_open_the_circuit():
    breaker = CircuitBreaker("127.0.0.1:1", redis.Redis)

    def reject():
        raise redis.ResponseError("OOM command not allowed")

    with pytest.raises(redis.ResponseError):
        breaker.call_with_retry(reject, lambda error: None)
    assert not breaker.is_open


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # the child only reports
def test_forked_child_starts_with_a_closed_circuit(server, ping):
    server.is_responsive.clear()
    ping()
    breaker = breaker_for(server.url)
    reader, writer = os.pipe()

    child = os.fork()
    if not child:
        os.write(writer, b"open" if breaker.is_open else b"closed")
        os._exit(0)
    os.waitpid(child, 0)

    assert os.read(reader, 10) == b"closed"
    assert breaker.is_open
    os.close(reader)
    os.close(writer)
