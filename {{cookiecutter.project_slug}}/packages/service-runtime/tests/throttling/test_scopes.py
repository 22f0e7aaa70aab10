"""The scopes of a view, and the cost of a request."""

import pytest
from rest_framework.response import Response
from rest_framework.test import APIRequestFactory
from rest_framework.viewsets import ViewSet

from service_runtime.throttling import AnonRateThrottle, ScopedRateThrottle, UserRateThrottle
from tests.throttling.views import ask, counted, statuses, view


def test_off_and_no_scope_mean_no_limit(set_rates, calls):
    set_rates(scoped="off")

    assert statuses(view(throttle_classes=[ScopedRateThrottle], throttle_scope="scoped"), 5) == (
        [200] * 5
    )
    assert statuses(view(throttle_classes=[ScopedRateThrottle]), 5) == [200] * 5
    assert calls == []


def test_all_throttles_scopes_and_windows_take_one_call(set_rates, calls):
    set_rates(anon="10/h", user="10/h", read="5/s;10/h", all="10/h")
    limited = view(
        throttle_classes=[AnonRateThrottle, UserRateThrottle, ScopedRateThrottle],
        throttle_scope=["read", "all"],
    )

    assert ask(limited).status_code == 200
    assert calls == [(1, ["all", "anon", "read", "read", "user"])]


def test_a_request_denied_in_one_scope_counts_in_none(set_rates):
    set_rates(narrow="1/h", wide="2/h")
    both = view(throttle_classes=[ScopedRateThrottle], throttle_scope=["narrow", "wide"])
    wide = view(throttle_classes=[ScopedRateThrottle], throttle_scope="wide")

    assert statuses(both, 3) == [200, 429, 429]
    assert statuses(wide, 2) == [200, 429]


def test_methods_can_have_separate_scopes(set_rates):
    set_rates(read="2/h", write="1/h")
    limited = view(
        throttle_classes=[ScopedRateThrottle], throttle_scope={"GET": "read", "POST": ["write"]}
    )

    assert statuses(limited, 2, method="post") == [200, 429]
    assert statuses(limited, 3) == [200, 200, 429]


def test_viewset_actions_can_have_separate_scopes(set_rates):
    set_rates(listing="1/h")

    class Things(ViewSet):
        permission_classes = authentication_classes = ()
        throttle_classes = [ScopedRateThrottle]
        throttle_scope = {"list": "listing"}

        def list(self, request):
            return Response()

        def retrieve(self, request):
            return Response()

    def ask_for(action):
        request = APIRequestFactory().get("/")
        return Things.as_view({"get": action})(request).status_code

    assert [ask_for("list") for _ in range(2)] == [200, 429]
    assert [ask_for("retrieve") for _ in range(2)] == [200, 200]


def test_a_request_can_cost_more_than_one(set_rates):
    set_rates(scoped="20/h")
    export = view(
        throttle_classes=[ScopedRateThrottle],
        throttle_scope="scoped",
        throttle_cost={"POST": 15},
    )

    assert statuses(export, 2, method="post") == [200, 429]
    assert statuses(export, 6) == [200, 200, 200, 200, 200, 429]


def test_outcomes_are_counted_by_scope(set_rates):
    def all_counted():
        return {
            (scope, outcome): counted(scope, outcome)
            for scope in ("c_narrow", "c_wide", "c_shadow")
            for outcome in ("allowed", "denied", "would_deny")
        }

    set_rates(c_narrow="1/h", c_wide="9/h", c_shadow="1/h;shadow")
    limited = view(
        throttle_classes=[ScopedRateThrottle], throttle_scope=["c_narrow", "c_wide", "c_shadow"]
    )
    before = all_counted()

    assert statuses(limited, 3) == [200, 429, 429]

    after = all_counted()
    assert {key: after[key] - before[key] for key in after if after[key] != before[key]} == {
        ("c_narrow", "allowed"): 1,
        ("c_narrow", "denied"): 2,
        ("c_wide", "allowed"): 1,
        ("c_shadow", "allowed"): 1,
        ("c_shadow", "would_deny"): 2,
    }


def test_head_counts_as_get(set_rates):
    set_rates(read="2/h")
    limited = view(throttle_classes=[ScopedRateThrottle], throttle_scope={"GET": "read"})

    found = [*statuses(limited, 2), *statuses(limited, 2, method="head")]

    assert found == [200, 200, 429, 429]


def test_throttles_of_one_class_count_separately(set_rates, calls):
    set_rates(wide="9/h", narrow="1/h")

    class Named(UserRateThrottle):
        def __init__(self, scope):
            self.scope = scope

        def get_scopes(self, request, view):
            return [self.scope]

    limited = view(get_throttles=lambda self: [Named("wide"), Named("narrow")])

    assert statuses(limited, 2) == [200, 429]
    assert calls == [(1, ["narrow", "wide"])] * 2


@pytest.mark.parametrize("cost", [-1, 0.5, "1", True])
def test_an_invalid_cost_is_an_error(set_rates, cost):
    from django.core.exceptions import ImproperlyConfigured

    set_rates(scoped="1/h")
    limited = view(
        throttle_classes=[ScopedRateThrottle], throttle_scope="scoped", throttle_cost=cost
    )

    with pytest.raises(ImproperlyConfigured, match="throttle_cost"):
        ask(limited)
