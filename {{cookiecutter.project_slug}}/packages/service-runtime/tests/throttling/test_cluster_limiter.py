"""The limiter in a Redis Cluster: exactness across slots, outages, failovers and migrations."""

import itertools
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from service_runtime.redis import Cluster
from service_runtime.throttling import ScopedRateThrottle, decisions, operations
from service_runtime.throttling.cluster_limiter import ClusterLimiter
from service_runtime.throttling.decisions import key_of
from service_runtime.throttling.limiter import Limit
from tests.clusters import PASSWORD
from tests.throttling.limiters import take_in_threads
from tests.throttling.views import by, counted, statuses, view
from tests.waiting import wait_for

THREADS = 16
_numbers = itertools.count()


@pytest.fixture
def limiter(cluster):
    return ClusterLimiter(cluster)


def new_client():
    return f"tests:{next(_numbers)}"


def limit_of(client, limit, period=3600, scope="scope", shadow=0):
    return Limit(key_of(scope, client, period), limit, period, shadow)


def clients_on(shards, count=3):
    """Return clients by the port of the master that counts them, and the masters."""
    found: dict[int, list[str]] = {}
    while len(found) < 3 or min(map(len, found.values())) < count:
        client = new_client()
        found.setdefault(shards.master_of(key_of("scope", client, 3600)).port, []).append(client)
    return found


def used(limiter, limit):
    return limit.limit - limiter.take([limit], cost=0)[0].remaining


def fits(limiter, limits):
    return all(outcome.fits for outcome in limiter.take(limits))


class Callers:
    """Call the limiter in threads; count the requests by outcome."""

    def __init__(self, limiter, limit):
        self.admitted = self.denied = self.unavailable = 0
        self._limiter, self._limit = limiter, limit
        self._lock, self._stopping = threading.Lock(), threading.Event()

    def _run(self):
        while not self._stopping.is_set():
            try:
                fitted = self._limiter.take([self._limit])[0].fits
            except redis.RedisError:
                with self._lock:
                    self.unavailable += 1
                continue
            with self._lock:
                self.admitted += fitted
                self.denied += not fitted

    def __enter__(self):
        self._pool = ThreadPoolExecutor(THREADS)
        self._futures = [self._pool.submit(self._run) for _ in range(THREADS)]
        return self

    def __exit__(self, *error):
        self._stopping.set()
        self._pool.shutdown()
        for future in self._futures:
            future.result()


def test_each_of_many_clients_is_admitted_exactly_to_its_limit(limiter, shards):
    limits = [limit_of(new_client(), 20) for _ in range(60)]
    order = itertools.cycle(limits)
    admitted = dict.fromkeys(limits, 0)
    lock = threading.Lock()

    def take():
        with lock:
            limit = next(order)
        if limiter.take([limit])[0].fits:
            with lock:
                admitted[limit] += 1
            return True
        return False

    assert take_in_threads(take, 60 * 32) == 60 * 20
    assert set(admitted.values()) == {20}
    assert len({shards.master_of(limit.key).port for limit in limits}) == 3


def test_windows_of_one_client_take_one_call(limiter, shards):
    client = new_client()
    limits = [limit_of(client, 2, period, scope) for period in (60, 3600) for scope in "ab"]
    limiter.take(limits)
    server = shards.master_of(limits[0].key)

    def calls():
        return server.client.info("commandstats")["cmdstat_evalsha"]["calls"]

    before = calls()
    assert [fits(limiter, limits) for _ in range(2)] == [True, False]
    assert calls() == before + 2


def test_request_of_several_clients_is_counted_in_all_slots_or_in_none(limiter, shards):
    (one, *_), (two, *_), (three, *_) = clients_on(shards).values()
    wide, narrow, shadow = limit_of(one, 5), limit_of(two, 2), limit_of(three, 1, shadow=1)
    limits = [wide, narrow, shadow]

    outcomes = [limiter.take(limits) for _ in range(4)]

    assert [[outcome.fits for outcome in each] for each in outcomes] == [
        [True, True, True],
        [True, True, False],
        [True, False, False],
        [True, False, False],
    ]
    assert [used(limiter, limit) for limit in limits] == [2, 2, 1]
    assert outcomes[-1][1].wait == pytest.approx(3600, abs=190)
    assert limiter.take(limits, cost=0)[1].fits


