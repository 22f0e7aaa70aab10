"""Both limiters against an exact model of what was let in when, in simulated time."""

import itertools
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from service_runtime.conf import settings
from service_runtime.redis import breaker_for, connection_options
from service_runtime.throttling.limiter import (
    BUCKETS,
    RING_SCRIPT,
    Limit,
    LocalLimiter,
    RedisLimiter,
)

SECOND = 1_000_000
START = 1_800_000_000 * SECOND
_numbers = itertools.count()


class Clock:
    """Simulated time in microseconds."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        return self.now


class SimulatedRedisLimiter(RedisLimiter):
    """A real Redis whose script reads the simulated clock instead of its own."""

    SECONDS, MICROSECONDS = "tests:clock:seconds", "tests:clock:microseconds"

    def __init__(self, clock: Clock) -> None:
        simulated = f"redis.call('MGET', '{self.SECONDS}', '{self.MICROSECONDS}')"
        script = RING_SCRIPT.replace("redis.call('TIME')", simulated)
        assert script != RING_SCRIPT
        super().__init__(redis.Redis.from_url(settings.REDIS_URL), script)
        self._clock = clock

    def take(self, limits, cost=1):
        seconds, microseconds = divmod(self._clock.now, SECOND)
        self._client.mset({self.SECONDS: seconds, self.MICROSECONDS: microseconds})
        return super().take(limits, cost)


LIMITERS = [
    pytest.param(LocalLimiter, id="local"),
    pytest.param(SimulatedRedisLimiter, id="redis", marks=pytest.mark.redis),
]
both = pytest.mark.parametrize("make", LIMITERS)
simulated = hypothesis_settings(deadline=None, max_examples=150)

# Redis forgets keys by its own clock, so simulated periods are longer than the test takes.
windows = st.builds(
    lambda limit, minutes: (limit, minutes * 60), st.integers(1, 12), st.integers(1, 90)
)
# Pauses as a share of the first window's period: bursts, a steady pace, and beyond a bucket.
steps = st.lists(
    st.tuples(
        st.one_of(st.just(0.0), st.floats(0, 0.06), st.floats(0, 1.2)),
        st.integers(1, 3),
    ),
    min_size=1,
    max_size=60,
)


def new_key() -> str:
    return f"tests:ring:{next(_numbers)}"


def used(admitted: list[tuple[int, int]], since: int) -> int:
    """Return the cost of what was let in after a time."""
    return sum(cost for time, cost in admitted if time > since)


@both
@simulated
@given(window=windows, more=st.lists(windows, max_size=2, unique_by=lambda w: w[1]), steps=steps)
def test_never_over_the_limit_and_never_refused_without_need(make, window, more, steps):
    clock = Clock()
    limiter = make(clock)
    limits = [Limit(new_key(), *each) for each in [window, *more]]
    admitted: list[tuple[int, int]] = []
    for pause, cost in steps:
        clock.now += int(pause * window[1] * SECOND)
        prices = [min(cost, limit.limit) for limit in limits]
        before = limiter.take(limits, cost=0)
        outcomes = limiter.take(limits, cost)
        if all(outcome.fits for outcome in outcomes):
            admitted.append((clock.now, cost))
            for limit in limits:
                price = sum(
                    min(cost, limit.limit)
                    for time, cost in admitted
                    if time > clock.now - limit.period * SECOND
                )
                assert price <= limit.limit
        else:
            # All or nothing: what is denied counts nowhere.
            assert [o.remaining for o in outcomes] == [o.remaining for o in before]
            # Some window is full, if what is up to 5 % older than its period still counts.
            assert any(
                sum(
                    min(old, limit.limit)
                    for time, old in admitted
                    if time > clock.now - limit.period * SECOND * (BUCKETS + 1) // BUCKETS
                )
                + price
                > limit.limit
                for limit, price in zip(limits, prices, strict=True)
            )
            # Whoever waits as long as told gets in, and a moment earlier would not have.
            wait = round(max(outcome.wait for outcome in outcomes) * SECOND)
            clock.now += wait - 1
            assert not all(outcome.fits for outcome in limiter.take(limits, cost))
            clock.now += 1
            assert all(outcome.fits for outcome in limiter.take(limits, cost))
            admitted.append((clock.now, cost))


@both
@simulated
@given(window=windows, steps=steps, back=st.lists(st.floats(0, 3), min_size=60, max_size=60))
def test_a_clock_that_goes_back_lets_no_one_in_beyond_the_limit(make, window, steps, back):
    clock = Clock()
    limiter = make(clock)
    limit = Limit(new_key(), *window)
    period = limit.period * SECOND
    true_time = 0
    admitted: list[tuple[int, int]] = []
    for (pause, _), step in zip(steps, back, strict=False):
        true_time += int(pause * period)
        clock.now += int(pause * period) - int(step * period)
        if limiter.take([limit])[0].fits:
            admitted.append((true_time, 1))
            assert used(admitted, true_time - period) <= limit.limit
    # Nobody is shut out for longer than a period beyond what would have been.
    clock.now += 2 * period + period // BUCKETS
    assert limiter.take([limit])[0].fits


@both
def test_a_clock_that_goes_forward_frees_what_that_time_would_have_freed(make):
    clock = Clock()
    limiter = make(clock)
    limit = Limit(new_key(), 2, 60)
    limiter.take([limit], 2)
    assert not limiter.take([limit])[0].fits

    clock.now += 63 * SECOND

    assert limiter.take([limit])[0].fits


@both
def test_a_shadow_refuses_nothing_and_counts_as_if_it_did(make):
    limiter = make(Clock())
    shadow = Limit(new_key(), 2, 3600, shadow=1)
    enforced = Limit(new_key(), 4, 3600)

    outcomes = [limiter.take([shadow, enforced]) for _ in range(5)]

    assert [shadow.fits for shadow, _ in outcomes] == [True, True, False, False, False]
    assert [enforced.fits for _, enforced in outcomes] == [True, True, True, True, False]
    assert outcomes[-1][0].remaining == 0


@both
def test_looking_counts_nothing(make):
    limiter = make(Clock())
    limit = Limit(new_key(), 2, 3600)
    limiter.take([limit])

    assert [limiter.take([limit], cost=0)[0].remaining for _ in range(3)] == [1, 1, 1]


@both
def test_a_cost_beyond_the_limit_takes_the_whole_window(make):
    limiter = make(Clock())
    limit = Limit(new_key(), 5, 60)

    assert limiter.take([limit], cost=10)[0][:2] == (True, 0)
    denied = limiter.take([limit], cost=10)[0]

    assert not denied.fits
    assert denied.wait == denied.more == pytest.approx(63)


@both
def test_two_limits_of_one_key_count_once(make):
    limiter = make(Clock())
    key = new_key()
    limits = [Limit(key, 2, 60), Limit(key, 3, 60)]

    assert [all(o.fits for o in limiter.take(limits)) for _ in range(3)] == [True, True, False]
    assert [outcome.remaining for outcome in limiter.take(limits, cost=0)] == [0, 1]


@both
def test_reset_gives_everything_back(make):
    limiter = make(Clock())
    limit = Limit(new_key(), 1, 3600)
    limiter.take([limit])

    assert limiter.reset([limit.key, new_key()]) == 1
    assert limiter.take([limit])[0].fits


def take_in_threads(take: Callable[[], bool], times: int) -> int:
    """Return how many of the calls, from 16 threads at once, were let in."""
    start = threading.Barrier(16)

    def run(number: int) -> int:
        start.wait()
        return sum(take() for _ in range(times // 16))

    with ThreadPoolExecutor(16) as pool:
        return sum(pool.map(run, range(16)))


def test_threads_share_a_local_limiter():
    limiter = LocalLimiter()
    limit = Limit("key", 100, 3600)

    assert take_in_threads(lambda: limiter.take([limit])[0].fits, 800) == 100


def test_a_local_limiter_forgets_what_is_oldest_and_what_has_ended():
    clock = Clock()
    limiter = LocalLimiter(clock, max_keys=10)
    for number in range(25):
        limiter.take([Limit(str(number), 1, 60)])
    assert list(limiter._rings) == [str(number) for number in range(15, 25)]

    clock.now += 63 * SECOND
    limiter.take([Limit("new", 1, 60)])

    assert list(limiter._rings) == ["new"]


@pytest.mark.redis
class TestRedis:
    @pytest.fixture
    def client(self):
        with redis.Redis.from_url(settings.REDIS_URL) as client:
            yield client

    @pytest.fixture
    def limiter(self, client):
        limiter = RedisLimiter(client)
        limiter.take([Limit(new_key(), 1, 1)])  # so that Redis has the script
        return limiter

    def test_threads_and_connections_share_the_limit(self, limiter):
        limit = Limit(new_key(), 100, 3600)

        assert take_in_threads(lambda: limiter.take([limit])[0].fits, 800) == 100

    def test_one_command_for_any_number_of_windows(self, limiter, client):
        limits = [Limit(new_key(), 10, period) for period in (1, 60, 3600)]

        def commands():
            statistics = client.info("commandstats")
            # What the script calls runs inside Redis; only clients' commands cross the wire.
            inner = ("cmdstat_info", "cmdstat_mget", "cmdstat_set", "cmdstat_time")
            return sum(s["calls"] for name, s in statistics.items() if name not in inner)

        before = commands()
        limiter.take(limits)
        assert commands() - before == 1

    @pytest.mark.parametrize("limit", [10, 1_000_000])
    def test_memory_does_not_depend_on_the_limit_and_ends(self, limiter, operator, limit):
        key = new_key()
        for _ in range(50):
            limiter.take([Limit(key, limit, 60)])

        assert operator.memory_usage(key) <= 256
        assert 62_000 < operator.pttl(key) <= 63_000

    def test_a_connection_that_the_server_closed_is_opened_again(self, limiter, operator):
        limit = Limit(new_key(), 2, 3600)
        limiter.take([limit])
        operator.client_kill_filter(_type="normal", skipme=True)

        assert limiter.take([limit])[0][:2] == (True, 0)

    def test_a_connection_that_breaks_under_way_is_no_outage(self, operator):
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
                # Never twice within one call, which is made once more only.
                if number % 10 == 0 and idle.is_set():
                    idle.clear()
                    turn.release()
                fitted += limiter.take([limit])[0].fits
        finally:
            over = True
            turn.release()
            killing.join()

        # One that was counted before its connection broke has counted twice.
        assert 0 < fitted <= 200

    def test_a_server_that_became_a_replica_is_left(self, operator):
        url = settings.REDIS_URL
        limiter = RedisLimiter(redis.Redis.from_url(url, **connection_options(url)))
        limit = Limit(new_key(), 2, 3600)
        limiter.take([limit])
        before = limiter._clients.get().connection._sock
        operator.replicaof("127.0.0.1", 1)
        try:
            with pytest.raises(redis.exceptions.ReadOnlyError):
                limiter.take([limit])
            with pytest.raises(redis.ConnectionError, match="is unavailable"):
                limiter.take([limit])
        finally:
            operator.replicaof("NO", "ONE")
        deadline = time.monotonic() + 20
        while breaker_for(url).is_open:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert limiter.take([limit])[0].fits
        assert limiter._clients.get().connection._sock is not before

    def test_a_flushed_script_is_loaded_again(self, limiter, operator):
        limit = Limit(new_key(), 1, 3600)
        limiter.take([limit])
        operator.script_flush()

        assert not limiter.take([limit])[0].fits

    @pytest.mark.parametrize("value", ["", "x" * 92, "x" * 91])
    def test_what_is_no_ring_is_no_error(self, limiter, client, value):
        limit = Limit(new_key(), 2, 3600)
        client.set(limit.key, value)

        limiter.take([limit])
        limiter.take([limit])

    def test_a_lost_key_means_fewer_denials(self, limiter, client):
        limit = Limit(new_key(), 1, 3600)
        limiter.take([limit])
        client.delete(limit.key)

        assert limiter.take([limit])[0].fits
