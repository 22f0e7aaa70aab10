"""Every change of a dependency invalidates, whatever the query and whatever the write."""

import logging
import time
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any

import pytest
from cacheops import cached_as
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, Permission
from django.db.models import (
    Case,
    Count,
    Exists,
    F,
    FilteredRelation,
    FloatField,
    IntegerField,
    OuterRef,
    Q,
    Subquery,
    Sum,
    Value,
    When,
)
from django.db.models.expressions import RawSQL
from django.db.models.functions import Coalesce
from django.db.models.signals import class_prepared

from service_runtime.caching import dependencies, querysets
from service_runtime.caching.dependencies import Dependencies
from tests.shapes import models as shapes_models
from tests.shapes.models import Bar, City, Person, Place, Region, Restaurant

pytestmark = [pytest.mark.redis, pytest.mark.django_db(transaction=True)]
User = get_user_model()
Membership: Any = User.groups.through
shapes: Any = shapes_models  # some depend on Django's version
groups: Any = Group.objects  # cacheops adds methods


def save(row, fields=None, **values):
    for name, value in values.items():
        setattr(row, name, value)
    row.save(update_fields=fields)


@pytest.fixture
def user():
    return User.objects.create_user("ada")


@pytest.fixture
def group():
    Group.objects.create(name="none")
    group = Group.objects.create(name="editors")
    group.permissions.add(Permission.objects.get(codename="add_group"))
    return group


def without_rights():
    return Group.objects.get(name="none")


def memberships():
    return Membership.objects.filter(group=OuterRef("pk"))


def users():
    return Subquery(memberships().values("user")[:1])


QUERIES = {
    "in": lambda user: Group.objects.filter(pk__in=Membership.objects.values("group")),
    "in a list": lambda user: Group.objects.filter(
        pk__in=[Subquery(memberships().values("group")[:1]), 0]
    ),
    "not in": lambda user: Group.objects.exclude(pk__in=Membership.objects.values("group")),
    "Exists": lambda user: Group.objects.filter(Exists(memberships())),
    "not Exists": lambda user: Group.objects.filter(~Exists(memberships())),
    "Exists with or": lambda user: Group.objects.filter(Q(name="") | Q(Exists(memberships()))),
    "annotation": lambda user: Group.objects.annotate(found=users()).values_list("found"),
    "annotation of Exists": lambda user: Group.objects.annotate(
        found=Exists(memberships())
    ).values_list("found"),
    "Coalesce": lambda user: Group.objects.annotate(
        found=Coalesce(users(), 0, output_field=IntegerField())
    ).values_list("found"),
    "Case": lambda user: Group.objects.annotate(
        found=Case(When(Exists(memberships()), then=Value(1)), default=Value(0))
    ).values_list("found"),
    "alias": lambda user: Group.objects.alias(found=users()).filter(found=user.pk),
    "aggregate annotation": lambda user: Group.objects.annotate(found=Count("user")).values_list(
        "found"
    ),
    "union": lambda user: Group.objects.filter(name="").union(Group.objects.filter(user=user)),
    "subquery in a union": lambda user: Group.objects.filter(name="").union(
        Group.objects.filter(Exists(memberships()))
    ),
    "relation": lambda user: Group.objects.filter(user=user),
    "excluded relation": lambda user: Group.objects.exclude(user=user),
    "nested": lambda user: Permission.objects.filter(
        group__in=Group.objects.filter(pk__in=Membership.objects.values("group"))
    ),
    "permissions": lambda user: Permission.objects.filter(group__in=user.groups.all()),
    "filtered relation": lambda user: Group.objects.annotate(
        member=FilteredRelation("user", condition=Q(user__is_active=True))
    ).filter(member__isnull=False),
    "subquery in a filtered relation": lambda user: Group.objects.annotate(
        member=FilteredRelation("permissions", condition=Q(Exists(Membership.objects.all())))
    ).values_list("member"),
    "raw SQL": lambda user: Group.objects.filter(
        pk__in=RawSQL("SELECT group_id FROM auth_user_groups", ())
    ),
    "raw SQL in upper case": lambda user: Group.objects.filter(
        pk__in=RawSQL("SELECT GROUP_ID FROM AUTH_USER_GROUPS", ())
    ),
    "extra": lambda user: Group.objects.extra(
        where=["id IN (SELECT group_id FROM auth_user_groups)"]
    ),
    "extra select": lambda user: Group.objects.extra(
        select={"found": "SELECT count(*) FROM auth_user_groups"}
    ).values_list("found"),
    "extra tables": lambda user: Group.objects.extra(
        tables=["auth_user_groups"], where=["auth_user_groups.group_id = auth_group.id"]
    ),
}


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
def test_change_of_any_table_in_a_query_invalidates(user, group, query):
    before = list(query(user))
    assert list(query(user)) == before

    user.groups.add(group)

    assert list(query(user)) == list(query(user).nocache()) != before


