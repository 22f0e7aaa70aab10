import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis

from service_runtime.redis import resolver
from service_runtime.redis.clients import client, connection_options, guard
from tests.waiting import wait_for


@pytest.fixture
def names(monkeypatch):
    """Return what names lead to; an event is waited for, an error is raised."""
    names: dict[str, Any] = {}
    original = socket.getaddrinfo

    def getaddrinfo(host, *args, **kwargs):
        answer = names.get(host, host)
        if isinstance(answer, threading.Event):
            answer.wait(20)
            answer = "127.0.0.1"
        if isinstance(answer, Exception):
            raise answer
        return original(answer, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr(resolver, "_known", {})
    monkeypatch.setattr(resolver, "_running", {})
    return names


def test_a_first_lookup_that_hangs_is_given_up(names, monkeypatch):
    monkeypatch.setattr(resolver, "FIRST_LOOKUP_SECONDS", 0.05)
    names["redis.test"] = threading.Event()

    with pytest.raises(redis.TimeoutError, match=r"redis.test was not resolved within 0.05 s"):
        resolver.addresses("redis.test", 6379, 0.01)

    names["redis.test"].set()
    wait_for(lambda: resolver._known)
    assert resolver.addresses("redis.test", 6379, 20) == ["127.0.0.1"]


def test_a_first_lookup_may_take_longer_than_a_command(names):
    names["redis.test"] = goes_on = threading.Event()
    threading.Timer(0.1, goes_on.set).start()

    assert resolver.addresses("redis.test", 6379, 0.01) == ["127.0.0.1"]


@pytest.mark.parametrize(
    "trouble", [threading.Event(), socket.gaierror(socket.EAI_AGAIN, "try again")]
)
def test_while_the_resolver_fails_its_last_answer_holds(names, trouble):
    names["redis.test"] = "127.0.0.2"
    resolver.addresses("redis.test", 6379, 20)
    names["redis.test"] = trouble
    started = time.monotonic()

    assert resolver.addresses("redis.test", 6379, 0.01) == ["127.0.0.2"]
    assert time.monotonic() - started < resolver.FIRST_LOOKUP_SECONDS
    if isinstance(trouble, threading.Event):  # and it ends by itself, for the next one
        trouble.set()
        wait_for(lambda: resolver._known["redis.test", 6379] == ["127.0.0.1"])


def test_one_connection_waits_for_a_resolver_that_hangs(names):
    names["redis.test"] = "127.0.0.2"
    resolver.addresses("redis.test", 6379, 20)
    names["redis.test"] = goes_on = threading.Event()
    resolver.addresses("redis.test", 6379, 0.01)

    started = time.monotonic()
    assert resolver.addresses("redis.test", 6379, 10) == ["127.0.0.2"]
    assert time.monotonic() - started < 5
    assert [thread.name for thread in threading.enumerate()].count("redis-resolver") == 1
    goes_on.set()


def test_connections_that_are_made_at_once_all_get_the_new_address(names):
    names["redis.test"] = "127.0.0.2"
    resolver.addresses("redis.test", 6379, 20)
    names["redis.test"] = goes_on = threading.Event()

    with ThreadPoolExecutor(2) as pool:
        found = [pool.submit(resolver.addresses, "redis.test", 6379, 20) for _ in range(2)]
        wait_for(lambda: resolver._running and all(one.running() for one in found))
        time.sleep(0.05)  # an answer of the last address would be there by now
        goes_on.set()

    assert [one.result() for one in found] == [["127.0.0.1"]] * 2


def test_a_name_that_is_gone_is_an_error(names):
    names["redis.test"] = "127.0.0.1"
    resolver.addresses("redis.test", 6379, 20)
    names["redis.test"] = socket.gaierror(socket.EAI_NONAME, "unknown")

    with pytest.raises(socket.gaierror):
        resolver.addresses("redis.test", 6379, 20)


def test_every_address_is_tried(names, monkeypatch, settings):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        monkeypatch.setattr(
            f"{guard.__module__}.addresses", lambda *args: ["127.0.0.9", "127.0.0.1"]
        )
        url = f"redis://redis.test:{port}/0"
        pool = guard(url, redis.ConnectionPool.from_url(url, **connection_options(url)))
        connection: Any = pool.make_connection()
        sock = connection._connect()
        assert sock.getpeername() == ("127.0.0.1", port)
        assert connection.host == "redis.test"
        sock.close()


def test_tls_is_spoken_with_the_name_and_not_with_the_address(names, monkeypatch):
    names["redis.test"] = "127.0.0.1"
    asked = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"rediss://redis.test:{server.getsockname()[1]}/0"
        connection: Any = client(url).connection_pool.make_connection()

        def wrap(sock):
            asked.append((connection.host, sock.getpeername()[0]))
            return sock

        monkeypatch.setattr(connection, "_wrap_socket_with_ssl", wrap)
        connection._connect().close()

    assert asked == [("redis.test", "127.0.0.1")]
