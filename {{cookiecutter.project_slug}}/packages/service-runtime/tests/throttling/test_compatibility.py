"""Throttles written for Django REST framework keep their meaning once their import is changed."""

from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import RequestFactory

from service_runtime.throttling import (
    AnonRateThrottle,
    BaseThrottle,
    RateThrottle,
    ScopedRateThrottle,
    SimpleRateThrottle,
    UserRateThrottle,
)
from tests.throttling.test_throttles import ask, statuses, view


def by(name):
    """Return the header that tells the requests of a test apart."""
    return {"X-Tenant": name}


class ByTenant(SimpleRateThrottle):
    scope = "tenant"

    def get_cache_key(self, request, view):
        tenant = request.headers.get("X-Tenant")
        return tenant and self.cache_format % {"scope": self.scope, "ident": tenant}


def test_a_cache_key_is_who_is_counted_and_none_is_nobody(set_rates):
    set_rates(tenant="2/h")
    limited = view(throttle_classes=[ByTenant])

    assert statuses(limited, 3, **by("a")) == [200, 200, 429]
    assert statuses(limited, 1, address="203.0.113.8", **by("a")) == [429]
    assert statuses(limited, 1, **by("b")) == [200]
    assert statuses(limited, 4) == [200] * 4


@pytest.mark.django_db
def test_a_cache_key_may_extend_the_inherited_one(set_rates, django_user_model):
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
def test_cache_keys_of_any_length_and_characters_are_told_apart(set_rates, calls, common):
    class Constant(UserRateThrottle):
        def get_cache_key(self, request, view):
            return common + request.headers["X-Tenant"]

    set_rates(user="1/h")
    limited = view(throttle_classes=[Constant])

    assert [ask(limited, **by(name)).status_code for name in "aab"] == [200, 429, 200]


@pytest.mark.redis
def test_a_long_cache_key_takes_little_room(set_rates, monkeypatch):
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


def test_a_cache_format_is_part_of_who_is_counted(set_rates):
    class Together(AnonRateThrottle):
        cache_format = "everyone"

    set_rates(anon="1/h")
    limited = view(throttle_classes=[Together])

    assert statuses(limited, 1) + statuses(limited, 1, address="203.0.113.8") == [200, 429]


@pytest.mark.django_db
@pytest.mark.parametrize("base", [AnonRateThrottle, UserRateThrottle, ScopedRateThrottle])
def test_an_ident_is_who_is_counted_unless_signed_in(set_rates, settings, django_user_model, base):
    def get_ident(self, request):
        return request.headers.get("X-Tenant") or base.get_ident(self, request)

    settings.THROTTLING_GET_CLIENT = f"{__name__}.nobody"
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


def nobody(request):
    return "someone else"


def test_an_ident_is_the_address_that_counts(settings):
    settings.NUM_PROXIES = 1
    request = RequestFactory().get("/", headers={"X-Forwarded-For": "192.0.2.1, 2001:db8::7"})

    assert UserRateThrottle().get_ident(request) == "2001:db8::/64"


def test_a_parser_of_rates_sets_requests_and_seconds(set_rates, calls):
    class Weekly(UserRateThrottle):
        def parse_rate(self, rate):
            number, unit = rate.split("/")
            return (int(number), 604_800) if unit == "week" else super().parse_rate(rate)

    limited = view(throttle_classes=[Weekly])
    set_rates(user="2/week")
    assert statuses(limited, 3) == [200, 200, 429]
    assert 604_800 <= int(ask(limited).headers["Retry-After"]) <= 635_040
    set_rates(user="1/h")
    assert statuses(limited, 2) == [200, 429]


@pytest.mark.parametrize(
    ("parsed", "expected"),
    [((1, 60.0), [200, 429]), ((None, None), [200, 200]), ((0, 60), [429, 429])],
)
def test_what_a_parser_may_return(set_rates, parsed, expected):
    class Parsed(UserRateThrottle):
        def parse_rate(self, rate):
            return parsed

    set_rates(user="any")

    assert statuses(view(throttle_classes=[Parsed]), 2) == expected


@pytest.mark.parametrize("parsed", [(1, 0.5), (1, 0), (-1, 60), (1.5, 60)])
def test_what_no_limiter_can_count_is_an_error(set_rates, parsed):
    class Parsed(UserRateThrottle):
        def parse_rate(self, rate):
            return parsed

    set_rates(user="any")

    with pytest.raises(ValueError, match="must"):
        ask(view(throttle_classes=[Parsed]))


def test_a_rate_may_be_asked_for_at_each_request(set_rates):
    class Dynamic(UserRateThrottle):
        rates = iter(["1/h", "1/h", None])

        def get_rate(self):
            return next(self.rates)

    set_rates()

    assert statuses(view(throttle_classes=[Dynamic]), 3) == [200, 429, 200]


def test_a_rate_of_its_own_may_be_derived_from_the_scope_s(set_rates):
    class Half(ScopedRateThrottle):
        def get_rate(self):
            number, unit = str(super().get_rate()).split("/")
            return f"{int(number) // 2}/{unit}"

    set_rates(scoped="4/h", other="2/h")

    assert statuses(view(throttle_classes=[Half], throttle_scope="scoped"), 3) == [200, 200, 429]
    assert statuses(view(throttle_classes=[Half], throttle_scope="other"), 2) == [200, 429]