def test_subquery_in_order_by_is_a_dependency(user, group):
    other = without_rights()

    def found():
        return list(
            Group.objects.order_by(Coalesce(users(), 0, output_field=IntegerField()).desc(), "pk")
        )

    assert found() == [other, group]
    user.groups.add(group)
    assert found() == [group, other]


def test_subquery_in_order_by_on_the_same_table_is_a_dependency():
    paris, rome = City.objects.create(name="Paris"), City.objects.create(name="Rome")
    first, second = (Place.objects.create(name=name, city=paris) for name in "ab")

    def found():
        has_twin = Exists(Place.objects.filter(city=rome, name=OuterRef("name")))
        return list(Place.objects.filter(city=paris).order_by(has_twin.desc(), "name"))

    assert found() == [first, second]
    Place.objects.create(name="b", city=rome)
    assert found() == [second, first]


@pytest.mark.parametrize("operation", ["count", "exists", "aggregate", "get", "first"])
def test_subquery_is_a_dependency_of_every_cached_operation(user, group, operation):
    def result():
        found = groups.filter(Exists(memberships())).cache()
        if operation == "aggregate":
            return found.aggregate(number=Count("pk"))
        if operation == "get":
            return len(found.filter(name="editors"))
        return getattr(found, operation)()

    before = result()
    user.groups.add(group)
    assert result() != before


GRANTS = {
    "add": lambda user, group: user.groups.add(group),
    "set": lambda user, group: user.groups.set([group]),
    "add on the other side": lambda user, group: group.user_set.add(user),
    "set on the other side": lambda user, group: group.user_set.set([user]),
    "row": lambda user, group: Membership.objects.create(user=user, group=group),
    "saved row": lambda user, group: Membership(user=user, group=group).save(),
    "rows": lambda user, group: Membership.objects.bulk_create(
        [Membership(user=user, group=group)]
    ),
    "upserted rows": lambda user, group: Membership.objects.bulk_create(
        [Membership(user=user, group=group)], ignore_conflicts=True
    ),
    "direct": lambda user, group: user.user_permissions.add(group.permissions.get()),
    "is_superuser": lambda user, group: User.objects.filter(pk=user.pk).update(is_superuser=True),
}
REVOCATIONS = {
    "remove": lambda user, group: user.groups.remove(group),
    "clear": lambda user, group: user.groups.clear(),
    "set": lambda user, group: user.groups.set([]),
    "remove on the other side": lambda user, group: group.user_set.remove(user),
    "clear on the other side": lambda user, group: group.user_set.clear(),
    "set on the other side": lambda user, group: group.user_set.set([]),
    "delete of rows": lambda user, group: Membership.objects.filter(user=user).delete(),
    "delete of a row": lambda user, group: Membership.objects.get(user=user).delete(),
    "update of rows": lambda user, group: Membership.objects.update(group=without_rights()),
    "save of a row": lambda user, group: save(Membership.objects.get(), group=without_rights()),
    "bulk_update of rows": lambda user, group: Membership.objects.bulk_update(
        [Membership(pk=Membership.objects.get().pk, group=without_rights())], ["group"]
    ),
    "group's permission": lambda user, group: group.permissions.clear(),
    "permission's group": lambda user, group: group.permissions.get().group_set.clear(),
    "delete of the group": lambda user, group: group.delete(),
    "delete of groups": lambda user, group: Group.objects.all().delete(),
    "delete of the permission": lambda user, group: group.permissions.all().delete(),
    "is_active": lambda user, group: User.objects.filter(pk=user.pk).update(is_active=False),
    "bulk_update": lambda user, group: User.objects.bulk_update(
        [User(pk=user.pk, is_active=False)], ["is_active"]
    ),
    "save": lambda user, group: save(user, is_active=False),
    "save of a field": lambda user, group: save(user, ["is_active"], is_active=False),
    "upsert": lambda user, group: User.objects.bulk_create(
        [User(username="ada", is_active=False)],
        update_conflicts=True,
        update_fields=["is_active"],
        unique_fields=["username"],
    ),
}


def may_add_groups(user):
    """Return whether a new request, which loads the user again, has the permission."""
    return User.objects.get(pk=user.pk).has_perm("auth.add_group")


