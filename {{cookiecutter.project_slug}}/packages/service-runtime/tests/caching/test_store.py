import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis
from cacheops.redis import redis_client
from django.contrib.auth.models import Group, Permission
from django.contrib.sessions.models import Session
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction

from service_runtime.caching import slots, store
from service_runtime.caching.dependencies import Dependencies
from service_runtime.caching.keys import cacheops_prefix
from service_runtime.caching.store import Result, get_or_compute
from service_runtime.conf import settings as project
from service_runtime.redis.circuit_breaker import CircuitBreaker
from tests.waiting import wait_for

pytestmark = [pytest.mark.redis, pytest.mark.django_db(transaction=True)]
GROUPS = Dependencies({"auth_group": [{}]}, 60)


@pytest.fixture(autouse=True)
def _nothing_was_current(monkeypatch):
    monkeypatch.setattr(store, "_current", {})


def names():
    groups: Any = Group.objects  # cacheops adds a method
    return ",".join(groups.nocache().values_list("name", flat=True)).encode()


def test_result_is_stored_until_a_dependency_changes():
    group = Group.objects.create(name="a")
    assert get_or_compute("name", GROUPS, names) == Result(b"a", "miss")
    assert get_or_compute("name", GROUPS, names) == Result(b"a", "hit")

    group.name = "b"
    group.save()

    assert get_or_compute("name", GROUPS, names) == Result(b"b", "miss")


def test_only_rows_that_meet_the_conditions_of_a_queryset_count():
    first, second = Group.objects.create(name="a"), Group.objects.create(name="b")
    depends = Dependencies.of([Group.objects.filter(pk=first.pk)])
    get_or_compute("name", depends, lambda: b"1")

    second.save()
    assert get_or_compute("name", depends, lambda: b"2") == Result(b"1", "hit")
    first.save()
    assert get_or_compute("name", depends, lambda: b"3") == Result(b"3", "miss")


def test_dependencies_on_models_and_querysets():
    depends = Dependencies.of([Group, Permission.objects.filter(codename="x")])
    assert depends == Dependencies(
        {"auth_group": [{}], "auth_permission": [{"codename": "x"}, {"*": "*"}]}, 60 * 60
    )


def test_dependency_on_a_model_without_a_cacheops_entry_raises():
    with pytest.raises(ImproperlyConfigured, match=r"sessions\.session"):
        Dependencies.of([Session])


def test_concurrent_misses_are_coalesced():
    start, computed = threading.Barrier(20), []

    def compute():
        computed.append(threading.get_ident())
        wait_for(lambda: start.n_waiting == 0)
        time.sleep(0.1)
        return b"result"

    def fetch(number):
        start.wait()
        return get_or_compute("name", GROUPS, compute)

    with ThreadPoolExecutor(20) as pool:
        results = list(pool.map(fetch, range(20)))

    assert {result.value for result in results} == {b"result"}
    assert len(computed) == 1
    assert sorted({result.outcome for result in results} - {"hit"}) == ["collapsed", "miss"]


def test_result_is_not_stored_if_it_became_stale_while_computed(elsewhere):
    def compute():
        before = names()
        elsewhere(lambda: Group.objects.create(name="late"))
        return before

    assert get_or_compute("name", GROUPS, compute) == Result(b"", "miss")
    assert get_or_compute("name", GROUPS, names) == Result(b"late", "miss")


def test_request_computes_after_the_lock_holder_fails():
    started, leave = threading.Event(), threading.Event()

    def fail():
        started.set()
        leave.wait(20)
        raise ZeroDivisionError

    with ThreadPoolExecutor(2) as pool:
        failing = pool.submit(get_or_compute, "name", GROUPS, fail)
        started.wait(20)
        waiting = pool.submit(get_or_compute, "name", GROUPS, lambda: b"mine")
        leave.set()
        with pytest.raises(ZeroDivisionError):
            failing.result()
        assert waiting.result() == Result(b"mine", "miss")
    assert get_or_compute("name", GROUPS, names) == Result(b"mine", "hit")


class Computation:
    """A computation in another thread that ends when it is told to."""

    def __init__(self, name="name", **options):
        self._started, self._end = threading.Event(), threading.Event()
        self._pool = ThreadPoolExecutor(1)
        self._future = self._pool.submit(get_or_compute, name, GROUPS, self._compute, **options)
        assert self._started.wait(20)

    def _compute(self):
        self._started.set()
        self._end.wait(20)
        return names()

    def end(self):
        self._end.set()
        return self._future.result()


def test_former_result_is_returned_while_another_request_computes():
    Group.objects.create(name="a")
    for outcome in ("miss", "hit"):
        assert get_or_compute("name", GROUPS, names, stale=30).outcome == outcome
    Group.objects.create(name="b")
    other = Computation(stale=30)

    assert get_or_compute("name", GROUPS, names, stale=30) == Result(b"a", "stale")
    assert other.end() == Result(b"a,b", "miss")
    assert get_or_compute("name", GROUPS, names, stale=30) == Result(b"a,b", "hit")


def test_stale_result_is_not_older_than_allowed():
    Group.objects.create(name="a")
    get_or_compute("name", GROUPS, names, stale=30)
    get_or_compute("name", GROUPS, names, stale=30)
    Group.objects.create(name="b")
    other = Computation(stale=30)
    [(key, current)] = store._current.items()
    store._current[key] = current - 30
    waiting = ThreadPoolExecutor(1).submit(get_or_compute, "name", GROUPS, names, stale=30)

    assert other.end().value == b"a,b"
    assert waiting.result() == Result(b"a,b", "collapsed")


