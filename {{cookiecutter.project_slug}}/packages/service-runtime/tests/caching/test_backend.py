"""Django's documented cache API, on Redis."""

import time
from unittest.mock import Mock

import pytest
import redis
from asgiref.sync import async_to_sync
from django.core.cache import CacheKeyWarning
from django.core.exceptions import ImproperlyConfigured
from prometheus_client import REGISTRY

from service_runtime.caching.backend import RedisCache
from service_runtime.conf import settings as project
from service_runtime.redis import breaker_for
from tests.waiting import wait_for

pytestmark = pytest.mark.redis


@pytest.fixture
def cache():
    return RedisCache(project.REDIS_URL, {"KEY_PREFIX": "tests:backend"})


@pytest.fixture
def timeout_of(cache):
    """Return a function that returns the TTL of a key in seconds; -1 means none."""

    def timeout_of(key):
        with redis.Redis.from_url(project.REDIS_URL) as client:
            return client.ttl(cache.make_and_validate_key(key))

    return timeout_of


@pytest.mark.parametrize(
    "value", ["text", "", 0, 7, -1, 2**70, 1.5, None, True, [1, "a"], {"a": {1, 2}}, b"\x00\xff"]
)
def test_value_is_returned_unchanged(cache, value):
    cache.set("key", value)

    assert cache.get("key", "default") == value
    assert type(cache.get("key")) is type(value)


def test_missing_key_returns_the_default(cache):
    assert cache.get("key") is None
    assert cache.get("key", 5) == 5
    assert "key" not in cache
    assert cache.has_key("key") is False
    assert cache.delete("key") is False
    assert cache.touch("key") is False


def test_add_does_not_overwrite(cache):
    assert cache.add("key", "first") is True
    assert cache.add("key", "second") is False
    assert cache.get("key") == "first"


def test_delete(cache):
    cache.set("key", 1)

    assert cache.delete("key") is True
    assert cache.get("key") is None


def test_incr_and_decr(cache):
    cache.set("key", 41)

    assert cache.incr("key") == 42
    assert cache.incr("key", 10) == 52
    assert cache.decr("key") == 51
    assert cache.decr("key", 52) == -1
    assert cache.get("key") == -1


@pytest.mark.parametrize("method", ["incr", "decr", "incr_version", "decr_version"])
def test_incr_of_a_missing_key_raises(cache, method):
    with pytest.raises(ValueError, match="key"):
        getattr(cache, method)("key")


@pytest.mark.parametrize("value", ["text", b"7", "7", [1], None, True, 1.5])
@pytest.mark.parametrize("method", ["incr", "decr"])
def test_incr_of_a_value_that_is_not_an_integer_raises(cache, method, value):
    cache.set("key", value)

    with pytest.raises(redis.ResponseError, match="not an integer"):
        getattr(cache, method)("key")
    assert cache.get("key") == value


def test_incr_beyond_64_bits_raises(cache):
    cache.set("key", 2**63 - 1)

    with pytest.raises(redis.ResponseError, match="overflow"):
        cache.incr("key")


@pytest.mark.parametrize("key", ["key", "a:b", "*", "[x]", "clé", "x" * 200])
@pytest.mark.parametrize("version", [1, 2, "v2", "", None])
@pytest.mark.parametrize(
    "key_function", [None, lambda key, prefix, version: f"{key}/{version}", lambda *_: "constant"]
)
def test_clear_deletes_every_key_of_its_cache_and_no_other(key, version, key_function):
    names = {"KEY_FUNCTION": key_function} if key_function else {}
    cache = RedisCache(project.REDIS_URL, {"KEY_PREFIX": "tests:own", **names})
    other = RedisCache(project.REDIS_URL, {"KEY_PREFIX": "tests:ow", **names})
    for each in (cache, other):
        each.set(key, "value", version=version)

    cache.clear()

    assert cache.get(key, version=version) is None
    assert other.get(key, version=version) == "value"


