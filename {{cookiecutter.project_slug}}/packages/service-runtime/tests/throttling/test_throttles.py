import pytest
from rest_framework.response import Response
from rest_framework.test import APIRequestFactory, force_authenticate
from rest_framework.views import APIView
from rest_framework.viewsets import ViewSet

from service_runtime.throttling import (
    AnonRateThrottle,
    ScopedRateThrottle,
    UserRateThrottle,
    decisions,
)


def view(**attributes):
    """Return a view class with the attributes, which answers every method."""

    def answer(self, request):
        return Response()

    defaults = {
        "permission_classes": [],
        "authentication_classes": [],
        "get": answer,
        "post": answer,
    }
    return type("View", (APIView,), {**defaults, **attributes})


def ask(view_class, method="get", address="203.0.113.7", user=None, **headers):
    """Return the answer of a view to one request."""
    request = getattr(APIRequestFactory(), method)("/", REMOTE_ADDR=address, headers=headers)
    if user is not None:
        force_authenticate(request, user)
    return view_class.as_view()(request)


def statuses(view_class, times, **options):
    """Return the statuses of several requests."""
    return [ask(view_class, **options).status_code for _ in range(times)]


@pytest.mark.parametrize("throttle", [AnonRateThrottle, UserRateThrottle, ScopedRateThrottle])
def test_each_address_has_its_own_limit(set_rates, throttle):
    set_rates(anon="2/h", user="2/h", scoped="2/h")
    limited = view(throttle_classes=[throttle], throttle_scope="scoped")

    assert statuses(limited, 3) == [200, 200, 429]
    assert statuses(limited, 1, address="203.0.113.8") == [200]


@pytest.mark.django_db
def test_users_are_counted_wherever_they_come_from(set_rates, django_user_model):
    set_rates(user="2/h", anon="1/h")
    ada, grace = (django_user_model.objects.create_user(name) for name in ("ada", "grace"))
    limited = view(throttle_classes=[UserRateThrottle])
    for_anyone = view(throttle_classes=[AnonRateThrottle])

    assert ask(limited, user=ada).status_code == 200
    assert ask(limited, user=ada, address="203.0.113.8").status_code == 200
    assert ask(limited, user=ada, address="203.0.113.9").status_code == 429
    assert ask(limited, user=grace).status_code == 200
    assert statuses(for_anyone, 3, user=ada) == [200, 200, 200]


def test_a_user_and_an_address_of_the_same_text_are_two_clients(set_rates):
    set_rates(user="1/h")
    limited = view(throttle_classes=[UserRateThrottle])
    user = type("User", (), {"is_authenticated": True, "pk": "203.0.113.7"})()

    assert ask(limited).status_code == 200
    assert ask(limited, user=user).status_code == 200
    assert ask(limited, user=user).status_code == 429


def test_a_denied_request_says_when_it_would_pass(set_rates):
    set_rates(scoped="1/h")
    limited = view(throttle_classes=[ScopedRateThrottle], throttle_scope="scoped")
    ask(limited)

    denied = ask(limited)

    assert 3600 <= int(denied.headers["Retry-After"]) <= 3780
    assert denied.data["detail"].startswith("Request was throttled. Expected available in 3")


def test_off_and_no_scope_are_no_limit(set_rates, calls):
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


def test_scopes_by_method(set_rates):
    set_rates(read="2/h", write="1/h")
    limited = view(
        throttle_classes=[ScopedRateThrottle], throttle_scope={"GET": "read", "POST": ["write"]}
    )

    assert statuses(limited, 2, method="post") == [200, 429]
    assert statuses(limited, 3) == [200, 200, 429]


def test_scopes_by_action_of_a_viewset(set_rates):
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


def test_a_request_may_cost_more_than_one(set_rates):
    set_rates(scoped="20/h")
    export = view(
        throttle_classes=[ScopedRateThrottle],
        throttle_scope="scoped",
        throttle_cost={"POST": 15},
    )

    assert statuses(export, 2, method="post") == [200, 429]
    assert statuses(export, 6) == [200, 200, 200, 200, 200, 429]


def test_a_class_may_bring_its_rate_and_scope(set_rates):
    set_rates(burst="1/h")

    class Burst(UserRateThrottle):
        scope = "burst"

    class Fixed(UserRateThrottle):
        scope = "fixed"
        rate = "2/h"

    assert statuses(view(throttle_classes=[Burst]), 2) == [200, 429]
    assert statuses(view(throttle_classes=[Fixed]), 3) == [200, 200, 429]


def get_tier(request):
    return request.headers.get("X-Tier")


def test_tiers(settings, set_rates, calls):
    settings.THROTTLING_GET_TIER = f"{__name__}.get_tier"
    set_rates(scoped="1/h", scoped__paid="2/h", scoped__internal="off")
    limited = view(throttle_classes=[ScopedRateThrottle], throttle_scope="scoped")

    assert [ask(limited, **{"X-Tier": "paid"}).status_code for _ in range(3)] == [200, 200, 429]
    assert len(calls) == 3
    assert ask(limited, **{"X-Tier": "internal"}).status_code == 200
    assert ask(limited).status_code == 429


