"""The rate `block`, which denies every request."""

import pytest
from django.http import HttpResponse
from django.urls import path

from service_runtime.logging import events
from service_runtime.throttling import ScopedRateThrottle, throttled
from tests.throttling.views import counted, statuses, view

Blocked = view(throttle_classes=[ScopedRateThrottle], throttle_scope=["blocked", "other"])


@throttled("blocked")
def form(request):
    return HttpResponse()


urlpatterns = [path("api/", Blocked.as_view()), path("form/", form)]
pytestmark = pytest.mark.urls(__name__)


@pytest.mark.parametrize("url", ["/api/", "/form/"])
def test_every_request_is_denied_without_retry_after(client, set_rates, url):
    set_rates(blocked="block", other="9/h")

    denied = client.post(url)

    assert denied.status_code == 429
    assert "Retry-After" not in denied.headers
    assert denied.headers["RateLimit-Policy"] == '"blocked";q=0'
    assert denied.headers["RateLimit"] == '"blocked";r=0'
    assert b"vailable in" not in denied.content
    assert b"seconds" not in denied.content


def test_legacy_fields_have_no_reset_time(client, settings, set_rates):
    settings.THROTTLING_HEADERS = "legacy"
    set_rates(blocked="block", other="9/h")

    headers = client.get("/api/").headers

    assert (headers["X-RateLimit-Limit"], headers["X-RateLimit-Remaining"]) == ("0", "0")
    assert "X-RateLimit-Reset" not in headers


def test_a_blocked_request_counts_in_no_scope_and_calls_no_limiter(set_rates, monkeypatch, calls):
    set_rates(blocked="block", other="1/h")

    assert statuses(Blocked, 3) == [429] * 3
    assert calls == []
    set_rates(blocked="off", other="1/h")
    assert statuses(Blocked, 2) == [200, 429]


def test_a_shadow_block_is_only_reported(client, set_rates, caplog):
    set_rates(blocked="block;shadow", other="2/h")

    with caplog.at_level("INFO"):
        responses = [client.get("/api/") for _ in range(3)]

    assert [response.status_code for response in responses] == [200, 200, 429]
    assert '"blocked"' not in responses[0].headers["RateLimit-Policy"]
    events = [record.ev for record in caplog.records if hasattr(record, "ev")]
    assert events[0] == "would_throttle"


def test_a_block_is_counted_and_logged_as_a_denial(set_rates, caplog):
    set_rates(blocked="block", other="9/h")
    events._logged.clear()
    before = counted("blocked", "denied")

    with caplog.at_level("INFO"):
        assert statuses(Blocked, 2) == [429, 429]

    assert counted("blocked", "denied") == before + 2
    assert ("throttled", {"scope": "blocked", "client": "ip:203.0.113.7"}) in [
        (record.ev, record.data) for record in caplog.records if hasattr(record, "ev")
    ]


def get_tier(request):
    return request.headers.get("X-Tier")


def test_a_tier_can_be_exempt_from_a_block(settings, set_rates):
    settings.THROTTLING_GET_TIER = f"{__name__}.get_tier"
    set_rates(blocked="block", blocked__paid="1/h", other="off")

    assert statuses(Blocked, 1) == [429]
    assert statuses(Blocked, 2, **{"X-Tier": "paid"}) == [200, 429]
