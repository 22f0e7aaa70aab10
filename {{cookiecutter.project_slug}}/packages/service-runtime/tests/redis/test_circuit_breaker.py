import copy
import gc
import os
import socketserver
import threading
import time
import weakref
from typing import Any

import pytest
import redis
from prometheus_client import REGISTRY

from service_runtime.redis import breaker_for, circuit_breaker, client, connection_options
from service_runtime.redis.circuit_breaker import SETTLE_SECONDS, CircuitBreaker
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


@pytest.fixture
def breaker(ping, server):
    """Return the circuit breaker of the fake server, and close it at the end."""
    breaker = breaker_for(server.url)
    yield breaker
    wait_for(lambda: not breaker.is_open)


def test_missed_call_is_repeated_once_before_the_circuit_closes(breaker):
    calls = []

    def repeat(client, argument):
        calls.append((argument, breaker.is_open, client.ping()))

    for argument in ("a", "a", "b"):
        breaker.repeat_on_recovery(repeat, argument)
    for _ in range(2):
        breaker.trip(redis.ConnectionError("down"))
        wait_for(lambda: not breaker.is_open)

    assert sorted(calls) == [("a", True, True), ("b", True, True)]


def test_outage_right_after_a_recovery_is_probed(breaker, monkeypatch):
    """The previous probe's thread is still running then."""
    outages = breaker.outages
    warning = circuit_breaker.logger.warning

    def trip_again(message, *arguments):
        warning(message, *arguments)
        if message.endswith("available again") and breaker.outages == outages + 1:
            breaker.trip(redis.ConnectionError("down"))

    monkeypatch.setattr(circuit_breaker.logger, "warning", trip_again)
    breaker.trip(redis.ConnectionError("down"))
    wait_for(lambda: breaker.outages == outages + 2 and not breaker.is_open, seconds=5)


@pytest.mark.parametrize("error", [redis.ConnectionError("down"), RuntimeError("no more threads")])
def test_circuit_stays_open_until_every_missed_call_succeeds(breaker, error):
    calls, errors = [], [error]

    def repeat(client, argument):
        calls.append(argument)
        if errors:
            raise errors.pop()

    breaker.repeat_on_recovery(repeat, "a")
    breaker.trip(redis.ConnectionError("down"))
    wait_for(lambda: not breaker.is_open)

    assert calls == ["a", "a"]


def test_call_that_is_missed_while_the_circuit_closes_is_repeated(breaker):
    calls: list[Any] = []

    def late(client):
        if len(calls) < 3:
            calls.append(breaker.is_open)
        if len(calls) == 2:  # the last time before the circuit closes
            breaker.repeat_on_recovery(lambda client, argument: calls.append(argument), "late")

    breaker.on_recovery.append(late)
    try:
        breaker.trip(redis.ConnectionError("down"))
        wait_for(lambda: "late" in calls)
    finally:
        breaker.on_recovery.remove(late)

    assert calls[:2] == [True, True]


def test_call_that_is_missed_during_the_last_repetition_is_repeated_while_the_circuit_is_open(
    breaker,
):
    was_open: list[bool] = []

    def late(client, argument):
        was_open.append(breaker.is_open)

    def miss_another(client, argument):
        if argument == "before":  # missed while the circuit settles
            breaker.repeat_on_recovery(miss_another, "during")
        else:
            breaker.repeat_on_recovery(late, None)

    breaker.repeat_on_recovery(miss_another, "before")
    breaker.trip(redis.ConnectionError("down"))
    wait_for(lambda: was_open)

    assert was_open == [True]


def test_steady_stream_of_missed_calls_does_not_keep_the_circuit_open(breaker):
    def miss_again(client, argument):
        if breaker.is_open:
            breaker.repeat_on_recovery(miss_again, argument)

    breaker.repeat_on_recovery(miss_again, None)
    breaker.trip(redis.ConnectionError("down"))

    wait_for(lambda: not breaker.is_open)


