"""The client of a Redis Cluster, on a real one."""

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis
from prometheus_client import REGISTRY

from service_runtime.redis import Cluster, cluster_of, resolver, slot_of
from service_runtime.redis import cluster as module
from tests.waiting import wait_for

KEYS = [f"tests:{{{number}}}" for number in range(100)]


def increment(cluster, key):
    return cluster.execute(slot_of(key), "INCR", key)


def responds(cluster, key):
    """Return whether a call succeeds."""
    try:
        return bool(increment(cluster, key))
    except redis.RedisError:
        return False


def circuits():
    """Return the servers whose circuit is open, by the metric."""
    (metric,) = [each for each in REGISTRY.collect() if each.name == "redis_circuit_open"]
    return {sample.labels["server"] for sample in metric.samples if sample.value}


@contextmanager
def callers(call, count=8):
    """Call a function in threads until the block ends; yield the list of its results."""
    results: list[Any] = []
    stopping = threading.Event()

    def run():
        while not stopping.is_set():
            results.append(call())

    with ThreadPoolExecutor(count) as pool:
        futures = [pool.submit(run) for _ in range(count)]
        try:
            wait_for(lambda: len(results) > count)
            yield results
            after = len(results)
            wait_for(lambda: len(results) > after + count)
        finally:
            stopping.set()
    for future in futures:
        future.result()


def test_each_command_is_sent_to_the_node_of_its_slot(shards, cluster):
    first = [increment(cluster, key) for key in KEYS]

    assert [increment(cluster, key) for key in KEYS] == [reply + 1 for reply in first]
    assert {shards.master_of(key).port for key in KEYS} == {
        node.clients.get().connection.port for node in cluster._nodes.values()
    }
    assert len(cluster._nodes) == 3
    assert cluster.is_available
    assert cluster_of(shards.url) is cluster


def test_one_reachable_seed_is_enough(shards):
    shards.servers[0].stop()
    cluster = Cluster(shards.url.replace("127.0.0.1:", "127.0.0.1:1,127.0.0.1:", 1))

    wait_for(lambda: responds(cluster, KEYS[0]))
    shards.heal()
    wait_for(lambda: cluster._thread is None)


def test_cluster_that_cannot_be_reached_fails_at_once_after_the_first_attempt(caplog):
    cluster = Cluster("redis+cluster://127.0.0.1:1,127.0.0.1:2")

    started = time.monotonic()
    for _ in range(100):
        with pytest.raises(redis.ConnectionError):
            increment(cluster, "key")

    assert time.monotonic() - started < resolver.FIRST_LOOKUP_SECONDS + 0.5
    assert circuits() >= {"127.0.0.1:1,127.0.0.1:2"}
    (record,) = caplog.records
    assert record.message.startswith("Redis Cluster at 127.0.0.1:1,127.0.0.1:2 is unavailable: ")


@pytest.mark.redis
def test_single_server_is_not_a_cluster(settings, caplog):
    # Not the user of a service, who may not ask.
    url = os.environ.get("REDIS_OPERATOR_URL", settings.REDIS_URL)
    cluster = Cluster(url.replace("redis://", "redis+cluster://"))

    with pytest.raises(redis.ConnectionError):
        increment(cluster, "key")
    assert "cluster support disabled" in caplog.text


def test_moved_slot_is_followed(shards, cluster):
    key = KEYS[0]
    source = shards.master_of(key)
    target = next(s for s in shards.servers if s.role == "master" and s is not source)
    count = increment(cluster, key)

    with callers(lambda: increment(cluster, key)) as replies:
        shards.move_slot(key, target)

    # Each call took effect once.
    assert sorted(replies) == list(range(count + 1, count + 1 + len(replies)))
    assert shards.master_of(key) is target
    assert cluster._slots[slot_of(key)].clients.get().connection.port == target.port
    assert cluster.is_available


def test_slot_in_migration_is_served_by_both_nodes(shards, cluster):
    old, new = "{tests}:old", "{tests}:new"
    source = shards.master_of(old)
    target = next(s for s in shards.servers if s.role == "master" and s is not source)
    cluster.execute(slot_of(old), "DEL", old, new)
    increment(cluster, old)
    shards.start_move(old, target)

    assert increment(cluster, old) == 2
    assert [increment(cluster, new) for _ in range(2)] == [1, 2]
    assert source.client.keys("{tests}:*") == [old.encode()]
    shards.move_slot(old, target)
    assert (increment(cluster, old), increment(cluster, new)) == (3, 3)


def test_redirections_end(shards, cluster, monkeypatch):
    monkeypatch.setattr(module, "MAX_REDIRECTIONS", 0)
    increment(cluster, KEYS[0])
    slot = slot_of(KEYS[0])
    node = next(node for node in cluster._nodes.values() if node is not cluster._slots[slot])
    cluster._slots[slot] = node

    with pytest.raises(redis.ConnectionError, match="redirects without end"):
        increment(cluster, KEYS[0])
    assert increment(cluster, KEYS[0])  # the redirection is remembered