def test_a_class_may_have_rates_of_its_own(set_rates):
    class Own(ScopedRateThrottle):
        THROTTLE_RATES = {"one": "1/h", "none": None}

    set_rates(one="9/h", none="1/h", lacking="1/h")

    assert statuses(view(throttle_classes=[Own], throttle_scope="one"), 2) == [200, 429]
    assert statuses(view(throttle_classes=[Own], throttle_scope="none"), 2) == [200, 200]
    with pytest.raises(ImproperlyConfigured, match="'lacking' has no rate"):
        ask(view(throttle_classes=[Own], throttle_scope="lacking"))


def test_rates_may_be_patched_as_tests_do(set_rates, monkeypatch):
    set_rates(user="9/h")
    assert UserRateThrottle.THROTTLE_RATES == {"user": "9/h"}
    monkeypatch.setitem(SimpleRateThrottle.THROTTLE_RATES, "user", "2/h")
    assert statuses(view(throttle_classes=[UserRateThrottle]), 3) == [200, 200, 429]

    monkeypatch.setattr(SimpleRateThrottle, "THROTTLE_RATES", {"user": "1/h"})
    assert statuses(view(throttle_classes=[UserRateThrottle]), 2, address="203.0.113.8") == [
        200,
        429,
    ]


@pytest.mark.parametrize("patched", [UserRateThrottle, SimpleRateThrottle])
def test_a_hook_can_be_patched_as_tests_do(set_rates, monkeypatch, patched):
    set_rates(user="9/h")
    limited = view(throttle_classes=[UserRateThrottle])
    assert statuses(limited, 2) == [200, 200]

    monkeypatch.setattr(patched, "get_rate", lambda self: "1/h")

    assert statuses(limited, 2) == [200, 429]


def test_an_instance_may_set_its_scope_rate_and_parts_of_it(set_rates):
    class Scope(UserRateThrottle):
        def __init__(self):
            self.scope = "mine"
            super().__init__()

    class Parts(UserRateThrottle):
        def allow_request(self, request, view):
            self.rate = request.headers["X-Tenant"]
            self.num_requests, self.duration = self.parse_rate(self.rate)
            return super().allow_request(request, view)

    class Monthly(UserRateThrottle):
        def __init__(self):
            super().__init__()
            self.duration = 30 * 86_400

    class Zero(UserRateThrottle):
        def __init__(self):
            self.num_requests, self.duration = 0, 60

    set_rates(user="2/day", mine="1/h")

    assert statuses(view(throttle_classes=[Scope]), 2) == [200, 429]
    assert statuses(view(throttle_classes=[Parts]), 2, **by("1/h")) == [200, 429]
    assert statuses(view(throttle_classes=[Monthly]), 3) == [200, 200, 429]
    assert int(ask(view(throttle_classes=[Monthly])).headers["Retry-After"]) >= 30 * 86_400
    assert statuses(view(throttle_classes=[Zero]), 1, address="203.0.113.8") == [429]


def test_the_parts_of_the_rate_can_be_read(set_rates):
    set_rates(user="7/2min")

    assert (UserRateThrottle().num_requests, UserRateThrottle().duration) == (7, 120)


def test_a_rate_without_a_scope_counts_in_one_named_for_the_class(set_rates, calls):
    class Named(SimpleRateThrottle):
        rate = "1/h"

        def get_cache_key(self, request, view):
            return "all"

    class Unlimited(SimpleRateThrottle):
        pass

    set_rates()

    assert statuses(view(throttle_classes=[Named]), 2) == [200, 429]
    assert calls[0] == (1, ["Named=1"])
    with pytest.raises(ImproperlyConfigured, match="'Unlimited' has no rate"):
        ask(view(throttle_classes=[Unlimited]))
    with pytest.raises(ImproperlyConfigured, match="Unlimited has neither a scope nor a rate"):
        Unlimited().get_rate()


def test_a_view_need_not_be_an_api_view(set_rates):
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


def test_a_throttle_that_decides_before_it_counts_is_judged_when_it_is_asked(set_rates, calls):
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
    # What one denied, another has not counted.
    assert statuses(view(throttle_classes=[ButForStaff]), 1, address="203.0.113.9") == [200]


def test_a_throttle_that_ignores_its_own_denial_leaves_the_other_limits_in_force(set_rates):
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
def test_what_would_have_no_effect_is_refused_at_import(base, name, replacement):
    mixin = type("Mixin", (), {name: lambda self: True})

    for bases, attributes in [((base,), {name: None}), ((mixin, base), {})]:
        with pytest.raises(TypeError) as raised:
            type("Moved", bases, attributes)
        assert str(raised.value).startswith(f"Moved.{name} has no effect in this throttle: ")
        assert replacement in str(raised.value)


def test_what_would_have_no_effect_cannot_be_read_or_set_either():
    throttle = UserRateThrottle()

    with pytest.raises(AttributeError, match=r"UserRateThrottle.history has no effect"):
        throttle.history.insert(0, 1)
    with pytest.raises(AttributeError, match=r"UserRateThrottle.timer has no effect"):
        throttle.timer = lambda: 0


def test_the_names_to_import_are_those_of_rest_framework():
    from rest_framework import throttling

    assert BaseThrottle is throttling.BaseThrottle
    assert issubclass(UserRateThrottle, SimpleRateThrottle)
    assert SimpleRateThrottle is RateThrottle
