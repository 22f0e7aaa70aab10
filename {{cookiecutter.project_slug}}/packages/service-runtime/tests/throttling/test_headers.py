import re

import pytest
from django.http import HttpResponse
from django.test import RequestFactory
from django.urls import path
from rest_framework.response import Response
from rest_framework.views import APIView

from service_runtime.throttling import ScopedRateThrottle, throttled


class Limited(APIView):
    permission_classes = []
    throttle_classes = [ScopedRateThrottle]
    throttle_scope = ["one", "two"]

    def get(self, request):
        return Response()


@throttled("form")
def form(request):
    return HttpResponse("form" if request.method == "GET" else "accepted")


def unlimited(request):
    return HttpResponse()


urlpatterns = [
    path("limited/", Limited.as_view()),
    path("form/", form),
    path("unlimited/", unlimited),
]
pytestmark = pytest.mark.urls(__name__)


def items(header):
    """Return the parameters of each item of a RateLimit field, by name."""
    return {
        name: {key: int(value) for key, value in re.findall(r";([a-z])=(\d+)", parameters)}
        for name, parameters in re.findall(r'"([^"]+)"((?:;[a-z]=\d+)+)', header)
    }


def test_every_response_reports_the_remaining_requests(client, set_rates):
    set_rates(one="2/h", two="5/10s;9/min")

    allowed, _, denied = (client.get("/limited/") for _ in range(3))

    assert items(allowed.headers["RateLimit-Policy"]) == {
        "one": {"q": 2, "w": 3600},
        "two-10s": {"q": 5, "w": 10},
        "two-60s": {"q": 9, "w": 60},
    }
    assert {name: i["r"] for name, i in items(allowed.headers["RateLimit"]).items()} == {
        "one": 1,
        "two-10s": 4,
        "two-60s": 8,
    }
    assert denied.status_code == 429
    remaining = items(denied.headers["RateLimit"])
    assert remaining["one"] == {"r": 0, "t": int(denied.headers["Retry-After"])}
    assert remaining["two-10s"]["r"] == 3


def test_an_unthrottled_response_has_no_fields(client, set_rates):
    set_rates(one="off", two="5/h;shadow")

    for url in ("/unlimited/", "/limited/"):
        headers = client.get(url).headers
        assert not [name for name in headers if "ratelimit" in name.lower()]


@pytest.mark.parametrize("choice", ["draft", "legacy", "both", "off"])
def test_legacy_fields_are_optional(client, settings, set_rates, choice):
    settings.THROTTLING_HEADERS = choice
    set_rates(one="2/h", two="5/min")

    headers = client.get("/limited/").headers

    assert ("RateLimit" in headers) is (choice in {"draft", "both"})
    assert ("X-RateLimit-Limit" in headers) is (choice in {"legacy", "both"})
    if choice == "legacy":
        assert headers["X-RateLimit-Limit"] == "2"
        assert headers["X-RateLimit-Remaining"] == "1"
        assert 3600 <= int(headers["X-RateLimit-Reset"]) <= 3780


def test_a_plain_view_is_throttled_for_post(client, set_rates):
    set_rates(form="1/min")

    assert client.post("/form/").content == b"accepted"
    denied = client.post("/form/")

    assert denied.status_code == 429
    assert 0 < int(denied.headers["Retry-After"]) <= 63
    assert denied.headers["Content-Type"].startswith("text/plain")
    assert client.get("/form/").content == b"form"


def test_a_plain_view_fails_closed(settings, set_rates, monkeypatch):
    import redis

    from service_runtime.throttling import decisions

    class Unavailable:
        def take(self, limits, cost=1):
            raise redis.TimeoutError

    monkeypatch.setattr(decisions, "limiter", Unavailable)
    settings.THROTTLING_FAIL_CLOSED = ["form"]
    set_rates(form="1/min")

    response = form(RequestFactory().post("/"))

    assert (response.status_code, response.headers["Retry-After"]) == (503, "1")
