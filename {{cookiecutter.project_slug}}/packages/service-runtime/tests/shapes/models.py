"""Models whose shapes the caching tests need."""

from typing import Any

from django.db import models


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
