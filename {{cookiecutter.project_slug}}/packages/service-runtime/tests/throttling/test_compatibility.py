"""Throttles written for Django REST framework keep their meaning after a change of the import."""

from typing import Any

import pytest
from django.test import RequestFactory

from service_runtime.throttling import (
    AnonRateThrottle,
    BaseThrottle,
    RateThrottle,
    ScopedRateThrottle,
    SimpleRateThrottle,
    UserRateThrottle,
)
from tests.throttling.views import ask, by, statuses, view


class ByTenant(SimpleRateThrottle):
    scope = "tenant"

    def get_cache_key(self, request, view):
        tenant = request.headers.get("X-Tenant")
        return tenant and self.cache_format % {"scope": self.scope, "ident": tenant}


def test_get_cache_key_identifies_the_client_and_none_is_not_counted(set_rates):
    set_rates(tenant="2/h")
    limited = view(throttle_classes=[ByTenant])

    assert statuses(limited, 3, **by("a")) == [200, 200, 429]
    assert statuses(limited, 1, address="203.0.113.8", **by("a")) == [429]
    assert statuses(limited, 1, **by("b")) == [200]
    assert statuses(limited, 4) == [200] * 4


@pytest.mark.django_db
def test_get_cache_key_can_extend_the_inherited_key(set_rates, django_user_model):
    class PerPage(AnonRateThrottle):
        def get_cache_key(self, request, view):
            key = super().get_cache_key(request, view)
            return key and f"{key}_{request.GET.get('page')}"

    set_rates(anon="1/h")
    limited = view(throttle_classes=[PerPage])
    get = RequestFactory().get
    pages = [limited.as_view()(get("/", {"page": page})).status_code for page in (1, 2, 1)]

    assert pages == [200, 200, 429]
    user = django_user_model.objects.create_user("ada")
    assert statuses(limited, 3, user=user) == [200] * 3


@pytest.mark.parametrize("common", ["x" * 100_000, "\x00{}\r\n \ud800", "\u00e9" * 200])
def test_cache_keys_of_any_length_and_characters_are_distinct(set_rates, calls, common):
    class Constant(UserRateThrottle):
        def get_cache_key(self, request, view):
            return common + request.headers["X-Tenant"]

    set_rates(user="1/h")
    limited = view(throttle_classes=[Constant])

    assert [ask(limited, **by(name)).status_code for name in "aab"] == [200, 429, 200]


@pytest.mark.redis
def test_a_long_cache_key_makes_a_short_redis_key(set_rates, monkeypatch):
    from service_runtime.throttling import decisions

    keys: list[str] = []
    limiter = decisions.limiter()

    class Spy:
        def take(self, limits, cost=1):
            keys.extend(limit.key for limit in limits)
            return limiter.take(limits, cost)

    class Long(UserRateThrottle):
        cache_format = "{}\n" * 100_000

    monkeypatch.setattr(decisions, "limiter", Spy)
    set_rates(user="1/h")

    assert statuses(view(throttle_classes=[Long]), 2) == [200, 429]
    assert max(map(len, keys)) < 250
    assert all(key.isprintable() and key.isascii() for key in keys)


def test_cache_format_identifies_the_client(set_rates):
    class Together(AnonRateThrottle):
        cache_format = "everyone"

    set_rates(anon="1/h")
    limited = view(throttle_classes=[Together])

    assert statuses(limited, 1) + statuses(limited, 1, address="203.0.113.8") == [200, 429]


@pytest.mark.django_db
@pytest.mark.parametrize("base", [AnonRateThrottle, UserRateThrottle, ScopedRateThrottle])
def test_get_ident_identifies_anonymous_clients(set_rates, settings, django_user_model, base):
    def get_ident(self, request):
        return request.headers.get("X-Tenant") or base.get_ident(self, request)

    settings.THROTTLING_GET_CLIENT = f"{__name__}.get_client"
    set_rates(anon="1/h", user="1/h", scoped="1/h")
    limited = view(
        throttle_classes=[type("ByDevice", (base,), {"get_ident": get_ident})],
        throttle_scope="scoped",
    )

    assert [ask(limited, **by(name)).status_code for name in "aab"] == [200, 429, 200]
    assert statuses(limited, 2) == [200, 429]
    user = django_user_model.objects.create_user("ada")
    counted = [200, 200] if base is AnonRateThrottle else [200, 429]
    assert statuses(limited, 2, user=user, **by("a")) == counted


