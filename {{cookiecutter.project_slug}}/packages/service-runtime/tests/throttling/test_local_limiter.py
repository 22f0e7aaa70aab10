"""The limiter in memory: concurrency and eviction."""

from service_runtime.throttling import UserRateThrottle, decisions
from service_runtime.throttling.limiter import Limit, LocalLimiter
from tests.throttling.limiters import SECOND, Clock, take_in_threads
from tests.throttling.views import statuses, view


def test_threads_share_a_local_limiter():
    limiter = LocalLimiter()
    limit = Limit("key", 100, 3600)

    assert take_in_threads(lambda: limiter.take([limit])[0].fits, 800) == 100


def test_without_redis_the_limiter_is_local(settings, set_rates):
    settings.THROTTLING_REDIS_URL = ""
    decisions.limiter.cache_clear()
    set_rates(user="1/h")

    assert statuses(view(throttle_classes=[UserRateThrottle]), 2) == [200, 429]
    assert isinstance(decisions.limiter(), LocalLimiter)


def test_a_local_limiter_evicts_old_and_expired_windows():
    clock = Clock()
    limiter = LocalLimiter(clock, max_keys=10)
    for number in range(25):
        limiter.take([Limit(str(number), 1, 60)])
    assert list(limiter._rings) == [str(number) for number in range(15, 25)]

    clock.now += 63 * SECOND
    limiter.take([Limit("new", 1, 60)])

    assert list(limiter._rings) == ["new"]