def test_unknown_host_is_that_of_the_replying_node():
    cluster: Any = Cluster("rediss+cluster://u:p@one:7000?protocol=2")

    cluster._accept("rediss://u:p@[::1]:7000?protocol=2", [[0, 9, [None, 7001, b"id"]]])
    cluster._redirected(redis.exceptions.MovedError("3 :7002"), cluster._slots[3])
    cluster._redirected(redis.exceptions.AskError("4 two:7003"), cluster._slots[4])

    assert list(cluster._nodes) == [
        "rediss://u:p@[::1]:7001?protocol=2",
        "rediss://u:p@[::1]:7002?protocol=2",
        "rediss://u:p@two:7003?protocol=2",
    ]
    assert [cluster._slots[n].url[-16:-11] for n in (2, 3, 4)] == [":7001", ":7002", ":7001"]
    with pytest.raises(redis.ConnectionError, match="serves slot 10"):
        cluster.execute(10, "GET", "key")


def test_node_whose_hostname_is_not_known_yet_is_not_used():
    cluster: Any = Cluster("redis+cluster://u:p@one:7000")

    cluster._accept("redis://u:p@one:7000", [[0, 9, [b"?", 7001]], [10, 19, [b"one", 7000]]])

    with pytest.raises(redis.ConnectionError, match="serves slot 3"):
        cluster.execute(3, "GET", "key")
    for kind in (redis.exceptions.MovedError, redis.exceptions.AskError):
        with pytest.raises(redis.ConnectionError, match="hostname"):
            cluster._redirected(kind("10 ?:7001"), cluster._slots[10])
    assert list(cluster._nodes) == ["redis://u:p@one:7000"]
    assert cluster._slots[10].url == "redis://u:p@one:7000"


def test_view_of_a_node_without_the_majority_is_ignored(monkeypatch):
    views = {"old": ("fail", [[0, 9, [b"old", 1, b"id"]]]), "new": ("ok", [[0, 9, [b"new", 1]]])}

    class Seed:
        def __init__(self, url):
            self._state, self._slots = views[urlsplit(url).hostname]

        def __enter__(self):
            return self

        def __exit__(self, *error):
            return None

        def execute_command(self, command):
            is_state = command == "CLUSTER INFO"
            return {"cluster_state": self._state} if is_state else self._slots

    monkeypatch.setattr(module, "connect", Seed)
    for _ in range(10):  # in any order
        cluster = Cluster("redis+cluster://old,new")
        cluster._load()
        assert list(cluster._nodes) == ["redis://new:1"]
    views["new"] = views["old"]
    with pytest.raises(redis.exceptions.ClusterDownError, match="has cluster_state:fail"):
        cluster._load()
    assert list(cluster._nodes) == ["redis://new:1"]


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL])
def test_outage_of_a_node_affects_its_slots_only(shards, cluster, number):
    shards.keep_roles()
    down = shards.master_of(KEYS[0])
    mine = [key for key in KEYS if shards.master_of(key) is down]
    others = [key for key in KEYS if key not in mine]
    assert all(responds(cluster, key) for key in KEYS)
    down.process.send_signal(number)

    assert not responds(cluster, mine[0])
    started = time.monotonic()
    assert not any(responds(cluster, key) for key in mine * 10)
    assert time.monotonic() - started < 1
    assert all(responds(cluster, key) for key in others)
    assert not cluster.is_available
    assert circuits() >= {f"127.0.0.1:{down.port}"}

    shards.heal()
    wait_for(lambda: responds(cluster, mine[0]))
    assert all(responds(cluster, key) for key in KEYS)
    assert cluster.is_available
    wait_for(lambda: not circuits() & {f"127.0.0.1:{server.port}" for server in shards.servers})


def test_promoted_replica_is_used_after_its_master_is_killed(shards, cluster):
    key = shards.oldest_key(KEYS)
    increment(cluster, key)
    old = shards.master_of(key)
    replica = shards.replica_of(old)
    node = cluster._slots[slot_of(key)]
    wait_for(lambda: cluster._thread is None)

    with callers(lambda: responds(cluster, key)) as results:
        old.stop()
        wait_for(lambda: not results[-1])
        wait_for(lambda: all(results[-8:]))

    assert cluster._slots[slot_of(key)].clients.get().connection.port == replica.port
    wait_for(lambda: cluster._thread is None)
    # The dead node is no longer probed, and its circuit is no alarm.
    assert node not in cluster._nodes.values()
    wait_for(lambda: not node.breaker._probe.is_alive())
    assert f"127.0.0.1:{old.port}" not in circuits()


def test_manual_failover_fails_no_call(shards, cluster):
    key = shards.oldest_key(KEYS)
    old = shards.master_of(key)
    replica = shards.replica_of(old)
    count = increment(cluster, key)

    with callers(lambda: increment(cluster, key)) as replies:
        replica.cluster("FAILOVER")
        wait_for(lambda: replica.role == "master")
        wait_for(lambda: cluster._slots[slot_of(key)].clients.get().connection.port == replica.port)

    assert sorted(replies) == list(range(count + 1, count + 1 + len(replies)))


def test_forked_child_reads_the_slots_with_a_thread_of_its_own(cluster):
    increment(cluster, KEYS[0])
    with cluster._lock:
        cluster._reset()

    cluster._refresh()
    wait_for(cluster._attempted.is_set)