def test_result_that_was_never_current_here_is_not_returned():
    """Another process may have invalidated it long ago."""
    get_or_compute("name", GROUPS, lambda: b"old", stale=30)
    Group.objects.create(name="a")
    other = Computation(stale=30)
    waiting = ThreadPoolExecutor(1).submit(get_or_compute, "name", GROUPS, names, stale=30)

    assert other.end() == Result(b"a", "miss")
    assert waiting.result() == Result(b"a", "collapsed")


def test_newer_result_does_not_make_a_former_one_recent(monkeypatch):
    """Another thread finds the newer one, after this request has read the former one."""
    get_or_compute("name", GROUPS, lambda: b"old", stale=30)
    Group.objects.create(name="a")
    other = Computation(stale=30)
    is_read, read = threading.Event(), slots.Slot.read

    def read_then_note(slot):
        value = read(slot)
        store.note_current(cacheops_prefix() + "name")
        is_read.set()
        return value

    monkeypatch.setattr(slots.Slot, "read", read_then_note)
    waiting = ThreadPoolExecutor(1).submit(get_or_compute, "name", GROUPS, names, stale=30)

    assert is_read.wait(10)
    assert other.end() == Result(b"a", "miss")
    assert waiting.result() == Result(b"a", "collapsed")


def test_altered_stale_result_is_not_returned(operator):
    for _ in range(2):
        get_or_compute("name", GROUPS, lambda: b"old", stale=30)
    Group.objects.create(name="a")
    key = cacheops_prefix() + "name"
    operator.append(key, b"er")
    other = Computation(stale=30)
    waiting = ThreadPoolExecutor(1).submit(get_or_compute, "name", GROUPS, names, stale=30)

    assert other.end() == Result(b"a", "miss")
    assert waiting.result() == Result(b"a", "collapsed")


def test_memory_of_current_results_is_bounded(monkeypatch):
    monkeypatch.setattr(store, "MAX_CURRENT", 2)
    for number in range(3):
        store.note_current(f"{number}")
    assert [key for key in "012" if store.was_current(key, 30)] == ["2"]


def test_lock_of_a_dead_process_delays_others_briefly(monkeypatch):
    monkeypatch.setattr(slots, "LOCK_WAIT_SECONDS", 0.05)
    slot = slots.Slot(cacheops_prefix(), cacheops_prefix() + "name", GROUPS.conditions)
    assert slot.claim() is None

    assert get_or_compute("name", GROUPS, lambda: b"mine") == Result(b"mine", "miss")
    with redis.Redis.from_url(project.REDIS_URL) as client:
        (lock,) = client.scan_iter("*:lock")
        assert 0 < client.pttl(lock) <= slots.LOCK_SECONDS * 1000


@pytest.mark.parametrize("pattern", ["*conj:auth_group:", "*response:name"])
def test_evicted_key_is_a_miss(pattern):
    get_or_compute("response:name", GROUPS, lambda: b"old")
    with redis.Redis.from_url(project.REDIS_URL) as client:
        (key,) = client.scan_iter(pattern)
        client.delete(key)

    assert get_or_compute("response:name", GROUPS, lambda: b"new") == Result(b"new", "miss")


def test_uncommitted_writes_are_visible_to_their_transaction_only(elsewhere):
    Group.objects.create(name="a")
    get_or_compute("name", GROUPS, names)

    with transaction.atomic():
        Group.objects.create(name="b")
        assert get_or_compute("name", GROUPS, names) == Result(b"a,b", "bypass")
        assert elsewhere(lambda: get_or_compute("name", GROUPS, names)).outcome == "hit"

    assert get_or_compute("name", GROUPS, names) == Result(b"a,b", "miss")


def test_rolled_back_write_does_not_invalidate():
    Group.objects.create(name="a")
    get_or_compute("name", GROUPS, names)

    @transaction.atomic
    def fail():
        Group.objects.create(name="b")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()

    assert get_or_compute("name", GROUPS, names) == Result(b"a", "hit")


def test_result_of_a_computation_that_writes_is_not_stored():
    def compute():
        Group.objects.create(name=f"{Group.objects.count()}")
        return names()

    assert get_or_compute("name", GROUPS, compute) == Result(b"0", "miss")
    assert get_or_compute("name", GROUPS, compute) == Result(b"0,1", "miss")


def test_cache_is_bypassed_when_cacheops_is_disabled(settings):
    settings.CACHEOPS_ENABLED = False

    assert get_or_compute("name", GROUPS, lambda: b"1") == Result(b"1", "bypass")
    assert get_or_compute("name", GROUPS, lambda: b"2") == Result(b"2", "bypass")


@pytest.mark.parametrize("failing", range(6))
def test_redis_failure_at_any_step_costs_speed_only(monkeypatch, failing):
    """Whether reading, locking or writing fails, this result and the next one are correct."""
    call, calls = CircuitBreaker.call_with_retry, []

    def call_with_retry(self, do, fail, **options):
        calls.append(do)
        if len(calls) > failing:
            error = redis.ConnectionError("down")
            self.trip(error)
            raise error
        return call(self, do, fail, **options)

    Group.objects.create(name="a")
    with monkeypatch.context() as patch:
        patch.setattr(CircuitBreaker, "call_with_retry", call_with_retry)
        assert get_or_compute("name", GROUPS, names).value == b"a"

    assert len(calls) > failing
    wait_for(lambda: not redis_client.breaker.is_open)
    with redis.Redis.from_url(project.REDIS_URL) as client:
        assert list(client.scan_iter("*:lock")) == []
    Group.objects.create(name="b")
    assert get_or_compute("name", GROUPS, names).value == b"a,b"
