import socket

import pytest
import redis
from cacheops import cached

from service_runtime.caching.backend import RedisCache
from service_runtime.caching.cacheops import CacheopsClient
from service_runtime.redis import connection_options


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


def test_cacheops_read_of_an_unreachable_server_is_a_miss(unreachable):
    assert CacheopsClient.from_url(unreachable).get("key") is None


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