@pytest.mark.parametrize("is_first_narrow", [True, False])
def test_concurrent_requests_of_several_clients_exceed_no_limit(limiter, shards, is_first_narrow):
    (one, *_), (two, *_), _ = clients_on(shards).values()
    narrow, wide = limit_of(one, 100), limit_of(two, 400)
    limits = [narrow, wide] if is_first_narrow else [wide, narrow]

    assert take_in_threads(lambda: fits(limiter, limits), 800) == 100
    assert used(limiter, narrow) == 100
    # A request that was denied by the second slot stays counted in the first: at most one per
    # thread, namely those that were between their check and their count.
    assert 100 <= used(limiter, wide) <= (100 if is_first_narrow else 100 + THREADS)


def test_keys_of_one_client_in_several_slots_are_counted_too(limiter):
    # The tag of this client's keys is empty, so each key has its own slot.
    limits = [limit_of("}x", 3, period) for period in (60, 3600, 86_400)]
    limiter.reset([limit.key for limit in limits])

    assert [fits(limiter, limits) for _ in range(4)] == [True] * 3 + [False]
    assert limiter.reset([limit.key for limit in limits]) == 3
    assert fits(limiter, limits)


def test_migration_of_a_slot_is_exact(limiter, shards):
    limit = limit_of(new_client(), 2000)
    source = shards.master_of(limit.key)
    target = next(s for s in shards.servers if s.role == "master" and s is not source)

    with Callers(limiter, limit) as callers:
        wait_for(lambda: callers.admitted > 100)
        shards.move_slot(limit.key, target)
        wait_for(lambda: callers.denied > 100)

    assert (callers.admitted, callers.unavailable) == (2000, 0)
    assert used(limiter, limit) == 2000


def test_windows_on_both_nodes_of_a_migration_are_exact(limiter, shards):
    client = new_client()
    here, there, new = (limit_of(client, 3, period) for period in (60, 3600, 86_400))
    source = shards.master_of(here.key)
    target = next(s for s in shards.servers if s.role == "master" and s is not source)
    limiter.take([here, there])
    shards.start_move(here.key, target)
    shards.migrate(source, target, there.key)

    # A node rejects calls for keys that it has only in part.
    outcomes = [limiter.take([here, there, new]) for _ in range(3)]
    assert [[outcome.remaining for outcome in each] for each in outcomes] == [
        [1, 1, 2],
        [0, 0, 1],
        [0, 0, 1],
    ]
    assert not outcomes[2][0].fits
    shards.move_slot(here.key, target)
    assert not fits(limiter, [here, there, new])


def test_manual_failover_is_exact(limiter, shards):
    limit = limit_of(new_client(), 2000)
    key = shards.oldest_key([key_of("scope", new_client(), 3600) for _ in range(30)])
    limit = limit._replace(key=key)
    replica = shards.replica_of(shards.master_of(key))

    with Callers(limiter, limit) as callers:
        wait_for(lambda: callers.admitted > 100)
        replica.cluster("FAILOVER")
        wait_for(lambda: replica.role == "master")
        wait_for(lambda: callers.denied > 100)

    assert (callers.admitted, callers.unavailable) == (2000, 0)


def test_promotion_after_a_crash_loses_only_what_was_not_replicated(limiter, shards):
    key = shards.oldest_key([key_of("scope", new_client(), 3600) for _ in range(30)])
    limit = Limit(key, 2000, 3600)
    others = [limit_of(new_client(), 5) for _ in range(30)]
    old = shards.master_of(key)
    other = next(each for each in others if shards.master_of(each.key) is not old)

    with Callers(limiter, limit) as callers:
        wait_for(lambda: callers.admitted > 100)
        old.stop()
        wait_for(lambda: callers.unavailable)
        assert [fits(limiter, [other]) for _ in range(6)] == [True] * 5 + [False]
        wait_for(lambda: callers.denied > 100)

    # A master sends its replica what it has counted in the same turn as it replies. So each
    # connection can have one reply whose count is lost, or one count whose reply is lost.
    assert 2000 - THREADS <= callers.admitted <= 2000 + THREADS
    assert used(limiter, limit) == 2000


