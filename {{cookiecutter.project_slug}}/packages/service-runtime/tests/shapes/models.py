"""Models whose shapes the caching tests need."""

import uuid
from typing import Any

from django.db import models
from django.db.models import F


class Named(models.Model):
    name = models.CharField(max_length=50)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return self.name


def empty(collector: Any, field: Any, objects: Any, using: str) -> None:
    """Set a field to NULL, as SET_NULL does, but load the objects first."""
    collector.add_field_update(field, None, objects)


class City(Named):
    capital = models.ForeignKey("self", null=True, on_delete=models.SET_NULL)


class Region(Named):
    pass


class Place(Named):
    city = models.ForeignKey(City, null=True, on_delete=models.SET_NULL)
    region = models.ForeignKey(Region, null=True, on_delete=empty)
    rating = models.DecimalField(max_digits=4, decimal_places=2, default=0)
    opened = models.DateTimeField(null=True)
    visits = models.IntegerField(default=0)


class Restaurant(Place):
    """A child of multi-table inheritance."""

    stars = models.IntegerField(default=0)


if hasattr(models, "DB_CASCADE"):  # Django 6.1

    class District(Named):
        city = models.ForeignKey(City, on_delete=models.DB_CASCADE)

    class Street(Named):
        district = models.ForeignKey(District, on_delete=models.DB_CASCADE)


class Bar(Place):
    """Another child. Its parent row may also be the parent row of a restaurant."""


class Person(Named):
    """A model without the manager `objects`."""

    everyone = models.Manager()


class Document(Named):
    """A model with a generated key, and with values whose `repr()` is not exact."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    data = models.JSONField(default=dict)
    content = models.BinaryField(default=b"")


class Tag(Named):
    """A model whose key selects no results: CACHEOPS_SKIP_FIELDS contains its type."""

    slug = models.TextField(primary_key=True)


class Author(Named):
    code = models.CharField(max_length=50, unique=True)


class Book(Named):
    """A model with columns that are not named after its fields, and with a generated one."""

    tag = models.ForeignKey(Tag, null=True, on_delete=models.CASCADE)
    author = models.ForeignKey(Author, null=True, db_column="writer", on_delete=models.CASCADE)
    pages = models.IntegerField(default=0)
    sheets = models.GeneratedField(
        expression=F("pages") + 1, output_field=models.IntegerField(), db_persist=True
    )


class Loan(Named):
    """A model with a field whose name is the column of another one."""

    code = models.CharField(max_length=50, db_column="code_text")
    author = models.ForeignKey(
        Author, null=True, to_field="code", db_column="code", on_delete=models.CASCADE
    )
