"""The limiter in Redis: concurrency, memory, lost connections and lost data."""

import threading
import time

import pytest
import redis

from service_runtime.conf import settings
from service_runtime.redis import client as connected
from service_runtime.redis.clients import breaker_for, connection_options
from service_runtime.throttling.limiter import Limit, RedisLimiter
from tests.throttling.limiters import new_key, take_in_threads


@pytest.mark.redis
class TestRedis:
    @pytest.fixture
    def client(self):
        with redis.Redis.from_url(settings.REDIS_URL) as client:
            yield client

    @pytest.fixture
    def limiter(self, client):
        limiter = RedisLimiter(connected(settings.REDIS_URL))
        limiter.take([Limit(new_key(), 1, 1)])  # loads the script
        return limiter

    def test_threads_and_connections_share_the_limit(self, limiter):
        limit = Limit(new_key(), 100, 3600)

        assert take_in_threads(lambda: limiter.take([limit])[0].fits, 800) == 100

    def test_one_command_for_any_number_of_windows(self, limiter, client):
        limits = [Limit(new_key(), 10, period) for period in (1, 60, 3600)]

        def commands():
            statistics = client.info("commandstats")
            # The script's own calls run inside Redis, without a round trip.
            inner = ("cmdstat_info", "cmdstat_mget", "cmdstat_set", "cmdstat_time")
            return sum(s["calls"] for name, s in statistics.items() if name not in inner)

        before = commands()
        limiter.take(limits)
        assert commands() - before == 1

    @pytest.mark.parametrize("limit", [10, 1_000_000])
    def test_memory_is_independent_of_the_limit_and_expires(self, limiter, operator, limit):
        key = new_key()
        for _ in range(50):
            limiter.take([Limit(key, limit, 60)])

        assert operator.memory_usage(key) <= 256
        assert 62_000 < operator.pttl(key) <= 63_000

    def test_a_connection_closed_by_the_server_is_reopened(self, limiter, operator):
        limit = Limit(new_key(), 2, 3600)
        limiter.take([limit])
        operator.client_kill_filter(_type="normal", skipme=True)

        assert limiter.take([limit])[0][:2] == (True, 0)

    def test_a_connection_that_breaks_during_a_call_is_not_an_outage(self, operator):
        url = settings.REDIS_URL
        limiter = RedisLimiter(redis.Redis.from_url(url, **connection_options(url)))
        limit = Limit(new_key(), 200, 3600)
        turn, idle = threading.Semaphore(0), threading.Event()
        over = False
        idle.set()

        def kill() -> None:
            while turn.acquire() and not over:
                operator.client_kill_filter(_type="normal", skipme=True)
                idle.set()

        killing = threading.Thread(target=kill)
        killing.start()
        fitted = 0
        try:
            for number in range(1000):
                # Not twice within one call, which is retried only once.
                if number % 10 == 0 and idle.is_set():
                    idle.clear()
                    turn.release()
                fitted += limiter.take([limit])[0].fits
        finally:
            over = True
            turn.release()
            killing.join()

        # A call that was counted before its connection broke counts twice.
        assert 0 < fitted <= 200

    def test_a_server_that_becomes_a_replica_is_disconnected(self, operator):
        url = settings.REDIS_URL
        limiter = RedisLimiter(redis.Redis.from_url(url, **connection_options(url)))
        limit = Limit(new_key(), 2, 3600)
        limiter.take([limit])
        before = limiter.clients.get().connection._sock
        operator.replicaof("127.0.0.1", 1)
        try:
            with pytest.raises(redis.exceptions.ReadOnlyError):
                limiter.take([limit])
            with pytest.raises(redis.ConnectionError, match="unavailable"):
                limiter.take([limit])
        finally:
            operator.replicaof("NO", "ONE")
        deadline = time.monotonic() + 20
        while breaker_for(url).is_open:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert limiter.take([limit])[0].fits
        assert limiter.clients.get().connection._sock is not before

    def test_a_flushed_script_is_reloaded(self, limiter, operator):
        limit = Limit(new_key(), 1, 3600)
        limiter.take([limit])
        operator.script_flush()

        assert not limiter.take([limit])[0].fits

    @pytest.mark.parametrize("value", ["", "x" * 92, "x" * 91])
    def test_a_malformed_ring_is_not_an_error(self, limiter, client, value):
        limit = Limit(new_key(), 2, 3600)
        client.set(limit.key, value)

        limiter.take([limit])
        limiter.take([limit])

    def test_a_lost_key_admits_requests(self, limiter, client):
        limit = Limit(new_key(), 1, 3600)
        limiter.take([limit])
        client.delete(limit.key)

        assert limiter.take([limit])[0].fits
