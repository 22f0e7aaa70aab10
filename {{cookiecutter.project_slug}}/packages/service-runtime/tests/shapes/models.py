"""Models of the shapes that the example does not have."""

from typing import Any

from django.db import models


class Named(models.Model):
    name = models.CharField(max_length=50)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return self.name


def empty(collector: Any, field: Any, objects: Any, using: str) -> None:
    """Empty a field as SET_NULL does, of objects that are loaded for it."""
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
    """Another child, which may share its parent's row with a restaurant."""


class Person(Named):
    """Without a manager of the usual name."""

    everyone = models.Manager()
