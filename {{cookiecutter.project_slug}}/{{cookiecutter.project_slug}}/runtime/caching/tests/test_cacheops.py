import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis
from cacheops import cached_as, invalidate_all, invalidate_model
from cacheops.redis import redis_client
from django.conf import settings
from django.contrib.auth import get_user_model

from ...redis import circuit_breaker
from .. import cacheops

pytestmark = [pytest.mark.redis, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def server():
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        yield client


@pytest.fixture
def breaker():
    """Return the breaker, closed at the end."""
    breaker = circuit_breaker(settings.CACHEOPS_REDIS_URL)
    yield breaker
    wait_for(lambda: not breaker.is_open)


def wait_for(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def refuse(monkeypatch):
    """Return a function that has Redis answer every command of cacheops with an error, or not."""
    answer = redis.Redis.execute_command

    def refuse(message):
        def execute_command(self, *args, **options):
            if message and isinstance(self, cacheops.CacheopsClient):
                raise redis.ResponseError(message)
            return answer(self, *args, **options)

        monkeypatch.setattr(redis.Redis, "execute_command", execute_command)

    return refuse


@pytest.mark.parametrize("message", ["OOM command not allowed", "READONLY You can't write"])
def test_a_refusal_is_a_miss_and_its_invalidation_is_made_up_for(breaker, refuse, message):
    users = get_user_model().objects
    user = users.create_user("ada")
    assert users.get(pk=user.pk).username == "ada"

    refuse(message)
    user.username = "countess"
    with pytest.warns(RuntimeWarning, match="cacheops cache is unreachable"):
        user.save()
    with pytest.warns(RuntimeWarning, match="cacheops cache is unreachable"):
        assert users.get(pk=user.pk).username == "countess"
    refuse(None)

    wait_for(lambda: not breaker.is_open)
    assert users.get(pk=user.pk).username == "countess"


def test_dropping_everything_drops_cacheops_keys_only(server):
    users = get_user_model().objects
    user = users.create_user("ada")
    users.get(pk=user.pk)
    server.set("tests:other", "kept")
    assert list(server.scan_iter("tests:cacheops:io:*"))

    invalidate_all()

    assert list(server.scan_iter("tests:cacheops:*")) == []
    assert server.get("tests:other") == b"kept"


def test_a_model_can_be_invalidated(django_assert_num_queries):
    users = get_user_model().objects
    user = users.create_user("ada")
    users.get(pk=user.pk)
    users.filter(pk=user.pk).update(username="countess")
    assert users.get(pk=user.pk).username == "ada"

    invalidate_model(get_user_model())

    assert users.get(pk=user.pk).username == "countess"


def test_too_many_lost_invalidations_drop_everything(server, monkeypatch):
    monkeypatch.setattr(cacheops, "MAX_LOST", 2)
    lost = cacheops.LostInvalidations()
    lost.replay(server)  # from now on it is the server that was there before
    users = get_user_model().objects
    users.get(pk=users.create_user("ada").pk)
    assert list(server.scan_iter("tests:cacheops:io:*"))
    for number in range(3):
        lost.add(("PING", number))

    lost.replay(server)

    assert list(server.scan_iter("tests:cacheops:io:*")) == []


def test_another_server_begins_empty(server, monkeypatch):
    server.set("tests:cacheops:io:stale", "old")
    server.set("tests:cacheops:server", "the run id of another")

    cacheops.LostInvalidations().replay(server)

    assert server.get("tests:cacheops:io:stale") is None
    assert server.get("tests:cacheops:server").decode() == server.info("server")["run_id"]


def test_a_lock_has_one_thread_compute_for_all(server):
    # Threads that connect find the server that was there before, and drop nothing.
    cacheops.LostInvalidations().replay(server)
    start = threading.Barrier(20)
    computed = []

    @cached_as(get_user_model(), timeout=60, lock=True)
    def compute():
        computed.append(threading.get_ident())
        wait_for(lambda: start.n_waiting == 0)
        time.sleep(0.1)  # longer than a socket's timeout would be, were it waited for in Redis
        return "result"

    def run(number):
        start.wait()
        return compute()

    with ThreadPoolExecutor(20) as pool:
        assert set(pool.map(run, range(20))) == {"result"}
    assert len(computed) == 1


def test_whoever_waits_too_long_for_a_lock_computes(monkeypatch, server):
    monkeypatch.setattr(cacheops, "LOCK_WAIT_SECONDS", 0.05)
    server.set("tests:locked", "LOCK")

    with pytest.raises(redis.TimeoutError):
        redis_client.brpoplpush("tests:locked:signal", "tests:locked:signal", timeout=60)