WRITES = {
    "delete": lambda cache: cache.delete("key"),
    "delete_many": lambda cache: cache.delete_many(["key"]),
    "set": lambda cache: cache.set("key", "new"),
    "set_many": lambda cache: cache.set_many({"key": "new"}),
    "clear": lambda cache: cache.clear(),
    "incr": lambda cache: cache.incr("key"),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_value_that_was_replaced_or_deleted_during_an_outage_does_not_return(
    cache, monkeypatch, write
):
    other = RedisCache(project.REDIS_URL, {"KEY_PREFIX": "tests:other"})
    for each in (cache, other):
        each.set("key", 1)
    breaker = breaker_for(project.REDIS_URL)

    def fail(*args, **options):
        raise redis.ConnectionError("down")

    with monkeypatch.context() as patch:
        for name in ("execute_command", "pipeline"):
            patch.setattr(redis.Redis, name, fail)
        breaker.trip(redis.ConnectionError("down"))
        write(cache)
        assert cache.get("key") is None
    wait_for(lambda: not breaker.is_open)

    assert cache.get("key") is None
    assert other.get("key") == 1


@pytest.mark.parametrize(
    "location", ["redis://a,redis://b", "redis://a;redis://b", ["redis://a", "redis://b"], []]
)
def test_several_servers_are_rejected(location):
    with pytest.raises(ImproperlyConfigured, match="the URL of one Redis"):
        RedisCache(location, {})


class Text:
    """A custom serializer."""

    def dumps(self, value):
        return f"text:{value}"

    def loads(self, data):
        return data.decode().removeprefix("text:")


def test_serializer_can_be_replaced():
    options = {"KEY_PREFIX": "tests:text", "OPTIONS": {"serializer": Text}}
    cache = RedisCache(project.REDIS_URL, options)
    cache.set("key", "value")

    assert cache.get("key") == "value"
    with redis.Redis.from_url(project.REDIS_URL) as client:
        assert client.get(cache.make_and_validate_key("key")).endswith(b"text:value")


def test_get_set_and_delete_many(cache):
    assert cache.set_many({"a": 1, "b": [2]}) == []
    assert cache.get_many(["a", "b", "c"]) == {"a": 1, "b": [2]}
    assert cache.get_many(iter(["a"])) == {"a": 1}
    cache.delete_many(["a", "c"])
    assert cache.get_many(["a", "b"]) == {"b": [2]}
    assert cache.get_many([]) == {}
    assert cache.set_many({}) == []
    cache.delete_many([])


@pytest.mark.parametrize(
    ("timeout", "seconds"), [(100, 100), (None, -1), (0, -2), (-5, -2), ("default", 300)]
)
def test_timeouts(cache, timeout_of, timeout, seconds):
    options = {} if timeout == "default" else {"timeout": timeout}
    for store in (
        lambda: cache.set("key", 1, **options),
        lambda: cache.add("key", 1, **options),
        lambda: cache.set_many({"key": 1}, **options),
        lambda: cache.get_or_set("key", 1, **options),
        lambda: (cache.set("key", 1, 1000), cache.touch("key", **options)),
    ):
        cache.delete("key")
        store()
        assert timeout_of("key") in {seconds, seconds - 1 if seconds > 0 else seconds}


def test_value_expires_after_its_timeout(cache):
    cache.set("key", 1, timeout=1)
    deadline = time.monotonic() + 20

    while cache.get("key") is not None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert "key" not in cache


def test_versions(cache):
    cache.set("key", "first")
    cache.set("key", "second", version=2)

    assert cache.get("key") == "first"
    assert cache.get("key", version=2) == "second"
    assert cache.incr_version("key", version=2) == 3
    assert cache.get("key", version=2) is None
    assert cache.get("key", version=3) == "second"
    assert cache.decr_version("key", version=3) == 2
    assert cache.get_many(["key"], version=2) == {"key": "second"}
    cache.delete("key", version=2)
    assert cache.get("key") == "first"


def test_get_or_set_computes_once(cache):
    computed = []

    def compute():
        computed.append(1)
        return "value"

    assert [cache.get_or_set("key", compute) for _ in range(3)] == ["value"] * 3
    assert len(computed) == 1


def test_value_that_cannot_be_pickled_raises(cache):
    with pytest.raises((AttributeError, TypeError, ValueError)):
        cache.set("key", lambda: None)
    with pytest.raises(TypeError):
        cache.set("key")


def test_key_can_be_any_text(cache):
    with pytest.warns(CacheKeyWarning, match="memcached"):
        cache.set("a key with spaces, \u00fc", 1)
    with pytest.warns(CacheKeyWarning, match="memcached"):
        assert cache.get("a key with spaces, \u00fc") == 1


def test_async_methods(cache):
    @async_to_sync
    async def use():
        await cache.aset("key", 1)
        assert await cache.aget("key") == 1
        assert await cache.aincr("key") == 2
        assert await cache.adecr("key") == 1
        assert await cache.aadd("key", 5) is False
        assert await cache.ahas_key("key") is True
        assert await cache.atouch("key", 10) is True
        assert await cache.aget_or_set("other", 3) == 3
        await cache.aset_many({"third": 3})
        assert await cache.aget_many(["key", "third"]) == {"key": 1, "third": 3}
        assert await cache.aincr_version("key") == 2
        await cache.adelete_many(["other"])
        assert await cache.adelete("third") is True
        await cache.aclear()
        await cache.aclose()

    use()
    assert cache.get("key", version=2) is None


def test_every_call_uses_one_client(cache):
    clients = {id(cache._cache.get_client(key)) for key in ("a", "b")}

    assert len(clients) == 1


def test_reads_are_counted(cache):
    def count(outcome):
        labels = {"cache": "default", "outcome": outcome}
        return REGISTRY.get_sample_value("cache_requests_total", labels) or 0

    before = count("hit"), count("miss")
    cache.set("key", 1)
    for key in ("key", "other", "other"):
        cache.get(key)

    assert (count("hit"), count("miss")) == (before[0] + 1, before[1] + 2)


def test_keys_of_a_failed_set_many_are_returned(cache, monkeypatch):
    monkeypatch.setattr(
        redis.client.Pipeline, "execute", Mock(side_effect=redis.ConnectionError("down"))
    )
    assert cache.set_many({"a": 1, "b": 2}) == ["a", "b"]
    wait_for(lambda: not breaker_for(project.REDIS_URL).is_open)
