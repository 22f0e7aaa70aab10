"""Writes that Redis rejects leave no old value readable."""

from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import Mock

import pytest
import redis

from service_runtime.caching.backend import RedisCache
from service_runtime.conf import settings as project
from service_runtime.local_redis import find_server, running_server
from service_runtime.redis import breaker_for
from tests.waiting import wait_for

WRITES: dict[str, Callable[[RedisCache], Any]] = {
    "set": lambda cache: cache.set("key", "new"),
    "set with a TTL of 0": lambda cache: cache.set("key", "new", 0),
    "set_many": lambda cache: cache.set_many({"key": "new"}),
    "touch": lambda cache: cache.touch("key", 0),
    "delete": lambda cache: cache.delete("key"),
    "delete_many": lambda cache: cache.delete_many(["key"]),
    "incr": lambda cache: cache.incr("key"),
    "clear": lambda cache: cache.clear(),
}
ALLOCATING = {"set", "set_many", "incr"}
# A TTL or an amount that Redis or its client rejects.
INVALID: dict[str, Callable[[RedisCache], Any]] = {
    "set": lambda cache: cache.set("key", "new", 2**63),
    "set_many": lambda cache: cache.set_many({"key": "new"}, 2**63),
    "touch": lambda cache: cache.touch("key", 2**63),
    "incr": lambda cache: cache.incr("key", [1]),  # type: ignore[arg-type]
}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Return the URL of a server whose configuration tests can change."""
    program = find_server()
    if not program:
        pytest.skip("needs a redis-server")
    with running_server(program) as url:
        yield url


@pytest.fixture
def configure(url: str) -> Iterator[Callable[..., None]]:
    """Return a function that changes the server's configuration until the test ends."""
    initial: dict[str, Any] = {}
    with redis.Redis.from_url(url) as operator:

        def configure(**values: Any) -> None:
            for name, value in values.items():
                setting = name.replace("_", "-")
                initial.setdefault(setting, operator.config_get(setting)[setting])
                operator.config_set(setting, value)

        yield configure
        for setting, value in initial.items():
            operator.config_set(setting, value)
    wait_for(lambda: not breaker_for(url).is_open)


@pytest.fixture
def cache_of() -> Iterator[Callable[[str], RedisCache]]:
    """Return a function that creates a cache, whose connections end with the test."""
    caches: list[RedisCache] = []

    def cache_of(url: str) -> RedisCache:
        caches.append(RedisCache(url, {"KEY_PREFIX": "tests:rejected"}))
        return caches[-1]

    yield cache_of
    for cache in caches:
        cache._cache.get_client().connection_pool.disconnect()


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_old_value_is_not_read_while_redis_rejects_writes_nor_afterwards(
    url, configure, cache_of, write
):
    cache = cache_of(url)
    cache.set("key", 1)
    configure(min_replicas_to_write=1)  # NOREPLICAS, an error reply like MISCONF

    write(cache)

    assert cache.get("key") is None
    assert cache.get_many(["key"]) == {}
    configure(min_replicas_to_write=0)
    wait_for(lambda: not breaker_for(url).is_open)
    assert cache.get("key") is None
    cache.set("key", 2)
    assert cache.get("key") == 2


@pytest.mark.parametrize("name", sorted(ALLOCATING))
def test_redis_without_memory_serves_what_it_has_but_replaced_values(
    url, configure, cache_of, name
):
    cache = cache_of(url)
    cache.set_many({"key": 1, "other": 1})
    configure(maxmemory_policy="noeviction", maxmemory=1)

    WRITES[name](cache)

    assert cache.get("key") is None
    assert cache.get("other") == 1
    assert cache.add("other", 2) is False
    assert cache.get("other") == 1  # such as the lock of another process


@pytest.mark.redis
@pytest.mark.parametrize("write", INVALID.values(), ids=INVALID)
def test_invalid_argument_costs_its_own_key_and_no_other(cache_of, write):
    cache, breaker = cache_of(project.REDIS_URL), breaker_for(project.REDIS_URL)
    cache.set_many({"key": 1, "other": 1})
    outages = breaker.outages

    write(cache)

    assert cache.get("key") is None
    assert breaker.outages == outages
    breaker.trip(redis.ConnectionError("down"))
    wait_for(lambda: not breaker.is_open)
    assert cache.get("other") == 1


@pytest.mark.redis
@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_old_value_is_not_read_if_the_circuit_closed_before_the_write_was_reported(
    monkeypatch, cache_of, write
):
    cache = cache_of(project.REDIS_URL)
    cache.set("key", 1)

    with monkeypatch.context() as patch:
        for name in ("execute_command", "pipeline"):
            patch.setattr(redis.Redis, name, Mock(side_effect=redis.ConnectionError("down")))
        write(cache)

    assert cache.get("key") is None
    wait_for(lambda: not breaker_for(project.REDIS_URL).is_open)
    assert cache.get("key") is None