def get_client(request):
    return "another client"


def test_the_default_ident_is_the_client_address(settings):
    settings.NUM_PROXIES = 1
    request = RequestFactory().get("/", headers={"X-Forwarded-For": "192.0.2.1, 2001:db8::7"})

    assert UserRateThrottle().get_ident(request) == "2001:db8::/64"


def test_any_object_can_be_the_view(set_rates):
    class Page:
        throttle_scope = "scoped"

    set_rates(scoped="1/h", user="1/h")
    request: Any = RequestFactory().get("/")
    request.user = None
    scoped: Any = ScopedRateThrottle()
    user: Any = UserRateThrottle()

    assert [scoped.allow_request(request, Page()) for _ in range(2)] == [True, False]
    assert 3600 <= scoped.wait() <= 3780
    assert [user.allow_request(request, view=object()) for _ in range(2)] == [True, False]
    assert scoped.allow_request(request, object())


def test_a_request_that_is_not_counted_can_be_any_object():
    throttle: Any = SimpleRateThrottle()
    throttle.get_cache_key = lambda request, view: None

    assert throttle.allow_request({}, {})
    assert throttle.wait() is None


def test_a_throttle_that_overrides_allow_request_decides_separately(set_rates, calls):
    class ButForStaff(UserRateThrottle):
        scope = "others"

        def allow_request(self, request, view):
            return "X-Staff" in request.headers or super().allow_request(request, view)

    set_rates(user="3/h", others="1/h")
    for throttles in ([UserRateThrottle, ButForStaff], [ButForStaff, UserRateThrottle]):
        calls.clear()
        limited = view(throttle_classes=throttles)
        address = f"203.0.113.{throttles.index(ButForStaff)}"

        assert statuses(limited, 2, address=address, **{"X-Staff": "1"}) == [200, 200]
        assert {scope for _, scopes in calls for scope in scopes} == {"user"}
        assert statuses(limited, 2, address=address) == [200, 429]

    set_rates(user="1/h", others="1/h")
    both = view(throttle_classes=[UserRateThrottle, ButForStaff])
    staff = {"address": "203.0.113.9", "X-Staff": "1"}
    assert statuses(both, 1, **staff) + statuses(both, 1, address="203.0.113.9") == [200, 429]
    # A request that one throttle denies is not counted by the other.
    assert statuses(view(throttle_classes=[ButForStaff]), 1, address="203.0.113.9") == [200]


def test_a_throttle_that_ignores_its_denial_does_not_lift_other_limits(set_rates):
    class LogOnly(UserRateThrottle):
        scope = "observed"

        def allow_request(self, request, view):
            super().allow_request(request, view)
            return True

    set_rates(user="2/h", observed="1/h")
    for throttles in ([LogOnly, UserRateThrottle], [UserRateThrottle, LogOnly]):
        address = f"203.0.113.{throttles.index(LogOnly)}"

        assert statuses(view(throttle_classes=throttles), 3, address=address) == [200, 200, 429]


@pytest.mark.parametrize("base", [SimpleRateThrottle, ScopedRateThrottle])
@pytest.mark.parametrize(
    ("name", "replacement"),
    [
        ("throttle_success", "override allow_request"),
        ("throttle_failure", "override allow_request"),
        ("cache", "THROTTLING_REDIS_URL"),
        ("timer", "Redis' clock"),
        ("history", "wait()"),
    ],
)
def test_an_attribute_without_effect_is_rejected_at_import(base, name, replacement):
    mixin = type("Mixin", (), {name: lambda self: True})

    for bases, attributes in [((base,), {name: None}), ((mixin, base), {})]:
        with pytest.raises(TypeError) as raised:
            type("Moved", bases, attributes)
        assert str(raised.value).startswith(f"Moved.{name} has no effect in this throttle: ")
        assert replacement in str(raised.value)


def test_an_attribute_without_effect_cannot_be_read_or_set():
    throttle = UserRateThrottle()

    with pytest.raises(AttributeError, match=r"UserRateThrottle.history has no effect"):
        throttle.history.insert(0, 1)
    with pytest.raises(AttributeError, match=r"UserRateThrottle.timer has no effect"):
        throttle.timer = lambda: 0


def test_the_class_names_are_those_of_rest_framework():
    from rest_framework import throttling

    assert BaseThrottle is throttling.BaseThrottle
    assert issubclass(UserRateThrottle, SimpleRateThrottle)
    assert SimpleRateThrottle is RateThrottle
