import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis
from cacheops import cached_as, invalidate_all, invalidate_model, invalidate_obj, no_invalidation
from cacheops.redis import redis_client
from django.contrib.auth import get_user_model

from service_runtime.caching import cacheops, keys, lost
from service_runtime.conf import settings
from service_runtime.redis.clients import circuit_breaker, client
from tests.waiting import wait_for

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
    assert users.get(pk=user.pk).username == "countess"
    refuse(None)

    wait_for(lambda: not breaker.is_open)
    assert users.get(pk=user.pk).username == "countess"


def test_dropping_everything_drops_cacheops_keys_only(server):
    users = get_user_model().objects
    user = users.create_user("ada")
    users.get(pk=user.pk)
    server.set("tests:other", "kept")
    assert list(server.scan_iter("tests:cacheops:*:q:*"))

    invalidate_all()

    assert [key for key in server.scan_iter("tests:cacheops:*") if b":schemes:" not in key] == []
    assert server.get("tests:other") == b"kept"


def test_a_model_can_be_invalidated(django_assert_num_queries):
    users = get_user_model().objects
    user = users.create_user("ada")
    users.get(pk=user.pk)
    with no_invalidation:
        users.filter(pk=user.pk).update(username="countess")
    assert users.get(pk=user.pk).username == "ada"

    invalidate_model(get_user_model())

    assert users.get(pk=user.pk).username == "countess"


def test_too_many_lost_invalidations_drop_everything(server, monkeypatch):
    monkeypatch.setattr(lost, "MAX_LOST", 2)
    missed = lost.LostInvalidations()
    users = get_user_model().objects
    users.get(pk=users.create_user("ada").pk)
    assert list(server.scan_iter("tests:cacheops:*:q:*"))
    for number in range(3):
        missed.add(("PING", number))

    missed.replay(server)

    assert list(server.scan_iter("tests:cacheops:*:q:*")) == []


@pytest.fixture
def replace(monkeypatch):
    """Return a function that lets another Redis seem to answer from now on, as processes notice
    that have made no call meanwhile."""

    def replace(run_id="another"):
        monkeypatch.setattr(keys, "run_id_of", lambda client: run_id)
        monkeypatch.setattr(cacheops, "run_id_of", lambda client: run_id)
        redis_client.connection_pool.disconnect()

    known = keys.Server.run_id = keys.run_id_of(client(settings.REDIS_URL))
    yield replace
    keys.Server.run_id = known
    redis_client.connection_pool.disconnect()


def test_nothing_is_read_that_an_earlier_run_of_the_server_has_kept(replace, breaker):
    """A snapshot may be older than what was invalidated since."""
    users = get_user_model().objects
    user = users.create_user("ada")
    users.get(pk=user.pk)
    with no_invalidation:
        users.filter(pk=user.pk).update(username="countess")
    assert users.get(pk=user.pk).username == "ada"

    outages = breaker.outages
    for run_id in ("another", "third"):
        replace(run_id)
        assert users.get(pk=user.pk).username == "countess"
        assert users.get(pk=user.pk).username == "countess"
    # It has answered all along, and what else is asked of it goes on.
    assert breaker.outages == outages


@pytest.mark.parametrize("invalidate", [invalidate_obj, lambda user: invalidate_model(type(user))])
def test_what_others_have_stored_in_another_server_is_invalidated(replace, breaker, invalidate):
    users = get_user_model().objects
    user = users.create_user("ada")
    users.get(pk=user.pk)
    known, outages = keys.Server.run_id, breaker.outages
    replace()
    users.get(pk=user.pk)
    assert users.get(pk=user.pk).username == "ada"  # as another process has stored it

    keys.Server.run_id = known
    redis_client.connection_pool.disconnect()
    with no_invalidation:
        users.filter(pk=user.pk).update(username="countess")
    invalidate(user)

    assert users.get(pk=user.pk).username == "countess"
    assert breaker.outages == outages


