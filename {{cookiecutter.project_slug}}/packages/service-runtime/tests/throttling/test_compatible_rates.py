"""Rates of throttles written for Django REST framework keep their meaning."""

import pytest
from django.core.exceptions import ImproperlyConfigured

from service_runtime.throttling import ScopedRateThrottle, SimpleRateThrottle, UserRateThrottle
from tests.throttling.views import ask, by, statuses, view


def test_parse_rate_sets_requests_and_seconds(set_rates, calls):
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
def test_results_of_parse_rate(set_rates, parsed, expected):
    class Parsed(UserRateThrottle):
        def parse_rate(self, rate):
            return parsed

    set_rates(user="any")

    assert statuses(view(throttle_classes=[Parsed]), 2) == expected


@pytest.mark.parametrize("parsed", [(1, 0.5), (1, 0), (-1, 60), (1.5, 60)])
def test_unsupported_results_of_parse_rate_are_an_error(set_rates, parsed):
    class Parsed(UserRateThrottle):
        def parse_rate(self, rate):
            return parsed

    set_rates(user="any")

    with pytest.raises(ValueError, match="must"):
        ask(view(throttle_classes=[Parsed]))


def test_get_rate_is_called_for_each_request(set_rates):
    class Dynamic(UserRateThrottle):
        rates = iter(["1/h", "1/h", None])

        def get_rate(self):
            return next(self.rates)

    set_rates()

    assert statuses(view(throttle_classes=[Dynamic]), 3) == [200, 429, 200]


def test_get_rate_can_derive_the_rate_from_the_scope(set_rates):
    class Half(ScopedRateThrottle):
        def get_rate(self):
            number, unit = str(super().get_rate()).split("/")
            return f"{int(number) // 2}/{unit}"

    set_rates(scoped="4/h", other="2/h")

    assert statuses(view(throttle_classes=[Half], throttle_scope="scoped"), 3) == [200, 200, 429]
    assert statuses(view(throttle_classes=[Half], throttle_scope="other"), 2) == [200, 429]


def test_a_class_can_define_throttle_rates(set_rates):
    class Own(ScopedRateThrottle):
        THROTTLE_RATES = {"one": "1/h", "none": None}

    set_rates(one="9/h", none="1/h", lacking="1/h")

    assert statuses(view(throttle_classes=[Own], throttle_scope="one"), 2) == [200, 429]
    assert statuses(view(throttle_classes=[Own], throttle_scope="none"), 2) == [200, 200]
    with pytest.raises(ImproperlyConfigured, match="'lacking' has no rate"):
        ask(view(throttle_classes=[Own], throttle_scope="lacking"))


def test_throttle_rates_can_be_patched(set_rates, monkeypatch):
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
def test_a_hook_can_be_patched(set_rates, monkeypatch, patched):
    set_rates(user="9/h")
    limited = view(throttle_classes=[UserRateThrottle])
    assert statuses(limited, 2) == [200, 200]

    monkeypatch.setattr(patched, "get_rate", lambda self: "1/h")

    assert statuses(limited, 2) == [200, 429]


def test_an_instance_can_set_scope_rate_num_requests_and_duration(set_rates):
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


def test_a_rate_with_two_windows_has_no_num_requests(set_rates):
    set_rates(user="1/s;7/h")

    with pytest.raises(ValueError, match="must have one window"):
        UserRateThrottle().num_requests  # noqa: B018


def test_num_requests_and_duration_can_be_read(set_rates):
    set_rates(user="7/2min")

    assert (UserRateThrottle().num_requests, UserRateThrottle().duration) == (7, 120)


def test_the_default_scope_is_the_class_name(set_rates, calls):
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
