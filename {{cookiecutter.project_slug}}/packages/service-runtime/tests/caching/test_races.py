"""A result is not stored if a change has overtaken it while it was read or computed."""

import random
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from cacheops import cached_as
from cacheops.redis import redis_client
from django.db import connections, transaction
from django.db.models import Count, Exists, OuterRef
from django.db.models.sql.compiler import SQLCompiler

from service_runtime.caching.slots import Slot
from tests.shapes.models import City, Place, Restaurant

pytestmark = [pytest.mark.redis, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def after_reading(monkeypatch, elsewhere):
    """Return a function that runs a write after the next read, before its result is stored."""
    execute_sql = SQLCompiler.execute_sql

    def after_reading(write):
        reader, writes = threading.get_ident(), [write]

        def read(self, *args, **kwargs):
            rows = execute_sql(self, *args, **kwargs)
            if isinstance(rows, Iterator):
                rows = iter(list(rows))
            if threading.get_ident() == reader and writes:
                elsewhere(writes.pop())
            return rows

        monkeypatch.setattr(SQLCompiler, "execute_sql", read)

    return after_reading


places: Any = Place.objects  # cacheops adds methods
READS = {
    "get": lambda: Place.objects.filter(name="Old").first(),
    "fetch": lambda: list(Place.objects.values_list("name", flat=True)),
    "locked fetch": lambda: list(places.cache(lock=True).values_list("name", flat=True)),
    "count": lambda: Place.objects.filter(name="Old").count(),
    "exists": lambda: Place.objects.filter(name="Old").exists(),
    "aggregate": lambda: Place.objects.filter(name="Old").aggregate(number=Count("pk")),
    "subquery": lambda: list(
        City.objects.filter(Exists(Place.objects.filter(name="Old", city=OuterRef("pk"))))
    ),
    "child": lambda: list(Restaurant.objects.values_list("name", flat=True)),
    "cached_as": lambda: cached_as(Place)(
        lambda: list(places.nocache().values_list("name", flat=True))
    )(),
    "cached_as that keeps fresh": lambda: cached_as(Place, keep_fresh=True)(
        lambda: list(places.nocache().values_list("name", flat=True))
    )(),
    "locked cached_as": lambda: cached_as(Place, lock=True)(
        lambda: list(places.nocache().values_list("name", flat=True))
    )(),
    "nested cached_as": lambda: cached_as(Place)(
        lambda: list(Place.objects.values_list("name", flat=True))
    )(),
}


def save_as(place, name):
    place.name = name
    place.save()


def rename():
    save_as(places.nocache().get(), "New")


@pytest.mark.parametrize("write", [rename, lambda: Place.objects.update(name="New")])
@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_row_that_changes_while_it_is_read_is_not_stored(after_reading, read, write):
    Restaurant.objects.create(name="Old", city=City.objects.create(name="Paris"))
    after_reading(write)
    overtaken = read()

    assert read() != overtaken


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_result_is_stored_without_a_concurrent_change(read, django_assert_num_queries):
    Restaurant.objects.create(name="Old", city=City.objects.create(name="Paris"))
    expected = read()
    with django_assert_num_queries(0):
        assert read() == expected


def test_result_is_not_stored_if_its_stamps_were_evicted_meanwhile(
    after_reading, django_assert_num_queries
):
    Place.objects.create(name="Old")

    def evict():
        client = redis_client.plain
        for key in client.scan_iter("*:conj:shapes_place:*"):
            client.delete(key)

    after_reading(evict)
    read = READS["fetch"]
    read()
    with django_assert_num_queries(1):
        read()


def test_lock_is_released_after_a_late_claim(monkeypatch, elsewhere):
    Place.objects.create(name="Old")
    read, claim, others = READS["locked fetch"], Slot.claim, [lambda: READS["locked fetch"]()]

    def claim_late(slot):
        if others:
            elsewhere(others.pop())
        return claim(slot)

    monkeypatch.setattr(Slot, "claim", claim_late)
    read()
    assert not list(redis_client.plain.scan_iter("tests:*:lock"))


def test_stamps_are_unique_even_if_random_is_seeded():
    def drop_stamps():
        for key in redis_client.plain.scan_iter("*:conj:*"):
            redis_client.plain.delete(key)

    place = Place.objects.create(name="Old")
    random.seed(1)
    drop_stamps()
    assert Place.objects.get().name == "Old"
    save_as(place, "New")
    random.seed(1)
    drop_stamps()
    cached_as(Place)(lambda: None)()

    assert Place.objects.get().name == "New"


def test_rows_of_a_snapshot_are_not_stored(monkeypatch, django_assert_num_queries):
    """Snapshots: REPEATABLE READ, and SQLite transactions that do not lock out writers."""
    Place.objects.create(name="Old")
    connection = connections["default"]
    if connection.vendor == "sqlite":
        monkeypatch.setattr(connection, "transaction_mode", None)
    else:
        from django.db.backends.postgresql.psycopg_any import IsolationLevel

        monkeypatch.setattr(connection, "isolation_level", IsolationLevel.REPEATABLE_READ)
    read = READS["fetch"]

    with transaction.atomic():
        read()
        with django_assert_num_queries(1):
            read()
    with django_assert_num_queries(1):
        read()