def test_a_server_that_another_thread_has_noticed_just_now_is_invalidated(monkeypatch):
    users = get_user_model().objects
    user = users.create_user("ada")
    users.get(pk=user.pk)
    with no_invalidation:
        users.filter(pk=user.pk).update(username="countess")

    former = keys.Prefix(f"{keys.namespace()}former:")
    monkeypatch.setattr("cacheops.invalidation.get_prefix", lambda **kwargs: former)
    invalidate_obj(user)

    assert users.get(pk=user.pk).username == "countess"


def test_what_was_lost_is_made_up_for_in_another_server(replace, breaker, refuse):
    users = get_user_model().objects
    user = users.create_user("ada")
    known = keys.Server.run_id
    replace()
    users.get(pk=user.pk)
    assert users.get(pk=user.pk).username == "ada"  # as another process has stored it

    keys.Server.run_id = known
    refuse("OOM command not allowed")
    user.username = "countess"
    with pytest.warns(RuntimeWarning, match="cacheops cache is unreachable"):
        user.save()
    refuse(None)
    wait_for(lambda: not breaker.is_open)

    assert keys.Server.run_id == "another"
    assert users.get(pk=user.pk).username == "countess"


def test_a_server_that_hides_its_run_id_is_emptied_after_an_outage(server, monkeypatch):
    users = get_user_model().objects
    users.get(pk=users.create_user("ada").pk)
    assert list(server.scan_iter("tests:cacheops:*:q:*"))
    monkeypatch.setattr(keys.Server, "run_id", keys.UNKNOWN)

    lost.LostInvalidations().replay(server, after_outage=True)

    assert list(server.scan_iter("tests:cacheops:*:q:*")) == []


def test_a_command_that_is_always_refused_does_not_come_back_for_ever(server):
    users = get_user_model().objects
    users.get(pk=users.create_user("ada").pk)
    missed = lost.LostInvalidations()
    missed.add(("EVAL", "this is no script", 0))
    missed.add(("UNLINK", f"{keys.cacheops_prefix()}other"))

    missed.replay(server)

    assert list(server.scan_iter("tests:cacheops:*:q:*")) == []  # instead of it
    missed.replay(server)


def test_what_fails_in_whatever_way_is_not_forgotten(server, monkeypatch):
    missed = lost.LostInvalidations()
    name = f"{keys.cacheops_prefix()}lost"
    server.set(name, 1)
    missed.add(("UNLINK", name))

    def fail(*args, **kwargs):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(redis.client.Pipeline, "execute", fail)
        with pytest.raises(RuntimeError):
            missed.replay(server)
    missed.replay(server)

    assert server.get(name) is None


def test_dropping_everything_leaves_what_invalidates_results_written_meanwhile(server):
    users = get_user_model().objects
    user = users.create_user("ada")
    users.get(pk=user.pk)
    (scheme,) = server.scan_iter("tests:cacheops:*:schemes:auth_user")

    invalidate_all()

    assert server.exists(scheme)


def test_an_invalidated_model_is_made_up_for_when_its_keys_cannot_be_removed(
    server, breaker, monkeypatch
):
    users = get_user_model().objects
    user = users.create_user("ada")
    users.get(pk=user.pk)
    with no_invalidation:
        users.filter(pk=user.pk).update(username="countess")

    def fail(*args):
        raise redis.ConnectionError("gone")

    with monkeypatch.context() as patch:
        patch.setattr(redis.Redis, "unlink", fail)
        with pytest.warns(RuntimeWarning, match="unreachable"):
            invalidate_model(get_user_model())
    wait_for(lambda: not breaker.is_open)

    assert users.get(pk=user.pk).username == "countess"


def test_a_lock_of_another_client_does_not_stand_in_the_way():
    client(settings.REDIS_URL).lock("tests:mine")
    lock = redis_client.lock("tests:lock", timeout=5)

    assert lock.acquire(blocking=False)
    lock.release()
    assert lock.acquire(blocking=False)
    lock.release()


def test_a_lock_has_one_thread_compute_for_all(server):
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
