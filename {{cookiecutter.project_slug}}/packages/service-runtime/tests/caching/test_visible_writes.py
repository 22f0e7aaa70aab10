"""Every write through the ORM is visible to the next read, and to other clients on commit."""

from typing import Any

import pytest
from asgiref.sync import async_to_sync
from cacheops import cached, cached_as, invalidate_model, invalidate_obj, no_invalidation
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, Permission
from django.db import connection, transaction
from django.urls import path
from rest_framework import generics, serializers

from service_runtime.caching import cached_response
from tests.shapes.models import City, Place

pytestmark = [
    pytest.mark.redis,
    pytest.mark.django_db(transaction=True),
    pytest.mark.urls(__name__),
]


class PlaceSerializer(serializers.ModelSerializer):
    city_name = serializers.CharField(source="city.name", read_only=True)

    class Meta:
        model = Place
        fields = ["name", "city_name"]


class PlaceList(generics.ListAPIView):
    queryset = Place.objects.select_related("city")
    serializer_class = PlaceSerializer

    @cached_response(Place, City, shared=True)
    def list(self, request, *args, **kwargs):
        return super().list(request, *args, **kwargs)


class PlaceDetail(generics.RetrieveAPIView):
    queryset = Place.objects.select_related("city")
    serializer_class = PlaceSerializer

    @cached_response(lambda view: Place.objects.filter(pk=view.kwargs["pk"]), City, shared=True)
    def retrieve(self, request, *args, **kwargs):
        return super().retrieve(request, *args, **kwargs)


urlpatterns = [
    path("api/places/", PlaceList.as_view()),
    path("api/places/<int:pk>/", PlaceDetail.as_view()),
]


@pytest.fixture
def place():
    return Place.objects.create(name="First", city=City.objects.create(name="Ada"))


@pytest.fixture
def names(api):
    """Return a function that reads the list and returns the names of places and their cities."""

    def names():
        places = api.get("/api/places/").json()
        return sorted(f"{place['name']} in {place.get('city_name')}" for place in places)

    return names


def save(instance, fields=None, **values):
    for name, value in values.items():
        setattr(instance, name, value)
    instance.save(update_fields=fields)


def invalidated_update(**values):
    places: Any = Place.objects  # cacheops adds the method
    places.invalidated_update(**values)


def execute_raw():
    with connection.cursor() as cursor:
        cursor.execute("UPDATE shapes_place SET name = 'New'")


WRITES = {
    "save": lambda place: save(place, name="New"),
    "save of some fields": lambda place: save(place, ["name"], name="New"),
    "create": lambda place: Place.objects.create(city=place.city, name="New"),
    "update_or_create": lambda place: Place.objects.update_or_create({"name": "New"}, pk=place.pk),
    "bulk_create": lambda place: Place.objects.bulk_create([Place(city=place.city, name="New")]),
    "bulk_create with conflicts": lambda place: Place.objects.bulk_create(
        [Place(pk=place.pk, city=place.city, name="New")],
        update_conflicts=True,
        update_fields=["name"],
        unique_fields=["id"],
    ),
    "invalidated_update": lambda place: invalidated_update(name="New"),
    "delete": lambda place: place.delete(),
    "delete of a queryset": lambda place: Place.objects.all().delete(),
    "save of a related object": lambda place: save(place.city, name="New"),
    "delete of a related object": lambda place: place.city.delete(),
    "add to a relation": lambda place: place.city.place_set.add(
        Place(name="New", city=place.city), bulk=False
    ),
    "raw SQL and invalidate_model": lambda place: (execute_raw(), invalidate_model(Place)),
    "raw SQL and invalidate_obj": lambda place: (execute_raw(), invalidate_obj(place)),
    "update": lambda place: Place.objects.update(name="New"),
    "aupdate": lambda place: async_to_sync(Place.objects.all().aupdate)(name="New"),
    "bulk_update": lambda place: Place.objects.bulk_update(
        [Place(pk=place.pk, name="New")], ["name"]
    ),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_a_write_is_visible_to_the_next_read(api, names, place, write):
    pk, url = place.pk, f"/api/places/{place.pk}/"
    assert api.get(url).json()["name"] == "First"
    assert names() == ["First in Ada"]

    write(place)

    stored = Place.objects.select_related("city")
    expected = [f"{found.name} in {found.city and found.city.name}" for found in stored]
    assert names() == sorted(expected) != ["First in Ada"]
    detail = api.get(url)
    found = Place.objects.filter(pk=pk).first()
    assert (detail.status_code, detail.json().get("name")) == (
        (200, found.name) if found else (404, None)
    )


def test_writes_without_invalidation_stay_invisible(names, place):
    """As the service's docs/caching.md says of them."""
    assert names() == ["First in Ada"]

    execute_raw()
    with no_invalidation:
        Place.objects.update(name="New")

    assert names() == ["First in Ada"]


def test_permissions_of_a_group_are_visible_at_once(django_user_model):
    """A many-to-many relation between models that are cached query by query."""
    user = django_user_model.objects.create_user("ada")
    group = Group.objects.create(name="editors")
    permission = Permission.objects.get(codename="change_user")

    def is_allowed():
        return django_user_model.objects.get(pk=user.pk).has_perm("auth.change_user")

    assert not is_allowed()
    user.groups.add(group)
    group.permissions.add(permission)
    assert is_allowed()
    group.permissions.remove(permission)
    assert not is_allowed()


def test_a_transaction_is_visible_to_others_on_commit(names, place, elsewhere):
    assert names() == ["First in Ada"]

    with transaction.atomic():
        save(place, name="New")
        assert elsewhere(names) == ["First in Ada"]
        assert names() == ["New in Ada"]

    assert names() == ["New in Ada"]


def test_a_rolled_back_transaction_is_never_visible(names, place):
    @transaction.atomic
    def fail():
        save(place, name="New")
        assert names() == ["New in Ada"]
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()

    assert names() == ["First in Ada"]


def test_a_rolled_back_savepoint_leaves_other_invalidations(names, place):
    @transaction.atomic
    def fail():
        save(place, name="Lost")
        raise ZeroDivisionError

    assert names() == ["First in Ada"]
    with transaction.atomic():
        save(place.city, name="Countess")
        with pytest.raises(ZeroDivisionError):
            fail()

    assert names() == ["First in Countess"]


def test_writes_of_the_async_orm_are_visible(names, place, django_assert_num_queries):
    users = get_user_model().objects
    user = users.create_user("ada")

    @async_to_sync
    async def write():
        user.username = "countess"
        await user.asave()
        await Place.objects.acreate(city=place.city, name="New")

    @async_to_sync
    async def name():
        return (await users.aget(pk=user.pk)).username

    assert name() == "ada"
    with django_assert_num_queries(0):
        assert name() == "ada"
    assert names() == ["First in Ada"]
    write()
    assert name() == "countess"
    assert names() == ["First in Ada", "New in Ada"]


def test_the_decorators_of_cacheops_cache_and_invalidate(place, django_assert_num_queries):
    @cached_as(Place)
    def count():
        return Place.objects.count()

    @cached(timeout=60)
    def titles(city):  # like a method, whose first argument is an instance of a model too
        return sorted(found.name for found in city.place_set.all())

    assert (count(), titles(place.city)) == (1, ["First"])
    with django_assert_num_queries(0):
        assert (count(), titles(place.city)) == (1, ["First"])

    Place.objects.create(city=place.city, name="New")
    assert count() == 2
    assert titles(place.city) == ["First"]
    titles.invalidate(place.city)
    assert titles(place.city) == ["First", "New"]
