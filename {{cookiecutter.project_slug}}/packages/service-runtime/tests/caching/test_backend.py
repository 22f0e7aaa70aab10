"""What Django documents of its cache API, on Redis and without it."""

import time

import pytest
import redis
from asgiref.sync import async_to_sync
from django.core.cache import CacheKeyWarning
from django.core.exceptions import ImproperlyConfigured

from service_runtime.caching.backend import RedisCache
from service_runtime.conf import settings as project
from service_runtime.redis.clients import circuit_breaker
from tests.waiting import wait_for

pytestmark = pytest.mark.redis


@pytest.fixture
def cache():
    return RedisCache(project.REDIS_URL, {"KEY_PREFIX": "tests:backend"})


@pytest.fixture
def timeout_of(cache):
    """Return a function that tells how many seconds a key has left; -1 means forever."""

    def timeout_of(key):
        with redis.Redis.from_url(project.REDIS_URL) as client:
            return client.ttl(cache.make_and_validate_key(key))

    return timeout_of


@pytest.mark.parametrize(
    "value", ["text", "", 0, 7, -1, 2**70, 1.5, None, True, [1, "a"], {"a": {1, 2}}, b"\x00\xff"]
)
def test_a_value_comes_back_as_it_was(cache, value):
    cache.set("key", value)

    assert cache.get("key", "default") == value
    assert type(cache.get("key")) is type(value)


def test_what_is_not_there_is_the_default(cache):
    assert cache.get("key") is None
    assert cache.get("key", 5) == 5
    assert "key" not in cache
    assert cache.has_key("key") is False
    assert cache.delete("key") is False
    assert cache.touch("key") is False


def test_add_keeps_what_is_there(cache):
    assert cache.add("key", "first") is True
    assert cache.add("key", "second") is False
    assert cache.get("key") == "first"


def test_delete(cache):
    cache.set("key", 1)

    assert cache.delete("key") is True
    assert cache.get("key") is None


def test_numbers_count(cache):
    cache.set("key", 41)

    assert cache.incr("key") == 42
    assert cache.incr("key", 10) == 52
    assert cache.decr("key") == 51
    assert cache.decr("key", 52) == -1
    assert cache.get("key") == -1


@pytest.mark.parametrize("method", ["incr", "decr", "incr_version", "decr_version"])
def test_counting_what_is_not_there_is_an_error(cache, method):
    with pytest.raises(ValueError, match="key"):
        getattr(cache, method)("key")


@pytest.mark.parametrize("value", ["text", b"7", "7", [1], None, True, 1.5])
@pytest.mark.parametrize("method", ["incr", "decr"])
def test_counting_what_is_no_integer_is_an_error(cache, method, value):
    cache.set("key", value)

    with pytest.raises(redis.ResponseError, match="not an integer"):
        getattr(cache, method)("key")
    assert cache.get("key") == value


def test_counting_beyond_64_bits_is_an_error(cache):
    cache.set("key", 2**63 - 1)

    with pytest.raises(redis.ResponseError, match="overflow"):
        cache.incr("key")


@pytest.mark.parametrize("key", ["key", "a:b", "*", "[x]", "clé", "x" * 200])
@pytest.mark.parametrize("version", [1, 2, "v2", "", None])
@pytest.mark.parametrize(
    "key_function", [None, lambda key, prefix, version: f"{key}/{version}", lambda *_: "constant"]
)
def test_clear_removes_whatever_set_has_written(key, version, key_function):
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
def test_a_value_that_was_to_go_in_an_outage_is_not_back_after_it(cache, monkeypatch, write):
    other = RedisCache(project.REDIS_URL, {"KEY_PREFIX": "tests:other"})
    for each in (cache, other):
        each.set("key", 1)
    breaker = circuit_breaker(project.REDIS_URL)

    def fail(*args, **options):
        raise redis.ConnectionError("gone")

    with monkeypatch.context() as patch:
        for name in ("execute_command", "pipeline"):
            patch.setattr(redis.Redis, name, fail)
        breaker.trip(redis.ConnectionError("gone"))
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
    """A serializer of a team's own."""

    def dumps(self, value):
        return f"text:{value}"

    def loads(self, data):
        return data.decode().removeprefix("text:")


def test_another_serializer_may_be_chosen():
    options = {"KEY_PREFIX": "tests:text", "OPTIONS": {"serializer": Text}}
    cache = RedisCache(project.REDIS_URL, options)
    cache.set("key", "value")

    assert cache.get("key") == "value"
    with redis.Redis.from_url(project.REDIS_URL) as client:
        assert client.get(cache.make_and_validate_key("key")).endswith(b"text:value")


def test_many(cache):
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


def test_something_ends_with_its_timeout(cache):
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


def test_what_cannot_be_kept_is_an_error(cache):
    with pytest.raises((AttributeError, TypeError, ValueError)):
        cache.set("key", lambda: None)
    with pytest.raises(TypeError):
        cache.set("key")


def test_a_key_may_be_any_text(cache):
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


def test_one_client_serves_every_call(cache):
    clients = {id(cache._cache.get_client(key)) for key in ("a", "b")}

    assert len(clients) == 1
