import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from unittest.mock import Mock

import pytest
import redis
from cacheops import (
    cached,
    cached_as,
    invalidate_all,
    invalidate_model,
    invalidate_obj,
    no_invalidation,
)
from cacheops.redis import redis_client
from django.contrib.auth import get_user_model

from service_runtime.caching import cacheops, keys
from service_runtime.conf import settings
from service_runtime.redis import breaker_for, client
from tests.waiting import wait_for

pytestmark = [pytest.mark.redis, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def server():
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        yield client


@pytest.fixture
def breaker():
    """Return the circuit breaker, and close it at the end."""
    breaker = breaker_for(settings.CACHEOPS_REDIS_URL)
    yield breaker
    wait_for(lambda: not breaker.is_open)


@pytest.fixture
def reject(monkeypatch):
    """Return a function that sets the error reply to every command of cacheops, or none."""
    execute = redis.Redis.execute_command

    def reject(message):
        def execute_command(self, *args, **options):
            if message and isinstance(self, cacheops.CacheopsClient):
                raise redis.ResponseError(message)
            return execute(self, *args, **options)

        monkeypatch.setattr(redis.Redis, "execute_command", execute_command)

    return reject


@pytest.fixture
def reject_scripts(monkeypatch):
    """Return a function that sets the commands of cacheops that time out."""
    execute = redis.Redis.execute_command

    def reject_scripts(*commands):
        def execute_command(self, *args, **options):
            if args[0] in commands and isinstance(self, cacheops.CacheopsClient):
                raise redis.TimeoutError("timed out")
            return execute(self, *args, **options)

        monkeypatch.setattr(redis.Redis, "execute_command", execute_command)

    return reject_scripts


@pytest.mark.parametrize("message", ["OOM command not allowed", "READONLY You can't write"])
def test_error_reply_is_a_miss_and_its_invalidation_is_not_lost(breaker, reject, message):
    users = get_user_model().objects
    user = users.create_user("ada")
    assert users.get(pk=user.pk).username == "ada"

    reject(message)
    user.username = "countess"
    with pytest.warns(RuntimeWarning, match="cacheops cache is unreachable"):
        user.save()
    assert users.get(pk=user.pk).username == "countess"
    reject(None)

    wait_for(lambda: not breaker.is_open)
    assert users.get(pk=user.pk).username == "countess"


def test_invalidate_all_deletes_only_keys_of_cacheops(server):
    users = get_user_model().objects
    user = users.create_user("ada")
    users.get(pk=user.pk)
    server.set("tests:other", "value")
    assert list(server.scan_iter("tests:cacheops:*:q:*"))

    invalidate_all()

    assert [key for key in server.scan_iter("tests:cacheops:*") if b":schemes:" not in key] == []
    assert server.get("tests:other") == b"value"


def test_invalidate_model(django_assert_num_queries):
    users = get_user_model().objects
    user = users.create_user("ada")
    users.get(pk=user.pk)
    with no_invalidation:
        users.filter(pk=user.pk).update(username="countess")
    assert users.get(pk=user.pk).username == "ada"

    invalidate_model(get_user_model())

    assert users.get(pk=user.pk).username == "countess"


@pytest.fixture
def replace(monkeypatch):
    """Return a function that simulates another Redis, unnoticed until the next connection."""

    def replace(run_id="another"):
        monkeypatch.setattr(keys, "run_id_of", lambda client: run_id)
        monkeypatch.setattr(cacheops, "run_id_of", lambda client: run_id)
        redis_client.connection_pool.disconnect()

    known = keys.Server.run_id = keys.run_id_of(client(settings.REDIS_URL))
    yield replace
    keys.Server.run_id = known
    redis_client.connection_pool.disconnect()


def test_data_from_before_a_restart_is_never_read(replace, breaker):
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
    # The server was available all along, and other calls to it continue.
    assert breaker.outages == outages


@pytest.mark.parametrize("invalidate", [invalidate_obj, lambda user: invalidate_model(type(user))])
def test_invalidation_reaches_results_of_other_processes_on_a_new_server(
    replace, breaker, invalidate
):
    users = get_user_model().objects
    user = users.create_user("ada")
    users.get(pk=user.pk)
    known, outages = keys.Server.run_id, breaker.outages
    replace()
    users.get(pk=user.pk)
    assert users.get(pk=user.pk).username == "ada"  # stored by another process

    keys.Server.run_id = known
    redis_client.connection_pool.disconnect()
    with no_invalidation:
        users.filter(pk=user.pk).update(username="countess")
    invalidate(user)

    assert users.get(pk=user.pk).username == "countess"
    assert breaker.outages == outages


def test_invalidation_reaches_a_new_server_that_another_thread_has_noticed(monkeypatch):
    users = get_user_model().objects
    user = users.create_user("ada")
    users.get(pk=user.pk)
    with no_invalidation:
        users.filter(pk=user.pk).update(username="countess")

    former = keys.Prefix(f"{keys.namespace()}former:")
    monkeypatch.setattr("cacheops.invalidation.get_prefix", lambda **kwargs: former)
    invalidate_obj(user)

    assert users.get(pk=user.pk).username == "countess"


def test_missed_invalidation_takes_effect_on_a_new_server(replace, breaker, reject):
    users = get_user_model().objects
    user = users.create_user("ada")
    known = keys.Server.run_id
    replace()
    users.get(pk=user.pk)
    assert users.get(pk=user.pk).username == "ada"  # stored by another process

    keys.Server.run_id = known
    reject("OOM command not allowed")
    user.username = "countess"
    with pytest.warns(RuntimeWarning, match="cacheops cache is unreachable"):
        user.save()
    reject(None)
    wait_for(lambda: not breaker.is_open)

    assert keys.Server.run_id == "another"
    assert users.get(pk=user.pk).username == "countess"


def test_server_that_hides_its_run_id_is_emptied_after_an_outage(server, breaker, replace):
    replace(keys.UNKNOWN)
    users = get_user_model().objects
    user = users.create_user("ada")
    for _ in range(2):  # the first read notices the replacement
        users.get(pk=user.pk)
    assert list(server.scan_iter("tests:cacheops:*:q:*"))

    breaker.trip(redis.ConnectionError("down"))
    wait_for(lambda: not breaker.is_open)

    assert list(server.scan_iter("tests:cacheops:*:q:*")) == []


def test_invalidate_all_leaves_what_invalidates_results_stored_meanwhile(server):
    users = get_user_model().objects
    user = users.create_user("ada")
    users.get(pk=user.pk)
    (scheme,) = server.scan_iter("tests:cacheops:*:schemes:auth_user")

    invalidate_all()

    assert server.exists(scheme)


def test_invalidate_model_takes_effect_after_an_outage(server, breaker, monkeypatch):
    users = get_user_model().objects
    user = users.create_user("ada")
    users.get(pk=user.pk)
    with no_invalidation:
        users.filter(pk=user.pk).update(username="countess")

    def fail(*args):
        raise redis.ConnectionError("down")

    with monkeypatch.context() as patch:
        patch.setattr(redis.Redis, "unlink", fail)
        with pytest.warns(RuntimeWarning, match="unreachable"):
            invalidate_model(get_user_model())
    wait_for(lambda: not breaker.is_open)

    assert users.get(pk=user.pk).username == "countess"


def test_locks_of_other_clients_work():
    client(settings.REDIS_URL).lock("tests:mine")
    lock = redis_client.lock("tests:lock", timeout=5)

    assert lock.acquire(blocking=False)
    lock.release()
    assert lock.acquire(blocking=False)
    lock.release()


def test_cached_as_with_a_lock_coalesces_concurrent_calls(server):
    start = threading.Barrier(20)
    computed = []

    @cached_as(get_user_model(), timeout=60, lock=True)
    def compute():
        computed.append(threading.get_ident())
        wait_for(lambda: start.n_waiting == 0)
        time.sleep(0.1)  # longer than the timeout of a socket
        return "result"

    def run(number):
        start.wait()
        return compute()

    with ThreadPoolExecutor(20) as pool:
        assert set(pool.map(run, range(20))) == {"result"}
    assert len(computed) == 1


def test_server_that_changed_and_fails_again_is_emptied_after_the_outage(
    server, breaker, replace, monkeypatch
):
    users = get_user_model().objects
    user = users.create_user("ada")
    users.get(pk=user.pk)
    with no_invalidation:
        users.filter(pk=user.pk).update(username="countess")
    run_id = keys.Server.run_id
    replace()

    delete, failures = cacheops.delete_results, [redis.ConnectionError("down")]

    def fail_once(client, prefix):
        if failures:
            raise failures.pop()
        delete(client, prefix)

    monkeypatch.setattr(cacheops, "delete_results", fail_once)
    with pytest.warns(RuntimeWarning, match="unreachable"):
        invalidate_obj(user)
    assert not failures
    replace(run_id)
    wait_for(lambda: not breaker.is_open)

    assert users.get(pk=user.pk).username == "countess"


def test_missed_invalidation_deletes_the_results_of_time_based_caches_too(server, breaker, reject):
    compute = cached(timeout=60)(lambda: [1])
    assert compute() == [1]
    (key,) = server.scan_iter("tests:cacheops:*:c:*")

    reject("OOM command not allowed")
    with pytest.warns(RuntimeWarning, match="unreachable"):
        compute.invalidate()
    reject(None)
    wait_for(lambda: not breaker.is_open)

    assert not server.exists(key)


def test_invalidated_value_of_a_time_based_cache_is_computed_again():
    values = iter(["first", "second"])
    compute = cached(timeout=60)(lambda: next(values))

    assert [compute(), compute()] == ["first", "first"]
    compute.invalidate()
    assert compute() == "second"


def test_any_number_of_keys_is_deleted(server):
    names = [f"tests:many:{number}" for number in range(2001)]
    server.mset(dict.fromkeys(names, 1))

    redis_client.unlink(*names)

    assert list(server.scan_iter("tests:many:*")) == []


def test_scripts_are_loaded_again_after_the_server_has_lost_them(operator):
    users = get_user_model().objects
    user = users.create_user("ada")
    users.get(pk=user.pk)
    operator.script_flush()

    user.username = "countess"
    user.save()

    assert users.get(pk=user.pk).username == "countess"


def test_invalidation_needs_no_other_command_after_the_server_has_lost_its_scripts(
    operator, reject_scripts
):
    """SCRIPT LOAD may fail where EVAL does not, and no circuit breaker would know of it."""
    users = get_user_model().objects
    user = users.create_user("ada")
    assert users.get(pk=user.pk).username == "ada"
    operator.script_flush()

    reject_scripts("SCRIPT LOAD")
    user.username = "countess"
    user.save()

    assert users.get(pk=user.pk).username == "countess"


def test_invalidation_is_not_lost_if_the_server_has_lost_its_scripts_and_fails(
    operator, breaker, reject_scripts
):
    users = get_user_model().objects
    user = users.create_user("ada")
    assert users.get(pk=user.pk).username == "ada"
    operator.script_flush()

    reject_scripts("SCRIPT LOAD", "EVAL")
    user.username = "countess"
    with pytest.warns(RuntimeWarning, match="cacheops cache is unreachable"):
        user.save()
    reject_scripts()
    wait_for(lambda: not breaker.is_open)

    assert users.get(pk=user.pk).username == "countess"


def test_run_id_is_unknown_without_rights_to_info(operator, settings):
    name, password = "tests-blind", uuid.uuid4().hex
    rights = {"keys": ["tests:*"], "categories": ["+@all"], "commands": ["-info"]}
    operator.acl_setuser(name, enabled=True, passwords=[f"+{password}"], **rights)
    try:
        host = settings.REDIS_URL.rpartition("@")[2].removeprefix("redis://")
        assert keys.run_id_of(client(f"redis://{name}:{password}@{host}")) == keys.UNKNOWN
    finally:
        operator.acl_deluser(name)


def test_prefix_is_empty_of_a_run_id_while_the_server_is_unavailable(settings, monkeypatch):
    monkeypatch.setattr(keys.Server, "run_id", "")
    with monkeypatch.context() as patch:
        patch.setattr(redis.Redis, "info", Mock(side_effect=redis.ConnectionError("down")))
        assert keys.cacheops_prefix() == "tests:cacheops::"

    assert keys.cacheops_prefix() != "tests:cacheops::"


def test_keys_of_results_follow_the_release_and_keys_of_invalidation_do_not():
    prefix = keys.cacheops_prefix()

    assert prefix + "q:1" == f"{prefix}{keys.release()}:q:1"
    assert f"{prefix}conj:1" == str(prefix) + "conj:1"


def test_release_follows_the_code_of_the_service(tmp_path, settings, monkeypatch):
    (tmp_path / "some_service").mkdir()
    module = tmp_path / "some_service" / "__init__.py"
    module.write_text("A = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    settings.ROOT_URLCONF = "some_service.urls"
    release = keys.release.__wrapped__

    first = release()
    (tmp_path / "some_service" / "cached.pyc").write_text("compiled")
    assert release() == first
    module.write_text("A = 2\n")
    assert release() != first