@pytest.mark.parametrize("grant", GRANTS.values(), ids=GRANTS)
def test_granted_permission_is_effective_at_once(user, group, grant):
    assert not may_add_groups(user)
    grant(user, group)
    assert may_add_groups(user)


@pytest.mark.parametrize("revoke", REVOCATIONS.values(), ids=REVOCATIONS)
def test_revoked_permission_is_ineffective_at_once(user, group, revoke):
    user.groups.add(group)
    assert may_add_groups(user)
    assert may_add_groups(user)

    revoke(user, group)

    assert not may_add_groups(user)


def test_permissions_are_cached(user, group, django_assert_num_queries):
    may_add_groups(user)
    with django_assert_num_queries(0):
        may_add_groups(user)


def test_change_of_one_row_does_not_invalidate_results_of_others(user, django_assert_num_queries):
    other = User.objects.create_user("grace")
    User.objects.get(pk=user.pk)

    other.save()

    with django_assert_num_queries(0):
        User.objects.get(pk=user.pk)


def test_result_with_a_table_without_a_cacheops_entry_is_not_stored(group, caplog):
    querysets._report_untracked.cache_clear()

    def found():
        return list(Group.objects.filter(user__logentry__object_id="x"))

    with caplog.at_level(logging.WARNING):
        assert found() == found() == []
    user = User.objects.create_user("ada")
    user.groups.add(group)
    LogEntry(user=user, object_id="x", action_flag=1).save()

    assert found() == [group]
    (record,) = caplog.records
    assert "CACHEOPS has no entry for admin.LogEntry" in record.message


def test_joins_added_by_the_compiler_are_dependencies():
    assert Dependencies.of([Place.objects.select_related("city")]).conditions.keys() >= {
        "shapes_place",
        "shapes_city",
    }
    assert "shapes_city" in Dependencies.of([Place.objects.order_by("city__name")]).conditions


@pytest.mark.parametrize(
    "query",
    [
        lambda: City.objects.filter(name="a").select_related("capital"),
        lambda: City.objects.filter(name="a").order_by("capital__name"),
    ],
    ids=["select_related", "order_by"],
)
def test_change_of_a_row_from_a_self_join_invalidates(query):
    capitals = [City.objects.create(name="Paris"), City.objects.create(name="Rome")]
    for capital in capitals:
        City.objects.create(name="a", capital=capital)

    def found():
        return [city.capital.name for city in query()]

    assert found() == found() == ["Paris", "Rome"]
    save(capitals[0], name="Zagreb")
    assert sorted(found()) == ["Rome", "Zagreb"]
    assert found() == [city.capital.name for city in query().nocache()]


@pytest.mark.parametrize("condition", [Q(place=None), Q(place__name="") | Q(place__name=None)])
def test_first_row_of_an_outer_join_invalidates(condition):
    city = City.objects.create(name="Paris")
    assert list(City.objects.filter(condition)) == [city]

    Place.objects.create(name="Louvre", city=city)

    assert list(City.objects.filter(condition)) == []


