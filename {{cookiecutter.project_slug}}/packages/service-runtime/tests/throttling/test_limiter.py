"""Both limiters are compared to an exact model of the admitted requests, in simulated time."""

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from service_runtime.conf import settings
from service_runtime.redis import client
from service_runtime.throttling.limiter import (
    BUCKETS,
    RING_SCRIPT,
    Limit,
    LocalLimiter,
    RedisLimiter,
)
from tests.throttling.limiters import SECOND, Clock, new_key


class SimulatedRedisLimiter(RedisLimiter):
    """A limiter in a real Redis, whose script reads the simulated clock."""

    SECONDS, MICROSECONDS = "tests:clock:seconds", "tests:clock:microseconds"

    def __init__(self, clock: Clock) -> None:
        simulated = f"redis.call('MGET', '{self.SECONDS}', '{self.MICROSECONDS}')"
        script = RING_SCRIPT.replace("redis.call('TIME')", simulated)
        assert script != RING_SCRIPT
        super().__init__(client(settings.REDIS_URL), script)
        self._clock = clock

    def take(self, limits, cost=1):
        seconds, microseconds = divmod(self._clock.now, SECOND)
        self._client.mset({self.SECONDS: seconds, self.MICROSECONDS: microseconds})
        return super().take(limits, cost)


LIMITERS = [
    pytest.param(LocalLimiter, id="local"),
    pytest.param(SimulatedRedisLimiter, id="redis", marks=pytest.mark.redis),
]


both = pytest.mark.parametrize("create", LIMITERS)


simulated = hypothesis_settings(deadline=None, max_examples=150)


# Keys expire by Redis' clock, so simulated periods are longer than the test takes.
windows = st.builds(
    lambda limit, minutes: (limit, minutes * 60), st.integers(1, 12), st.integers(1, 90)
)


# Pauses as a share of the first window's period: bursts, a steady pace, and more than a bucket.
steps = st.lists(
    st.tuples(
        st.one_of(st.just(0.0), st.floats(0, 0.06), st.floats(0, 1.2)),
        st.integers(1, 3),
    ),
    min_size=1,
    max_size=60,
)


def used(admitted: list[tuple[int, int]], since: int) -> int:
    """Return the cost of the requests admitted after a time."""
    return sum(cost for time, cost in admitted if time > since)


@both
@simulated
@given(window=windows, more=st.lists(windows, max_size=2, unique_by=lambda w: w[1]), steps=steps)
def test_admits_never_more_than_the_limit_and_denies_only_full_windows(create, window, more, steps):
    clock = Clock()
    limiter = create(clock)
    limits = [Limit(new_key(), *each) for each in [window, *more]]
    admitted: list[tuple[int, int]] = []
    for pause, cost in steps:
        clock.now += int(pause * window[1] * SECOND)
        charges = [min(cost, limit.limit) for limit in limits]
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
            # A denied request counts in no window.
            assert [o.remaining for o in outcomes] == [o.remaining for o in before]
            # A window is full if requests up to 5 % older than its period count.
            assert any(
                sum(
                    min(old, limit.limit)
                    for time, old in admitted
                    if time > clock.now - limit.period * SECOND * (BUCKETS + 1) // BUCKETS
                )
                + charge
                > limit.limit
                for limit, charge in zip(limits, charges, strict=True)
            )
            # The request fits after the wait, but not a microsecond earlier.
            wait = round(max(outcome.wait for outcome in outcomes) * SECOND)
            clock.now += wait - 1
            assert not all(outcome.fits for outcome in limiter.take(limits, cost))
            clock.now += 1
            assert all(outcome.fits for outcome in limiter.take(limits, cost))
            admitted.append((clock.now, cost))


@both
@simulated
@given(window=windows, steps=steps, back=st.lists(st.floats(0, 3), min_size=60, max_size=60))
def test_a_clock_that_goes_back_never_exceeds_the_limit(create, window, steps, back):
    clock = Clock()
    limiter = create(clock)
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
    # Denials last for at most one extra period.
    clock.now += 2 * period + period // BUCKETS
    assert limiter.take([limit])[0].fits


@both
def test_a_clock_that_jumps_forward_frees_expired_slots(create):
    clock = Clock()
    limiter = create(clock)
    limit = Limit(new_key(), 2, 60)
    limiter.take([limit], 2)
    assert not limiter.take([limit])[0].fits

    clock.now += 63 * SECOND

    assert limiter.take([limit])[0].fits


@both
def test_a_shadow_denies_nothing_but_counts_as_if_it_did(create):
    limiter = create(Clock())
    shadow = Limit(new_key(), 2, 3600, shadow=1)
    enforced = Limit(new_key(), 4, 3600)

    outcomes = [limiter.take([shadow, enforced]) for _ in range(5)]

    assert [shadow.fits for shadow, _ in outcomes] == [True, True, False, False, False]
    assert [enforced.fits for _, enforced in outcomes] == [True, True, True, True, False]
    assert outcomes[-1][0].remaining == 0


@both
def test_a_cost_of_zero_counts_nothing(create):
    limiter = create(Clock())
    limit = Limit(new_key(), 2, 3600)
    limiter.take([limit])

    assert [limiter.take([limit], cost=0)[0].remaining for _ in range(3)] == [1, 1, 1]


@both
def test_a_cost_above_the_limit_fills_the_whole_window(create):
    limiter = create(Clock())
    limit = Limit(new_key(), 5, 60)

    assert limiter.take([limit], cost=10)[0][:2] == (True, 0)
    denied = limiter.take([limit], cost=10)[0]

    assert not denied.fits
    assert denied.wait == denied.more == pytest.approx(63)


@both
def test_two_limits_with_one_key_count_once(create):
    limiter = create(Clock())
    key = new_key()
    limits = [Limit(key, 2, 60), Limit(key, 3, 60)]

    assert [all(o.fits for o in limiter.take(limits)) for _ in range(3)] == [True, True, False]
    assert [outcome.remaining for outcome in limiter.take(limits, cost=0)] == [0, 1]


@both
def test_reset_frees_the_whole_window(create):
    limiter = create(Clock())
    limit = Limit(new_key(), 1, 3600)
    limiter.take([limit])

    assert limiter.reset([limit.key, new_key()]) == 1
    assert limiter.take([limit])[0].fits
