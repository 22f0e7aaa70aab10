"""The names and values of conditions are those that writes report."""

from typing import Any

import pytest
from django.contrib.postgres.fields import HStoreField

from service_runtime.caching.dependencies import ANY_ROW, Dependencies
from tests.shapes.models import Author, Bar, Book, Loan, Place, Tag

redis_and_database = [pytest.mark.redis, pytest.mark.django_db(transaction=True)]


def conditions(rows, model):
    return Dependencies.of([rows]).conditions[model._meta.db_table]


class TestStaleResults:
    pytestmark = redis_and_database

    def test_condition_on_the_other_side_of_a_join_invalidates(self):
        author = Author.objects.create(name="Ada", code="a")
        found = Author.objects.filter(pk=author.pk, book__pages=1)
        assert list(found.all()) == []

        Book.objects.create(author=author, pages=1)

        assert list(found.all()) == [author]

    def test_condition_on_a_key_of_a_skipped_type_invalidates(self):
        tag = Tag.objects.create(slug="a", name="Old")
        Book.objects.create(tag=tag)

        def names():
            books: Any = Book.objects.filter(tag_id="a").select_related("tag")
            return [book.tag.name for book in books]

        assert names() == ["Old"]
        tag.name = "New"
        tag.save()
        assert names() == ["New"]

    def test_field_named_like_the_column_of_a_relation_invalidates(self):
        author = Author.objects.create(name="Old", code="a")
        Loan.objects.create(code="b", author=author)

        def names():
            loans: Any = Loan.objects.filter(code="b").select_related("author")
            return [loan.author.name for loan in loans]

        assert names() == ["Old"]
        author.name = "New"
        author.save()
        assert names() == ["New"]

    def test_condition_on_a_generated_field_invalidates(self):
        book = Book.objects.create(name="Notes", pages=1)
        assert list(Book.objects.filter(sheets=5)) == []

        book.pages = 4
        book.save()

        assert list(Book.objects.filter(sheets=5)) == [book]

    def test_condition_on_a_parent_invalidates_when_a_child_is_written(self):
        bar = Bar.objects.create(name="Old", visits=1)
        found = Bar.objects.filter(name="New", visits=1)
        assert list(found.all()) == []

        bar.name = "New"
        bar.save()

        assert list(found.all()) == [bar]


def test_condition_has_the_name_that_writes_report():
    author = {"author_id": 1, "pages": 1}
    assert conditions(Author.objects.filter(pk=1, book__pages=1), Book) == [author, ANY_ROW]
    assert conditions(Book.objects.filter(author_id=1, pages=1), Book) == [author, ANY_ROW]


def test_condition_reaches_the_children_of_a_model():
    found = Dependencies.of([Place.objects.filter(name="a", rating=1)]).conditions
    assert found["shapes_place"] == found["shapes_bar"] == [{"name": "a"}, ANY_ROW]


def test_values_of_hstore_fields_are_no_conditions(settings):
    assert HStoreField().get_internal_type() in settings.CACHEOPS_SKIP_FIELDS
