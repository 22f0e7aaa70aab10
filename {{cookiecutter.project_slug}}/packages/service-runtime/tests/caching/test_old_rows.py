"""A save invalidates results by the old values of its row, however the row is overwritten."""

import uuid
from typing import Any

import pytest
from django.db import IntegrityError
from django.db.models.signals import pre_save

from tests.shapes.models import Bar, Document, Person, Place, Region, Restaurant

pytestmark = [pytest.mark.redis, pytest.mark.django_db(transaction=True)]
Row = Any


def overwrite(row: Row, **options: Any) -> None:
    row.name = "new"
    row.save(**options)


OVERWRITES = {
    "save": lambda pk: overwrite(Document.objects.get(pk=pk)),
    "save with force_update": lambda pk: overwrite(Document(pk=pk), force_update=True),
    "save with update_fields": lambda pk: overwrite(
        Document.objects.get(pk=pk), update_fields=["name"]
    ),
    "save of raw data": lambda pk: Document(pk=pk, name="new").save_base(raw=True),
    "update_or_create": lambda pk: Document.objects.update_or_create({"name": "new"}, pk=pk),
    "update": lambda pk: Document.objects.filter(pk=pk).update(name="new"),
    "bulk_update": lambda pk: Document.objects.bulk_update([Document(pk=pk, name="new")], ["name"]),
    "bulk_create": lambda pk: Document.objects.bulk_create(
        [Document(pk=pk, name="new")],
        update_conflicts=True,
        update_fields=["name"],
        unique_fields=["id"],
    ),
}


@pytest.mark.parametrize("write", OVERWRITES.values(), ids=OVERWRITES)
def test_overwritten_row_with_a_generated_key_leaves_results_by_its_old_values(write):
    document = Document.objects.create(name="old")
    assert list(Document.objects.filter(name="old")) == [document]

    write(document.pk)

    assert list(Document.objects.filter(name="old")) == []


def test_overwritten_row_with_an_explicit_key_leaves_results_by_its_old_values():
    region = Region.objects.create(name="old")
    assert list(Region.objects.filter(name="old")) == [region]

    overwrite(Region(pk=region.pk))

    assert list(Region.objects.filter(name="old")) == []


def test_parent_row_overwritten_by_a_new_child_leaves_results_by_its_old_values():
    restaurant = Restaurant.objects.create(name="old")
    assert Place.objects.filter(name="old").exists()
    assert list(Restaurant.objects.filter(name="old")) == [restaurant]
    assert list(Place.objects.filter(name="old")) != []

    Bar(place_ptr_id=restaurant.pk, name="new").save()

    assert list(Place.objects.filter(name="old")) == []
    assert list(Restaurant.objects.filter(name="old")) == []


def test_old_row_of_a_failed_save_does_not_stand_for_that_of_a_later_one():
    document = Document.objects.create(name="before")

    def fail(**kwargs):
        raise ZeroDivisionError

    pre_save.connect(fail, sender=Document)
    try:
        with pytest.raises(ZeroDivisionError):
            document.save()
    finally:
        pre_save.disconnect(fail, sender=Document)
    Document.objects.update(name="old")
    with pytest.raises(IntegrityError):  # Django inserts a new instance with a generated key
        Document(pk=document.pk, name="new").save()
    assert list(Document.objects.filter(name="old")) == [document]

    overwrite(Document(pk=document.pk), force_update=True)

    assert list(Document.objects.filter(name="old")) == []


def test_insert_loads_no_row_and_leaves_other_results(django_assert_num_queries):
    Document.objects.create(name="old")
    old = Document.objects.filter(name="old")
    assert len(old.all()) == 1

    with django_assert_num_queries(1):
        Document.objects.create(name="new")
    Document(pk=uuid.uuid4(), name="new").save()
    with django_assert_num_queries(0):
        assert len(old.all()) == 1


def test_insert_with_an_explicit_key_leaves_other_results(django_assert_num_queries):
    Person.everyone.create(name="old")
    old = Person.everyone.filter(name="old")
    assert len(old.all()) == 1

    Person(pk=1000, name="new").save()

    with django_assert_num_queries(0):
        assert len(old.all()) == 1
