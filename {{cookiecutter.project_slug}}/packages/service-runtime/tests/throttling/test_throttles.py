"""Clients, tiers, exempt networks, shadow rates, and outages of Redis."""

from types import SimpleNamespace

import pytest

from service_runtime.logging import events
from service_runtime.throttling import (
    AnonRateThrottle,
    ScopedRateThrottle,
    UserRateThrottle,
    decisions,
)
from tests.throttling.limiters import UnavailableLimiter
from tests.throttling.views import ask, counted, statuses, view


@pytest.mark.parametrize("throttle", [AnonRateThrottle, UserRateThrottle, ScopedRateThrottle])
def test_each_address_has_a_separate_limit(set_rates, throttle):
    set_rates(anon="2/h", user="2/h", scoped="2/h")
    limited = view(throttle_classes=[throttle], throttle_scope="scoped")

    assert statuses(limited, 3) == [200, 200, 429]
    assert statuses(limited, 1, address="203.0.113.8") == [200]


@pytest.mark.django_db
def test_a_user_is_counted_across_addresses(set_rates, django_user_model):
    set_rates(user="2/h", anon="1/h")
    ada, grace = (django_user_model.objects.create_user(name) for name in ("ada", "grace"))
    limited = view(throttle_classes=[UserRateThrottle])
    for_anyone = view(throttle_classes=[AnonRateThrottle])

    assert ask(limited, user=ada).status_code == 200
    assert ask(limited, user=ada, address="203.0.113.8").status_code == 200
    assert ask(limited, user=ada, address="203.0.113.9").status_code == 429
    assert ask(limited, user=grace).status_code == 200
    assert statuses(for_anyone, 3, user=ada) == [200, 200, 200]


def test_a_user_id_and_an_equal_address_are_two_clients(set_rates):
    set_rates(user="1/h")
    limited = view(throttle_classes=[UserRateThrottle])
    user = type("User", (), {"is_authenticated": True, "pk": "203.0.113.7"})()

    assert ask(limited).status_code == 200
    assert ask(limited, user=user).status_code == 200
    assert ask(limited, user=user).status_code == 429


def test_a_denied_response_has_retry_after(set_rates):
    set_rates(scoped="1/h")
    limited = view(throttle_classes=[ScopedRateThrottle], throttle_scope="scoped")
    ask(limited)

    denied = ask(limited)

    assert 3600 <= int(denied.headers["Retry-After"]) <= 3780
    assert denied.data["detail"].startswith("Request was throttled. Expected available in 3")


def test_a_class_can_define_its_rate_and_scope(set_rates):
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


def test_tiers_have_separate_rates(settings, set_rates, calls):
    settings.THROTTLING_GET_TIER = f"{__name__}.get_tier"
    set_rates(scoped="1/h", scoped__paid="2/h", scoped__internal="off")
    limited = view(throttle_classes=[ScopedRateThrottle], throttle_scope="scoped")

    assert [ask(limited, **{"X-Tier": "paid"}).status_code for _ in range(3)] == [200, 200, 429]
    assert len(calls) == 3
    assert ask(limited, **{"X-Tier": "internal"}).status_code == 200
    assert ask(limited).status_code == 429


def test_a_shadow_denies_nothing_and_is_reported(set_rates, caplog):
    set_rates(scoped="1/h;shadow")
    limited = view(throttle_classes=[ScopedRateThrottle], throttle_scope="scoped")

    with caplog.at_level("INFO"):
        assert statuses(limited, 3) == [200, 200, 200]

    assert [record.ev for record in caplog.records] == ["would_throttle"]
    assert caplog.records[0].data == {"scope": "scoped", "client": "ip:203.0.113.7"}


def test_exempt_networks_are_matched_by_the_client_address(settings, set_rates, calls):
    from service_runtime.configuration.rules import parse_network

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
def test_without_redis_scopes_fail_open_except_those_in_fail_closed(
    settings, set_rates, monkeypatch, caplog, closed, status
):
    caplog.set_level("INFO")

    available = decisions.limiter
    monkeypatch.setattr(decisions, "limiter", UnavailableLimiter)
    settings.THROTTLING_FAIL_CLOSED = closed
    set_rates(scoped="1/h")
    limited = view(throttle_classes=[ScopedRateThrottle], throttle_scope="scoped")

    outcome = "failed_open" if status == 200 else "failed_closed"
    before = counted("scoped", outcome)

    response = ask(limited)

    assert [response.status_code, *statuses(limited, 2)] == [status] * 3
    assert counted("scoped", outcome) == before + 3
    event = "throttle_failed_open" if status == 200 else "throttle_failed_closed"
    (record,) = [record for record in caplog.records if hasattr(record, "ev")]
    assert (record.ev, record.data) == (event, {"scope": "scoped", "error": "connection refused"})
    monkeypatch.setattr(decisions, "limiter", available)
    assert ask(limited).status_code == 200
    monkeypatch.setattr(decisions, "limiter", UnavailableLimiter)
    ask(limited)
    assert [record.ev for record in caplog.records if hasattr(record, "ev")] == [
        event,
        "throttle_recovered",
        event,
    ]
    if status == 503:
        assert response.headers["Retry-After"] == "1"
        assert response.data["detail"] == "Try again in a moment."


def test_denials_in_a_scope_are_logged_once_a_second(set_rates, monkeypatch, caplog):
    times = iter([100, 100.9, 101, 101.9])
    monkeypatch.setattr(events, "time", SimpleNamespace(monotonic=lambda: next(times)))
    monkeypatch.setattr(events, "_logged", {})
    monkeypatch.setattr(decisions, "_failing", set())
    set_rates(scoped="1/h")
    limited = view(throttle_classes=[ScopedRateThrottle], throttle_scope="scoped")

    with caplog.at_level("INFO"):
        assert statuses(limited, 5) == [200, 429, 429, 429, 429]

    assert [record.ev for record in caplog.records] == ["throttled", "throttled"]


def test_a_shadow_scope_does_not_fail_closed(settings, set_rates, monkeypatch):
    monkeypatch.setattr(decisions, "limiter", UnavailableLimiter)
    settings.THROTTLING_FAIL_CLOSED = ["scoped"]
    set_rates(scoped="1/h;shadow")
    limited = view(throttle_classes=[ScopedRateThrottle], throttle_scope="scoped")

    assert statuses(limited, 2) == [200, 200]


@pytest.mark.parametrize("header", ["10.0.0.1", "unknown", "", "1.2.3.4;x, 10.0.0.1"])
def test_a_proxy_that_does_not_report_its_client_is_not_exempt(settings, set_rates, header):
    from service_runtime.configuration.rules import parse_network

    settings.NUM_PROXIES = 2
    settings.THROTTLING_EXEMPT_NETWORKS = [parse_network("10.0.0.0/8")]
    set_rates(scoped="1/h")
    limited = view(throttle_classes=[ScopedRateThrottle], throttle_scope="scoped")
    through = {"address": "10.0.0.9", "X-Forwarded-For": header}

    assert [ask(limited, **through).status_code for _ in range(2)] == [200, 429]
    assert [ask(limited, address="10.0.0.9").status_code for _ in range(2)] == [200, 200]