def test_circuit_stays_open_while_other_processes_may_still_recover(breaker):
    times: list[float] = []

    def note(client):
        times.append(time.monotonic())

    breaker.on_recovery.append(note)
    try:
        breaker.trip(redis.ConnectionError("down"))
        wait_for(lambda: not breaker.is_open)
    finally:
        breaker.on_recovery.remove(note)

    assert times[1] - times[0] >= SETTLE_SECONDS


class Available(redis.Redis):
    """A client of a server that is available, for probes; it opens no connection."""

    def unlink(self, *names):
        return 0


def test_read_only_server_opens_the_circuit():
    breaker = CircuitBreaker("127.0.0.1:1", Available)

    def reject():
        raise redis.exceptions.ReadOnlyError("a replica")

    with pytest.raises(redis.exceptions.ReadOnlyError):
        breaker.call_with_retry(reject, lambda error: None)
    assert breaker.is_open


def test_user_without_rights_to_the_probe_key_is_not_an_outage():
    class Denied(Available):
        def unlink(self, *names):
            raise redis.exceptions.NoPermissionError("no rights")

    breaker = CircuitBreaker("127.0.0.1:1", Denied)
    breaker.trip(redis.ConnectionError("down"))

    wait_for(lambda: not breaker.is_open)


def test_circuit_without_a_probe_stays_open_until_a_thread_can_be_started(
    breaker, ping, monkeypatch
):
    def start(thread):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        breaker.trip(redis.ConnectionError("down"))
        assert not ping()
        assert breaker.is_open

    wait_for(ping)


def test_only_one_probe_runs(breaker, server, ping):
    threads = set(threading.enumerate())  # with the probes of servers that other tests stopped
    server.is_responsive.clear()
    for _ in range(3):
        breaker.trip(redis.ConnectionError("down"))
        assert not ping()

    assert breaker.outages == 1
    started = [thread.name for thread in set(threading.enumerate()) - threads]
    assert started.count("redis-probe") == 1
    server.is_responsive.set()


def test_open_circuit_is_a_metric(breaker, server):
    def value():
        name = f"127.0.0.1:{server.server_address[1]}"
        return REGISTRY.get_sample_value("redis_circuit_open", {"server": name})

    assert value() == 0
    server.is_responsive.clear()
    breaker.trip(redis.ConnectionError("down"))
    assert value() == 1
    server.is_responsive.set()
    wait_for(lambda: not breaker.is_open)
    wait_for(lambda: value() == 0)


def test_broken_connection_is_retried_and_a_timeout_is_not():
    breaker = CircuitBreaker("127.0.0.1:1", Available)
    calls: list[Exception] = []
    failures: list[Any] = []

    def fail(error):
        calls.append(error)
        if len(calls) == 1:
            raise error
        return "reply"

    broken, late = redis.ConnectionError("broken"), redis.TimeoutError("late")
    assert breaker.call_with_retry(lambda: fail(broken), failures.append) == "reply"
    assert (len(calls), failures, breaker.is_open) == (2, [broken], False)

    calls.clear()
    with pytest.raises(redis.TimeoutError):
        breaker.call_with_retry(
            lambda: fail(late),
            lambda error, count: failures.append((error, count)),
            with_failure_count=True,
        )
    assert (len(calls), failures[1:], breaker.is_open) == (1, [(late, 1)], True)


def test_error_reply_does_not_open_the_circuit():
    breaker = CircuitBreaker("127.0.0.1:1", Available)

    def reject():
        raise redis.ResponseError("OOM command not allowed")

    with pytest.raises(redis.ResponseError):
        breaker.call_with_retry(reject, lambda error: None)
    assert not breaker.is_open


def test_circuit_breaker_of_a_server_that_is_no_longer_used_is_freed():
    breaker = CircuitBreaker("127.0.0.1:1", Available)
    breaker.retire()
    reference = weakref.ref(breaker)

    del breaker
    gc.collect()

    assert reference() is None


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