def test_a_shadow_refuses_nothing_and_is_reported(set_rates, caplog):
    set_rates(scoped="1/h;shadow")
    limited = view(throttle_classes=[ScopedRateThrottle], throttle_scope="scoped")

    with caplog.at_level("INFO"):
        assert statuses(limited, 3) == [200, 200, 200]

    assert [record.ev for record in caplog.records] == ["would_throttle"]
    assert caplog.records[0].data == {"scope": "scoped", "client": "ip:203.0.113.7"}


def test_exempt_networks_by_the_address_that_counts(settings, set_rates, calls):
    from service_runtime.environment import parse_network

    settings.THROTTLING_EXEMPT_NETWORKS = [parse_network("10.0.0.0/8")]
    set_rates(scoped="1/h")
    limited = view(throttle_classes=[ScopedRateThrottle], throttle_scope="scoped")

    assert statuses(limited, 3, address="10.1.2.3") == [200, 200, 200]
    assert calls == []
    spoofed = {"X-Forwarded-For": "10.1.2.3"}
    assert [ask(limited, **spoofed).status_code for _ in range(2)] == [200, 429]


@pytest.mark.parametrize(
    ("closed", "status"), [([], 200), (["scoped"], 503), (["other"], 200)], ids=str
)
def test_without_redis_scopes_fail_open_but_for_those_named(
    settings, set_rates, monkeypatch, caplog, closed, status
):
    caplog.set_level("INFO")
    import redis

    class Unreachable:
        def take(self, limits, cost=1):
            raise redis.ConnectionError("refused")

    answering = decisions.limiter
    monkeypatch.setattr(decisions, "limiter", Unreachable)
    settings.THROTTLING_FAIL_CLOSED = closed
    set_rates(scoped="1/h")
    limited = view(throttle_classes=[ScopedRateThrottle], throttle_scope="scoped")

    answer = ask(limited)

    assert [answer.status_code, *statuses(limited, 2)] == [status] * 3
    event = "throttle_failed_open" if status == 200 else "throttle_failed_closed"
    (record,) = [record for record in caplog.records if hasattr(record, "ev")]
    assert (record.ev, record.data) == (event, {"scope": "scoped", "error": "refused"})
    monkeypatch.setattr(decisions, "limiter", answering)
    assert ask(limited).status_code == 200
    monkeypatch.setattr(decisions, "limiter", Unreachable)
    ask(limited)
    assert [record.ev for record in caplog.records if hasattr(record, "ev")] == [
        event,
        "throttle_recovered",
        event,
    ]
    if status == 503:
        assert answer.headers["Retry-After"] == "1"
        assert answer.data["detail"] == "Try again in a moment."


def test_outcomes_are_counted_by_scope(set_rates):
    from prometheus_client import REGISTRY

    def counted():
        return {
            (scope, outcome): REGISTRY.get_sample_value(
                "throttle_requests_total", {"scope": scope, "outcome": outcome}
            )
            or 0
            for scope in ("c_narrow", "c_wide", "c_shadow")
            for outcome in ("allowed", "denied", "would_deny")
        }

    set_rates(c_narrow="1/h", c_wide="9/h", c_shadow="1/h;shadow")
    limited = view(
        throttle_classes=[ScopedRateThrottle], throttle_scope=["c_narrow", "c_wide", "c_shadow"]
    )
    before = counted()

    assert statuses(limited, 3) == [200, 429, 429]

    after = counted()
    assert {key: after[key] - before[key] for key in after if after[key] != before[key]} == {
        ("c_narrow", "allowed"): 1,
        ("c_narrow", "denied"): 2,
        ("c_wide", "allowed"): 1,
        ("c_shadow", "allowed"): 1,
        ("c_shadow", "would_deny"): 2,
    }


def test_head_is_a_get(set_rates):
    set_rates(read="2/h")
    limited = view(throttle_classes=[ScopedRateThrottle], throttle_scope={"GET": "read"})

    found = [*statuses(limited, 2), *statuses(limited, 2, method="head")]

    assert found == [200, 200, 429, 429]


def test_throttles_of_one_class_count_each_for_itself(set_rates, calls):
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
def test_a_cost_that_is_no_whole_number_is_an_error(set_rates, cost):
    from django.core.exceptions import ImproperlyConfigured

    set_rates(scoped="1/h")
    limited = view(
        throttle_classes=[ScopedRateThrottle], throttle_scope="scoped", throttle_cost=cost
    )

    with pytest.raises(ImproperlyConfigured, match="throttle_cost"):
        ask(limited)


@pytest.mark.parametrize("header", ["10.0.0.1", "unknown", "", "1.2.3.4;x, 10.0.0.1"])
def test_a_proxy_that_cannot_say_for_whom_it_asks_is_not_exempt(settings, set_rates, header):
    from service_runtime.environment import parse_network

    settings.NUM_PROXIES = 2
    settings.THROTTLING_EXEMPT_NETWORKS = [parse_network("10.0.0.0/8")]
    set_rates(scoped="1/h")
    limited = view(throttle_classes=[ScopedRateThrottle], throttle_scope="scoped")
    through = {"address": "10.0.0.9", "X-Forwarded-For": header}

    assert [ask(limited, **through).status_code for _ in range(2)] == [200, 429]
    assert [ask(limited, address="10.0.0.9").status_code for _ in range(2)] == [200, 200]
