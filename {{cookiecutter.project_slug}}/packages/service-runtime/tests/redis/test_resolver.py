import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest.mock import Mock

import pytest
import redis

from service_runtime.redis import breaker_for, client, connection_options, connections, resolver
from tests.waiting import wait_for


@pytest.fixture
def names(monkeypatch):
    """Return a mapping of names to addresses; events are waited for, errors are raised."""
    names: dict[str, Any] = {}
    original = socket.getaddrinfo

    def getaddrinfo(host, *args, **kwargs):
        found = names.get(host, host)
        if isinstance(found, threading.Event):
            found.wait(20)
            found = "127.0.0.1"
        if isinstance(found, Exception):
            raise found
        return original(found, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr(resolver, "_known", {})
    resolver._lookup.cache_clear()
    return names


def test_first_lookup_times_out(names, monkeypatch):
    monkeypatch.setattr(resolver, "FIRST_LOOKUP_SECONDS", 0.05)
    names["redis.test"] = threading.Event()

    with pytest.raises(
        redis.TimeoutError, match=r"The name redis.test was not resolved within 0.05 s"
    ):
        resolver.addresses("redis.test", 6379, 0.01)

    names["redis.test"].set()
    wait_for(lambda: resolver._known)
    assert resolver.addresses("redis.test", 6379, 20) == ["127.0.0.1"]


def test_first_lookup_has_a_longer_timeout_than_a_command(names):
    names["redis.test"] = finished = threading.Event()
    threading.Timer(0.1, finished.set).start()

    assert resolver.addresses("redis.test", 6379, 0.01) == ["127.0.0.1"]


@pytest.mark.parametrize(
    "failure", [threading.Event(), socket.gaierror(socket.EAI_AGAIN, "try again")]
)
def test_last_known_addresses_are_used_while_the_resolver_fails(names, failure):
    names["redis.test"] = "127.0.0.2"
    resolver.addresses("redis.test", 6379, 20)
    names["redis.test"] = failure
    started = time.monotonic()

    assert resolver.addresses("redis.test", 6379, 0.01) == ["127.0.0.2"]
    assert time.monotonic() - started < resolver.FIRST_LOOKUP_SECONDS
    if isinstance(failure, threading.Event):  # the late result serves the next connection
        failure.set()
        wait_for(lambda: resolver._known["redis.test", 6379] == ["127.0.0.1"])


def test_process_without_threads_uses_the_last_known_addresses(names, monkeypatch):
    names["redis.test"] = "127.0.0.2"
    resolver.addresses("redis.test", 6379, 20)
    monkeypatch.setattr(
        threading.Thread, "start", Mock(side_effect=RuntimeError("can't start new thread"))
    )

    assert resolver.addresses("redis.test", 6379, 20) == ["127.0.0.2"]


def test_first_lookup_without_threads_is_an_outage(names, monkeypatch):
    url = "redis://without-threads.test/0"
    monkeypatch.setattr(
        threading.Thread, "start", Mock(side_effect=RuntimeError("can't start new thread"))
    )

    with pytest.raises(redis.ConnectionError, match="can't start new thread"):
        client(url).get("key")
    breaker_for(url).retire()


def test_only_one_connection_waits_for_a_hung_resolver(names):
    names["redis.test"] = "127.0.0.2"
    resolver.addresses("redis.test", 6379, 20)
    names["redis.test"] = finished = threading.Event()
    resolver.addresses("redis.test", 6379, 0.01)

    started = time.monotonic()
    assert resolver.addresses("redis.test", 6379, 10) == ["127.0.0.2"]
    assert time.monotonic() - started < 5
    assert [thread.name for thread in threading.enumerate()].count("redis-resolver") == 1
    finished.set()


def test_concurrent_connections_all_get_the_new_address(names):
    names["redis.test"] = "127.0.0.2"
    resolver.addresses("redis.test", 6379, 20)
    names["redis.test"] = finished = threading.Event()

    with ThreadPoolExecutor(2) as pool:
        found = [pool.submit(resolver.addresses, "redis.test", 6379, 20) for _ in range(2)]
        wait_for(lambda: all(one.running() for one in found))
        time.sleep(0.05)  # the last known address would have been returned by now
        finished.set()

    assert [one.result() for one in found] == [["127.0.0.1"]] * 2


def test_unknown_name_raises(names):
    names["redis.test"] = "127.0.0.1"
    resolver.addresses("redis.test", 6379, 20)
    names["redis.test"] = socket.gaierror(socket.EAI_NONAME, "unknown")

    with pytest.raises(socket.gaierror):
        resolver.addresses("redis.test", 6379, 20)


def test_every_address_of_a_host_is_tried(names, monkeypatch, settings):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        monkeypatch.setattr(connections, "addresses", lambda *args: ["127.0.0.9", "127.0.0.1"])
        url = f"redis://redis.test:{port}/0"
        pool = redis.ConnectionPool.from_url(url, **connection_options(url))
        connection: Any = pool.make_connection()
        sock = connection._connect()
        assert sock.getpeername() == ("127.0.0.1", port)
        assert connection.host == "redis.test"
        sock.close()


def test_tls_certificate_is_checked_against_the_host_name(names, monkeypatch):
    names["redis.test"] = "127.0.0.1"
    checked = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"rediss://redis.test:{server.getsockname()[1]}/0"
        connection: Any = client(url).connection_pool.make_connection()

        def wrap(sock):
            checked.append((connection.host, sock.getpeername()[0]))
            return sock

        monkeypatch.setattr(connection, "_wrap_socket_with_ssl", wrap)
        connection._connect().close()

    assert checked == [("redis.test", "127.0.0.1")]


def test_host_without_a_reachable_address_raises_the_last_error(monkeypatch, settings):
    url = "redis://redis.test:1/0"
    connection: Any = redis.ConnectionPool.from_url(
        url, **connection_options(url)
    ).make_connection()
    monkeypatch.setattr(connections, "addresses", lambda *args: [])
    with pytest.raises(OSError, match=r"redis\.test has no address"):
        connection._connect()
    monkeypatch.setattr(connections, "addresses", lambda *args: ["127.0.0.1"])
    with pytest.raises(ConnectionRefusedError):
        connection._connect()


def test_addresses_are_distinct(monkeypatch):
    resolver._known.clear()
    found = [(None, None, None, "", (address, 1)) for address in ("::1", "127.0.0.1", "::1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: found)

    assert resolver.addresses("twice.test", 1, 20) == ["::1", "127.0.0.1"]