def test_user_with_the_documented_rights(shards):
    rights = "~tests:* -@all +ping +client|setname +client|setinfo +eval +evalsha +time +get +mget"
    rights += " +set +del +unlink +cluster|info +cluster|slots +asking"
    for server in shards.servers:
        server.client.execute_command("ACL", "SETUSER", "service", "on", ">x", *rights.split())
    url = shards.url.replace(f":{PASSWORD}@", "service:x@")
    limiter = ClusterLimiter(Cluster(url))
    limits = [limit_of(new_client(), 5) for _ in range(10)]
    source = shards.master_of(limits[0].key)
    target = next(s for s in shards.servers if s.role == "master" and s is not source)

    limiter.take(limits)
    shards.start_move(limits[0].key, target)
    shards.migrate(source, target, limits[0].key)
    assert [outcome.remaining for outcome in limiter.take(limits)] == [3] * 10
    shards.move_slot(limits[0].key, target)
    assert limiter.reset([limit.key for limit in limits]) == 10


@pytest.fixture
def by_header(shards, cluster, settings, set_rates, monkeypatch):
    """Return a view that counts each tenant, which is named by a header."""
    settings.THROTTLING_REDIS_URL = shards.url
    settings.THROTTLING_GET_CLIENT = f"{__name__}.tenant_of"
    decisions.limiter.cache_clear()
    monkeypatch.setattr(decisions, "_failing", set())
    set_rates(scope="3/h")
    yield view(throttle_classes=[ScopedRateThrottle], throttle_scope="scope")
    decisions.limiter.cache_clear()


def tenant_of(request):
    return request.headers.get("X-Tenant")


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL])
@pytest.mark.parametrize("closed", [[], ["scope"]], ids=["open", "closed"])
def test_outage_of_a_shard_opens_the_scopes_of_its_clients_only(
    shards, by_header, settings, caplog, closed, number
):
    caplog.set_level("INFO")
    settings.REDIS_SOCKET_TIMEOUT = 0.1
    settings.THROTTLING_FAIL_CLOSED = closed
    shards.keep_roles()
    clients = clients_on(shards)
    down = next(server for server in shards.servers if server.port == min(clients))
    unavailable = clients.pop(down.port)
    status, outcome = (503, "failed_closed") if closed else (200, "failed_open")
    for tenant in (unavailable[0], *(each[0] for each in clients.values())):
        assert statuses(by_header, 1, **by(tenant)) == [200]
    before = counted("scope", outcome)
    down.process.send_signal(number)

    for tenant in unavailable:
        assert statuses(by_header, 5, **by(tenant)) == [status] * 5
    for first, second, *_ in clients.values():
        assert statuses(by_header, 3, **by(first)) == [200, 200, 429]
        assert statuses(by_header, 4, **by(second)) == [200, 200, 200, 429]

    assert counted("scope", outcome) == before + 5 * len(unavailable)
    events = [record.ev for record in caplog.records if hasattr(record, "ev")]
    assert [name for name in events if name != "throttled"] == [f"throttle_{outcome}"]
    shards.heal()
    wait_for(lambda: statuses(by_header, 1, **by(unavailable[1])) == [429])
    events = [record.ev for record in caplog.records if hasattr(record, "ev")]
    assert [name for name in events if name != "throttled"] == [
        f"throttle_{outcome}",
        "throttle_recovered",
    ]


def test_operators_find_and_reset_clients_of_every_shard(shards, by_header):
    clients = [found[0] for found in clients_on(shards).values()]
    for tenant in clients:
        assert statuses(by_header, 4, **by(tenant)) == [200, 200, 200, 429]

    assert [operations.usage(tenant)[0].outcome.remaining for tenant in clients] == [0, 0, 0]
    assert [operations.reset(tenant) for tenant in clients] == [1, 1, 1]
    assert [operations.usage(tenant)[0].outcome.remaining for tenant in clients] == [3, 3, 3]


def test_request_that_counts_for_clients_of_two_shards_is_denied_by_the_available_one(
    limiter, shards
):
    shards.keep_roles()
    clients = clients_on(shards)
    (port, (one, *_)), (_, (two, *_)), _ = clients.items()
    limits = [limit_of(one, 5), limit_of(two, 2)]
    limiter.take(limits)
    next(server for server in shards.servers if server.port == port).stop()

    outcomes = [limiter.take(limits) for _ in range(3)]

    assert [outcome[1].fits for outcome in outcomes] == [True, False, False]
    assert all(isinstance(first.error, redis.ConnectionError) for first, _ in outcomes)
    assert all(second.error is None for _, second in outcomes)
    with pytest.raises(redis.ConnectionError):
        limiter.take(limits[:1])
