import copy
import os
import socketserver
import threading

import pytest
import redis

from service_runtime.redis.circuit_breaker import CircuitBreaker
from service_runtime.redis.clients import circuit_breaker, client, connection_options, server_of
from tests.waiting import wait_for


class Server(socketserver.ThreadingTCPServer):
    """Answers PING and whatever a connection begins with, or hangs; it counts commands."""

    allow_reuse_address = daemon_threads = True

    def __init__(self):
        self.answers = threading.Event()
        self.answers.set()
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
                self.server.answers.wait()
                try:
                    self.wfile.write(b"+PONG\r\n" if words[0] == b"PING\r\n" else b"+OK\r\n")
                except OSError:
                    return


@pytest.fixture
def server():
    server = Server()
    yield server
    server.answers.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def ping(server, settings):
    """Return a function that pings the server, and tells whether it answered."""
    settings.REDIS_SOCKET_TIMEOUT = 0.1
    connection = redis.Redis.from_url(server.url, **connection_options(server.url))

    def ping():
        try:
            return bool(connection.ping())
        except redis.RedisError:
            return False

    yield ping
    connection.close()


def test_an_outage_costs_one_timeout_and_ends_by_itself(server, ping, caplog):
    breaker = circuit_breaker(server.url)
    assert ping()

    server.answers.clear()
    assert not ping()
    assert breaker.is_open
    asked = server.commands
    probes = threading.active_count()
    assert [ping() for _ in range(1000)] == [False] * 1000
    # A thousand timeouts would have taken 100 s and made as many commands; the probe's are few.
    assert server.commands - asked < 50
    assert threading.active_count() <= probes + 2

    server.answers.set()
    wait_for(lambda: not breaker.is_open)
    assert ping()
    name = server_of(server.url)
    assert [record.message.partition(" answer: ")[0] for record in caplog.records] == [
        f"Redis at {name} does not",
        f"Redis at {name} answers again",
    ]


def test_there_is_one_breaker_for_a_server(server):
    options = connection_options(server.url)
    other_database = connection_options(server.url.replace("/0", "/5"))

    assert options["retry"] is other_database["retry"]
    assert copy.deepcopy(options["retry"]) is options["retry"]
    assert client(server.url) is client(server.url)


def test_an_error_reply_is_no_outage():
    breaker = CircuitBreaker("127.0.0.1:1", redis.Redis)

    def refuse():
        raise redis.ResponseError("OOM command not allowed")

    with pytest.raises(redis.ResponseError):
        breaker.call_with_retry(refuse, lambda error: None)
    assert not breaker.is_open


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # the child only reports
def test_a_child_begins_with_a_closed_circuit(server, ping):
    server.answers.clear()
    ping()
    breaker = circuit_breaker(server.url)
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
