import os
import socket
import socketserver
import threading
import time
from typing import Any
from unittest.mock import Mock

import pytest
import redis
from cacheops import cached

from service_runtime.caching.backend import RedisCache
from service_runtime.caching.cacheops import CacheopsClient
from service_runtime.redis import (
    ThreadClients,
    breaker_for,
    clients,
    connection_options,
    delete_by_prefix,
)
from tests.waiting import wait_for


@pytest.fixture
def unreachable():
    """Return the URL of a local port that no server listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        yield f"redis://127.0.0.1:{probe.getsockname()[1]}/0"


def test_cache_fails_open_and_an_outage_is_logged_once(unreachable, caplog):
    cache = RedisCache(unreachable, {})

    cache.set("key", 1)
    cache.set_many({"key": 1})
    cache.delete("key")
    cache.delete_many(["key"])
    cache.clear()

    assert cache.get("key", "default") == "default"
    assert cache.get_many(["key"]) == {}
    assert cache.add("key", 1) is False
    assert cache.touch("key") is False
    assert "key" not in cache
    assert cache.incr("key", 3) == 3
    assert cache.get_or_set("key", "computed") == "computed"
    assert [record.message.split(":")[0] for record in caplog.records] == ["Redis at 127.0.0.1"]


def test_call_to_a_hung_server_times_out(settings):
    settings.REDIS_SOCKET_TIMEOUT = 0.05
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        client = redis.Redis.from_url(url, **connection_options(url))
        with pytest.raises(redis.TimeoutError):
            client.get("key")


class Maintained(socketserver.StreamRequestHandler):
    """A server that announces its maintenance to the clients that ask for it, and then hangs."""

    announced: bytes

    def handle(self):
        notification = b""
        while line := self.rfile.readline():
            words = [self.rfile.readline().strip() for _ in range(2 * int(line[1:]))][1::2]
            if words[0] == b"HELLO":
                self.wfile.write(b"%1\r\n$5\r\nproto\r\n:3\r\n")
            elif words[0] == b"GET":
                self.wfile.write(notification)
            else:
                self.wfile.write(b"+OK\r\n")
            if b"MAINT_NOTIFICATIONS" in words:
                notification = b">3\r\n+%b\r\n:1\r\n:10\r\n" % self.announced


@pytest.fixture(params=[b"MIGRATING", b"FAILING_OVER"])
def maintained(request, settings):
    """Return the URL of such a server."""
    settings.REDIS_SOCKET_TIMEOUT = 0.2
    handler = type("Handler", (Maintained,), {"announced": request.param})
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"redis://127.0.0.1:{server.server_address[1]}/0"
        server.shutdown()


@pytest.mark.parametrize(
    "new_client",
    [
        clients.client,
        clients.connect,
        lambda url: RedisCache(url, {})._cache.get_client(),
        lambda url: redis.Redis.from_url(url, **connection_options(url)),
    ],
    ids=["client", "connect", "cache", "connection_options"],
)
def test_maintenance_of_a_server_does_not_extend_the_timeout(maintained, new_client):
    started = time.monotonic()

    with new_client(maintained) as client, pytest.raises(redis.TimeoutError):
        client.get("key")
    assert time.monotonic() - started < 5


def test_cacheops_read_of_an_unreachable_server_is_a_miss(unreachable):
    assert CacheopsClient.from_url(unreachable).get("key") is None


def test_unix_socket(tmp_path):
    path = str(tmp_path / "redis.sock")
    url = f"unix://{path}?protocol=2"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        pool = redis.ConnectionPool.from_url(url, **connection_options(url))
        connection: Any = pool.make_connection()
        sock = connection._connect()
        assert sock.getpeername() == path
        assert not breaker_for(url).is_open
        sock.close()
    connection.disconnect()


def test_options_of_a_tls_connection(settings):
    settings.REDIS_CA_CERT = "ca.pem"
    settings.REDIS_SOCKET_TIMEOUT = 0.25
    url = "rediss://redis.test/0"
    pool = redis.ConnectionPool.from_url(url, **connection_options(url))
    connection: Any = pool.make_connection()

    assert connection.ca_certs == "ca.pem"
    assert connection.socket_timeout == connection.socket_connect_timeout == 0.25
    assert connection.client_name == settings.SERVICE_NAME
    assert "ssl_ca_certs" not in connection_options("redis://redis.test/0")


def test_users_of_a_server_have_separate_breakers():
    urls = ["redis://a:x@redis.test/0", "redis://b:x@redis.test/0", "redis://b:x@redis.test/1"]
    breakers = [breaker_for(url) for url in urls]

    assert breakers[0] is not breakers[1]
    assert breakers[1] is breakers[2]


@pytest.mark.redis
def test_delete_by_prefix_deletes_any_number_of_keys_but_those_to_keep(settings):
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        for number in range(1001):
            client.set(f"tests:[x]{number}", 1)
        client.set("tests:[x]:keep:1", 1)
        client.set("tests:x", 1)

        delete_by_prefix(client, "tests:[x]", keep=b":keep:")

        assert sorted(client.scan_iter("tests:*")) == [b"tests:[x]:keep:1", b"tests:x"]
        delete_by_prefix(client, "tests:[x]")
        assert sorted(client.scan_iter("tests:*")) == [b"tests:x"]


@pytest.fixture
def operator_url(settings):
    """Return the URL of a user with access to CLIENT ID."""
    return os.environ.get("REDIS_OPERATOR_URL", settings.REDIS_URL)


@pytest.mark.redis
def test_connections_are_replaced_after_an_outage(operator_url):
    shared = redis.Redis.from_url(operator_url, **connection_options(operator_url))
    threads, breaker = ThreadClients(shared), breaker_for(operator_url)

    threads.get()  # takes a connection out of the pool

    def ids():
        return shared.client_id(), threads.get().client_id()

    before = ids()
    assert ids() == before
    breaker.trip(redis.ConnectionError("down"))
    wait_for(lambda: not breaker.is_open)
    after = ids()

    assert set(before).isdisjoint(after)
    assert ids() == after


@pytest.mark.redis
def test_thread_client_reconnects_when_its_connection_is_broken(
    operator, operator_url, monkeypatch
):
    shared = redis.Redis.from_url(operator_url, **connection_options(operator_url))
    threads, breaker = ThreadClients(shared), breaker_for(operator_url)
    outages, first = breaker.outages, threads.get().client_id()

    operator.client_kill_filter(_id=str(first))
    second = threads.get().client_id()
    with monkeypatch.context() as patch:
        broken = Mock(side_effect=OSError("broken"))
        patch.setattr(type(threads.get().connection), "can_read", broken)
        threads.get()
    third = threads.get().client_id()

    assert len({first, second, third}) == 3
    assert breaker.outages == outages


@pytest.mark.redis
def test_each_thread_and_each_process_has_its_own_client(settings, elsewhere):
    threads = ThreadClients(redis.Redis.from_url(settings.REDIS_URL))
    own = threads.get()

    assert threads.get() is own
    assert elsewhere(threads.get) is not own
    if (child := os.fork()) == 0:
        os._exit(threads.get() is own)
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.redis
def test_clear_deletes_only_the_keys_of_its_cache(settings):
    mine = RedisCache(settings.REDIS_URL, {"KEY_PREFIX": "tests:[x]*"})
    other = RedisCache(settings.REDIS_URL, {"KEY_PREFIX": "tests:[x]*:other"})
    for cache in (mine, other):
        cache.set("key", "value")

    mine.clear()

    assert mine.get("key") is None
    assert other.get("key") == "value"


@pytest.mark.redis
@pytest.mark.django_db(transaction=True)
def test_every_key_starts_with_the_prefix_of_the_service(settings, django_user_model):
    user = django_user_model.objects.create_user("ada")
    django_user_model.objects.get(pk=user.pk)
    cached(timeout=60)(lambda: 1)()

    with redis.Redis.from_url(settings.REDIS_URL) as client:
        keys = [key.decode() for key in client.scan_iter()]

    assert any(":cacheops:" in key for key in keys)
    assert [key for key in keys if not key.startswith("tests:")] == []