places: Any = Place.objects
restaurants: Any = Restaurant.objects
bars: Any = Bar.objects
PLACES = {
    "fetch": lambda: list(Place.objects.values_list("name", flat=True)),
    "get": lambda: Place.objects.get().name,
    "cached_as": lambda: cached_as(Place)(lambda: places.nocache().get().name)(),
    "subquery": lambda: list(
        City.objects.annotate(found=Subquery(Place.objects.values("name")[:1])).values_list("found")
    ),
}
RESTAURANTS = {
    "fetch": lambda: list(Restaurant.objects.values_list("name", "stars")),
    "get": lambda: Restaurant.objects.get().name,
    "cached_as": lambda: cached_as(Restaurant)(lambda: restaurants.nocache().get().name)(),
    "subquery": lambda: list(
        City.objects.annotate(found=Subquery(Restaurant.objects.values("name")[:1])).values_list(
            "found"
        )
    ),
}
CHANGES = {
    "save": lambda model: save(model.objects.get(), name="New"),
    "update": lambda model: model.objects.update(name="New"),
    "bulk_update": lambda model: model.objects.bulk_update(
        [model(pk=model.objects.get().pk, name="New")], ["name"]
    ),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("written", [Place, Restaurant])
@pytest.mark.parametrize(
    "read",
    [*PLACES.values(), *RESTAURANTS.values()],
    ids=[*(f"place {name}" for name in PLACES), *(f"restaurant {name}" for name in RESTAURANTS)],
)
def test_writes_of_parents_and_children_invalidate_each_other(read, written, change):
    City.objects.create(name="Paris")
    Restaurant.objects.create(name="Old", stars=1)
    before = read()
    assert read() == before

    change(written)

    assert read() != before


@pytest.mark.parametrize(("field", "model"), [("city", City), ("region", Region)])
def test_field_set_to_null_by_a_deletion_invalidates(field, model):
    target = model.objects.create(name="Paris")
    place = Place.objects.create(name="Louvre", **{field: target})
    found = Place.objects.filter(name="Louvre", **{field: None})
    assert list(found.all()) == []

    target.delete()

    assert list(found.all()) == [place]


def test_related_objects_added_in_bulk_invalidate():
    city, place = City.objects.create(name="Paris"), Place.objects.create(name="Louvre")
    assert list(city.place_set.all()) == []

    city.place_set.add(place)
    assert list(city.place_set.all()) == [place]
    city.place_set.clear()
    assert list(city.place_set.all()) == []


def test_equal_values_with_different_notations_are_one_condition():
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    place = Place.objects.create(name="Old", rating=Decimal("1.5"), opened=noon)

    def names():
        zone = timezone(timedelta(hours=5))
        return [
            Place.objects.get(rating=Decimal("1.500")).name,
            Place.objects.get(opened=noon.astimezone(zone)).name,
        ]

    assert names() == ["Old", "Old"]
    Place.objects.get(pk=place.pk)  # as the database returns it
    place.refresh_from_db()
    place.name = "New"
    place.save()
    assert names() == ["New", "New"]


def test_value_computed_by_the_database_invalidates():
    place = Place.objects.create(name="Louvre")
    assert list(Place.objects.filter(visits=1)) == []

    place.visits = F("visits") + 1
    place.save()

    assert list(Place.objects.filter(visits=1)) == [place]


def test_upsert_invalidates_results_by_unchanged_fields():
    User.objects.create_user("ada", "ada@example.com")
    found = User.objects.filter(email="ada@example.com")
    assert found.get().is_active

    REVOCATIONS["upsert"](None, None)

    assert not found.get().is_active


def test_deletion_of_a_row_with_deferred_fields_invalidates():
    place = Place.objects.create(name="Louvre")
    assert list(Place.objects.filter(name="Louvre")) == [place]

    Place.objects.only("pk").get().delete()

    assert list(Place.objects.filter(name="Louvre")) == []


def rows_by_values(rows):
    return [
        list(rows.filter(**values).values_list("pk", flat=True))
        for name in ("Old", "New", "Newer")
        for values in ({"name": name}, {"name": name, "visits": 1})
    ]


STALE = {
    "save of a field": lambda place: save(place, ["visits"], visits=1),
    "save of all fields": lambda place: save(place, visits=1),
    "save by key": lambda place: save(Place(pk=place.pk, name="Newer", visits=1)),
}


@pytest.mark.parametrize("write", STALE.values(), ids=STALE)
def test_save_of_an_outdated_instance_invalidates(write):
    place = Place.objects.create(name="Old")
    save(places.nocache().get(), name="New")
    before = rows_by_values(Place.objects.all())

    write(place)

    assert rows_by_values(Place.objects.all()) == rows_by_values(places.nocache()) != before


@pytest.mark.parametrize("instance", [lambda place: place, lambda place: Place(pk=place.pk)])
def test_deletion_by_an_outdated_instance_invalidates(instance):
    place = Place.objects.create(name="Old")
    save(places.nocache().get(), name="New")
    assert list(Place.objects.filter(name="New")) == [place]

    instance(place).delete()

    assert list(Place.objects.filter(name="New")) == []


if hasattr(shapes, "Street"):  # DB_CASCADE of Django 6.1

    def test_deletion_by_the_database_invalidates():
        city = City.objects.create(name="Paris")
        district = shapes.District.objects.create(name="Marais", city=city)
        street = shapes.Street.objects.create(name="Rivoli", district=district)
        assert list(shapes.Street.objects.filter(name="Rivoli")) == [street]

        city.delete()

        assert list(shapes.Street.objects.filter(name="Rivoli")) == []


def test_change_of_a_row_that_the_default_manager_hides_invalidates():
    person = Person.everyone.create(name="ada")
    assert list(Person.everyone.filter(name="ada")) == [person]

    save(person, name="grace")

    assert list(Person.everyone.filter(name="ada")) == []


def test_save_of_fields_without_conditions_does_not_invalidate_other_rows(
    user, django_assert_num_queries
):
    other = User.objects.create_user("grace")
    User.objects.get(pk=user.pk)

    save(other, ["last_login"], last_login=datetime.now(UTC))

    with django_assert_num_queries(0):
        User.objects.get(pk=user.pk)


class Name(str, Enum):  # noqa: UP042 - a StrEnum prints as its value
    LOUVRE = "Louvre"


@pytest.mark.parametrize("asked", ["Louvre", Name.LOUVRE])
@pytest.mark.parametrize("written", ["Louvre", Name.LOUVRE])
def test_string_enumeration_equals_its_value(asked, written):
    assert list(Place.objects.filter(name=asked)) == []
    place = Place.objects.create(name=written)
    assert list(Place.objects.filter(name=asked)) == [place]


def test_exclude_with_several_lists_is_fast():
    """20 conditions of two values each; negated, they would become 2 to the power of 20."""
    found = Place.objects.exclude(name__in=["a", "b", "c", "d"], visits__in=[1, 2, 3, 4, 5])
    started = time.process_time()
    assert Dependencies.of([found]).conditions["shapes_place"] == [{}]
    assert time.process_time() - started < 0.5


def test_row_shared_by_two_children_invalidates_both():
    restaurant = Restaurant.objects.create(name="Old")
    Bar(place_ptr_id=restaurant.pk, name="Old").save()

    def name():
        return cached_as(Bar)(lambda: bars.nocache().get().name)()

    assert Bar.objects.get().name == name() == "Old"
    save(restaurant, name="New")
    assert Bar.objects.get().name == name() == "New"


AGGREGATES = {
    "subquery": lambda: Sum(Subquery(Place.objects.filter(city=OuterRef("pk")).values("visits"))),
    "Exists": lambda: Count("pk", filter=Exists(Place.objects.filter(city=OuterRef("pk")))),
    "raw SQL": lambda: Sum(RawSQL("(SELECT SUM(visits) FROM shapes_place)", ())),
    "relation": lambda: Count("place"),
}


@pytest.mark.parametrize("aggregate", AGGREGATES.values(), ids=AGGREGATES)
def test_table_in_an_aggregate_is_a_dependency(aggregate):
    city = City.objects.create(name="Paris")
    expression = aggregate()
    before = [City.objects.aggregate(found=expression) for _ in range(2)][1]

    Place.objects.create(city=city, visits=1)

    assert City.objects.aggregate(found=expression)["found"] == 1 != before["found"]


def test_aggregates_with_equal_repr_have_separate_results():
    Place.objects.create(visits=1)
    fields = {float: FloatField(), int: IntegerField()}
    for kind, field in fields.items():
        found = Place.objects.aggregate(found=Sum("visits", output_field=field))["found"]
        assert isinstance(found, kind)


def test_queries_with_similar_parameters_have_separate_results():
    City.objects.create(name="a")
    found = City.objects.annotate(number=Count("place"))
    assert not found.filter(name__in=["a, b"])
    assert len(found.filter(name__in=["a", "b"])) == 1


def test_rows_of_a_related_manager_have_no_stale_instance():
    Place.objects.create(name="Louvre", city=City.objects.create(name="Old"))

    def names():
        city = City.objects.get()
        related, plain = city.place_set.all(), Place.objects.filter(city=city)
        found: list[Any] = [*related, *plain]
        return [place.city.name for place in found]

    assert names() == names() == ["Old", "Old"]
    save(City.objects.get(), name="New")
    assert names() == ["New", "New"]


def test_table_without_a_model_is_not_tracked():
    assert dependencies.missing_entry("elsewhere") == (
        "No model has the table elsewhere, so its changes are not tracked."
    )
    assert not dependencies.is_tracked(None)
    assert dependencies._complete({"elsewhere": [{}]}) == {
        "elsewhere": [{}],
        "?": [{"table": "elsewhere"}],
    }


def test_query_without_possible_rows_depends_on_nothing():
    assert dependencies.conditions_of(Place.objects.none().union(Place.objects.none())) == {}


def test_condition_on_a_transformed_column_matches_any_row():
    found = Dependencies.of([Place.objects.filter(opened__year__gt=2025, opened__month=1)])

    assert found.conditions["shapes_place"] == [{}]


def test_values_that_a_collation_makes_equal_are_one_condition():
    field = Place._meta.get_field("name")
    field.db_collation = "NOCASE"
    try:
        found = Dependencies.of([Place.objects.filter(name="Louvre")])
    finally:
        field.db_collation = None

    assert found.conditions["shapes_place"] == [{}]


def test_new_model_is_recognized():
    dependencies._tables().pop("shapes_city")

    class_prepared.send(sender=City)

    assert dependencies._tables()["shapes_city"] is City
