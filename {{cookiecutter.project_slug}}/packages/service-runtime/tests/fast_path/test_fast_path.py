"""The second response to a URL comes from the fast path, with every guarantee of the first."""

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from ipaddress import ip_network
from typing import Any

import pytest
import redis
from cacheops.redis import redis_client
from django.contrib.auth.models import Group
from django.db import transaction
from django.test import Client
from django.utils import translation
from prometheus_client import REGISTRY
from rest_framework.views import APIView

from service_runtime.api.problems import exception_handler
from service_runtime.caching import keys, slots, store
from service_runtime.caching.keys import Server
from service_runtime.fast_path import engine, plans
from service_runtime.throttling import decisions
from service_runtime.throttling.state import decide_early
from tests.fast_path import views
from tests.fast_path.responses import is_fast
from tests.waiting import wait_for

pytestmark = [pytest.mark.redis, pytest.mark.django_db(transaction=True)]


@pytest.fixture(autouse=True)
def _project(settings, set_rates):
    settings.ROOT_URLCONF = "tests.fast_path.views"
    settings.ALLOWED_HOSTS = ["testserver", "127.0.0.1"]
    settings.NUM_PROXIES = 1
    set_rates(groups="5/hour", anon="1000/day", set="100/hour")


def get(client, url="/api/groups/", address="203.0.113.7", **headers):
    return client.get(url, headers={"X-Forwarded-For": address, **headers})


def learned(client, url="/api/groups/", **headers):
    """Return the response of the fast path, after one that it has learned from."""
    assert not is_fast(get(client, url, "198.51.100.1", **headers))
    response = get(client, url, "198.51.100.2", **headers)
    assert is_fast(response), response.headers
    return response


def test_second_response_equals_that_of_the_view(client, django_assert_num_queries):
    group = Group.objects.create(name="a")
    first = get(client, address="198.51.100.1")
    called = next(views.calls)
    with django_assert_num_queries(0):
        second = get(client, address="198.51.100.2")

    assert next(views.calls) == called + 1
    assert is_fast(second)
    changing = {"Cache-Status", "RateLimit", "X-Request-ID"}
    assert [*second.headers] == [*first.headers]
    assert {name for name in first.headers if first[name] != second[name]} <= changing
    assert second.content == first.content
    assert second.json() == [{"id": group.pk, "name": "a"}]


@pytest.mark.parametrize("write", ["save", "update", "delete"])
def test_write_is_visible_to_the_next_read(client, write):
    group = Group.objects.create(name="a")
    pk = group.pk
    learned(client)
    learned(client, f"/api/groups/{pk}/")
    if write == "save":
        group.name = "b"
        group.save()
    elif write == "update":
        Group.objects.filter(pk=group.pk).update(name="b")
    else:
        Group.objects.filter(pk=group.pk).delete()

    names = [each["name"] for each in get(client).json()]
    assert names == ([] if write == "delete" else ["b"])
    detail = get(client, f"/api/groups/{pk}/")
    assert detail.status_code == (404 if write == "delete" else 200)


def test_both_ways_count_in_the_same_limit(client):
    remaining = []
    for number in range(7):
        if number == 3:
            Group.objects.create(name="a")  # the view is called, and does not count again
        response = get(client)
        remaining.append((response.status_code, response.headers["RateLimit"].split(";")[1]))

    assert remaining == [
        *((200, f"r={number}") for number in (4, 3, 2, 1, 0)),
        *[(429, "r=0")] * 2,
    ]
    assert get(client).headers["Retry-After"]
    assert get(client, address="203.0.113.8").status_code == 200


@pytest.fixture
def exceptions(monkeypatch):
    """Return a list of the exceptions that views have handled."""
    handled = []
    handle = APIView.handle_exception

    def handle_exception(self, exception):
        handled.append(exception)
        return handle(self, exception)

    monkeypatch.setattr(APIView, "handle_exception", handle_exception)
    return handled


@pytest.mark.parametrize("accept", ["application/json", "application/problem+json, */*"])
def test_second_denial_equals_that_of_the_view(client, exceptions, accept):
    responses = [get(client, Accept=accept) for _ in range(8)]
    first, second, third = responses[5:]

    assert [response.status_code for response in responses] == [200] * 5 + [429] * 3
    assert len(exceptions) == 1
    seconds = re.compile(rb"in \d+ seconds")
    for denied in (second, third):
        assert [*denied.headers] == [*first.headers]
        assert seconds.sub(b"", denied.content) == seconds.sub(b"", first.content)
        waits = [int(each.headers["Retry-After"]) for each in (first, denied)]
        assert 0 <= waits[0] - waits[1] <= 60
        assert f"in {waits[1]} seconds".encode() in denied.content
        different = {name for name in first.headers if first[name] != denied[name]}
        assert different <= {"X-Request-ID", "Retry-After", "RateLimit"}
    assert third.headers["RateLimit-Policy"] == '"groups";q=5;w=3600, "anon";q=1000;w=86400'
    labels = {"method": "GET", "route": "api/groups/", "status": "429"}
    assert REGISTRY.get_sample_value("http_server_request_duration_seconds_count", labels)


def test_blocked_scope(client, exceptions, set_rates, monkeypatch):
    learned(client)
    rates = {"groups": "block", "anon": "off", "set": "off"}
    monkeypatch.setattr(decisions, "configured_rates", lambda: rates)
    first, second = [get(client) for _ in range(2)]

    assert (first.status_code, second.status_code, len(exceptions)) == (429, 429, 1)
    assert "Retry-After" not in second.headers
    assert second.content == first.content


def custom_handler(exception, context):
    response: Any = exception_handler(exception, context)
    if "X-Polite" in context["request"].headers:
        response.data["detail"] = "Please!"
    return response


def test_denial_of_a_custom_exception_handler_is_not_guessed(client, settings):
    settings.REST_FRAMEWORK = {
        **settings.REST_FRAMEWORK,
        "EXCEPTION_HANDLER": f"{__name__}.custom_handler",
    }
    for _ in range(8):
        get(client)
    denied = get(client, **{"X-Polite": "1"})
    assert (denied.status_code, denied.json()["detail"]) == (429, "Please!")


def test_denial_of_a_view_that_writes_its_own_is_not_guessed(client, exceptions):
    for _ in range(8):
        get(client, "/api/polite/")
    denied = get(client, "/api/polite/", **{"X-Polite": "1"})
    assert (denied.status_code, denied.json()["detail"]) == (429, "Please!")


def test_denial_has_the_language_of_the_request(settings):
    """LocaleMiddleware does not run; another request may have left its language in the thread."""
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "django.middleware.locale.LocaleMiddleware"]
    client = Client()
    try:
        for _ in range(7):
            get(client, **{"Accept-Language": "de"})
        translation.activate("en")
        denied = get(client, **{"Accept-Language": "de"})
    finally:
        translation.deactivate()

    assert "Die Anfrage wurde gedrosselt" in denied.json()["detail"]


def test_requests_are_measured_by_route_and_scope(client):
    def values():
        route = {"method": "GET", "route": "api/groups/", "status": "200"}
        return (
            REGISTRY.get_sample_value("http_server_request_duration_seconds_count", route) or 0,
            _counted("hit"),
            REGISTRY.get_sample_value(
                "throttle_requests_total", {"scope": "groups", "outcome": "allowed"}
            )
            or 0,
        )

    learned(client)
    before = values()
    assert is_fast(get(client))
    assert values() == tuple(value + 1 for value in before)


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Basic YWRhOng="},
        {"Authorization": "Bearer unknown"},
        {"Authorization": ""},
        {"Cookie": "sessionid=abcdefghijklmnop"},
        {"Cookie": "a=b; csrftoken=x"},
        {"Cookie": "messages=x"},
        {"Cookie": "django_language=de"},
        {"If-Match": '"x"'},
        {"If-Unmodified-Since": "Sun, 29 Nov 2026 10:00:00 GMT"},
        {"If-Modified-Since": "Sun, 29 Nov 2026 10:00:00 GMT"},
        {"Transfer-Encoding": "chunked"},
        {"Content-Length": "1"},
    ],
)
def test_requests_with_credentials_conditions_or_a_body_call_the_view(client, headers):
    learned(client)
    assert not is_fast(get(client, **headers))
    assert not is_fast(get(client, **headers))


def test_user_gets_the_public_response_with_one_round_trip(client, operator, django_user_model):
    group = Group.objects.create(name="a")
    learned(client)
    client.force_login(django_user_model.objects.create_user("ada"))

    def reads(url):
        get(client, url)
        before = operator.info("stats")["total_reads_processed"]
        response = get(client, url)
        assert response.headers["Cache-Status"].endswith("; hit")
        return operator.info("stats")["total_reads_processed"] - before

    # Only users have requested the other URL.
    assert reads("/api/groups/") == reads("/api/groups/?x=1") - 1
    group.delete()
    assert get(client).json() == []
    assert get(client).status_code == 429


def test_other_cookies_and_headers_make_no_difference(client):
    learned(client)
    headers = {"Cookie": "_ga=1", "User-Agent": "x", "X-Request-ID": "0123456789"}
    response = get(client, **headers)

    assert is_fast(response)
    assert response.headers["X-Request-ID"] == "0123456789"


@pytest.mark.parametrize(
    "headers",
    [
        {"Accept": "application/problem+json, */*"},
        {"Accept-Language": "de"},
        {"Origin": "https://example.com"},
        {"X-Forwarded-Proto": "https"},
        {"X-Forwarded-Host": "other"},
        {"Host": "127.0.0.1"},
        {"Content-Type": "text/plain"},
    ],
)
def test_requests_that_may_get_another_response_are_learned_separately(client, headers):
    learned(client)
    learned(client, **headers)
    assert is_fast(get(client, address="198.51.100.3"))


def test_query_and_method_have_separate_responses(client):
    learned(client)
    learned(client, "/api/groups/?page=1")
    url = "/api/groups/"
    head, *_, last = [client.head(url, headers={"X-Forwarded-For": f"::{n}00:0:0:1"}) for n in "12"]

    assert not is_fast(head)
    assert is_fast(last)
    assert last.headers["Content-Length"] == head.headers["Content-Length"]


def test_conditional_requests(client):
    etag = learned(client).headers["ETag"]
    headers = {"If-None-Match": etag}
    expected = get(client, address="198.51.100.3", **headers)
    response = get(client, address="198.51.100.4", **headers)

    assert (expected.status_code, response.status_code) == (304, 304)
    assert not is_fast(expected)
    assert is_fast(response)
    assert (response.headers["ETag"], response.content) == (etag, b"")
    assert [*response.headers] == [*expected.headers]
    assert get(client, **{"If-None-Match": '"other"'}).status_code == 200
    Group.objects.create(name="a")
    assert get(client, **headers).status_code == 200


def test_rejections_before_the_view_are_those_of_the_middleware(client, settings):
    learned(client)
    assert get(client, Host="elsewhere.example").status_code == 400
    settings.SECURE_SSL_REDIRECT = True
    fresh = Client()
    assert [get(fresh).status_code for _ in range(2)] == [301, 301]


def test_changed_settings_are_in_force_at_once(client, settings, set_rates):
    learned(client)
    set_rates(groups="1/hour", anon="off", set="off")
    assert [get(client).status_code for _ in range(2)] == [200, 429]


def test_headers_of_exempt_clients_have_no_limits(client, settings):
    settings.THROTTLING_EXEMPT_NETWORKS = [ip_network("203.0.113.0/24")]
    for address in ("203.0.113.7", "198.51.100.1"):
        get(client, address=address)
    for _ in range(2):
        exempt, limited = get(client), get(client, address="198.51.100.1")
        assert is_fast(exempt)
        assert is_fast(limited)
        assert "RateLimit" not in exempt.headers
        assert "RateLimit" in limited.headers


@pytest.mark.parametrize("url", ["/api/shared/", "/api/own/", "/api/set/1/"])
def test_other_responses_are_never_fast(client, url):
    Group.objects.create(name="a")
    assert not any(is_fast(get(client, url)) for _ in range(3))


def test_views_without_throttles_and_viewsets(client):
    assert learned(client, "/api/unthrottled/").headers["Link"] == "<next>"
    assert learned(client, "/api/set/").json() == []


def test_transaction_that_has_written_sees_its_rows(client):
    learned(client)
    with transaction.atomic():
        Group.objects.create(name="a")
        response = get(client)
        assert [each["name"] for each in response.json()] == ["a"]
    assert not is_fast(response)


def test_outage_costs_speed_only(client, operator):
    learned(client)
    breaker = redis_client.breaker
    breaker.trip(redis.ConnectionError("down"))
    responses = [get(client) for _ in range(2)]

    assert [response.status_code for response in responses] == [200, 200]
    assert not any(map(is_fast, responses))
    wait_for(lambda: not breaker.is_open)
    assert is_fast(get(client))


def test_scope_that_fails_closed_is_closed(client, settings):
    settings.THROTTLING_FAIL_CLOSED = ["groups"]
    learned(client)
    labels = {"scope": "groups", "outcome": "failed_closed"}
    before = REGISTRY.get_sample_value("throttle_requests_total", labels) or 0
    breaker = redis_client.breaker
    breaker.trip(redis.ConnectionError("down"))
    response = get(client)

    assert response.status_code == 503
    assert response.headers["Retry-After"] == "1"
    assert REGISTRY.get_sample_value("throttle_requests_total", labels) == before + 1
    wait_for(lambda: not breaker.is_open)


def test_restarted_redis_is_not_read(client, monkeypatch):
    learned(client)
    monkeypatch.setattr(Server, "run_id", "another")
    monkeypatch.setattr(keys, "run_id_of", lambda client: "another")
    with_cookie = get(client, Cookie="csrftoken=x")
    assert with_cookie.headers["Cache-Status"].endswith("fwd=miss")
    client.cookies.clear()  # Django has replaced the token
    assert not is_fast(get(client))
    assert is_fast(get(client))


def test_flushed_scripts_are_loaded_again(client, operator):
    learned(client)
    operator.script_flush()
    assert is_fast(get(client))


def test_counters_can_be_in_another_database(client, settings):
    settings.THROTTLING_REDIS_URL = settings.REDIS_URL + "?db=1"
    decisions.limiter.cache_clear()
    responses = [get(client) for _ in range(6)]

    assert [response.status_code for response in responses] == [200] * 5 + [429]
    assert [is_fast(response) for response in responses[:5]] == [False] + [True] * 4
    with redis.Redis.from_url(settings.THROTTLING_REDIS_URL) as client:
        assert client.delete(*client.scan_iter("*throttling*")) == 2
    decisions.limiter.cache_clear()


def test_count_and_read_are_one_round_trip(client, operator):
    learned(client)
    before = operator.info("stats")["total_reads_processed"]
    assert is_fast(get(client))
    # The second one is that of this test.
    assert operator.info("stats")["total_reads_processed"] == before + 2


def test_plans_are_bounded(client, monkeypatch):
    monkeypatch.setattr(engine, "MAX_PLANS", 2)
    urls = [f"/api/unthrottled/?page={number}" for number in range(3)]
    for url in urls:
        learned(client, url)
    assert is_fast(get(client, urls[2]))
    assert not is_fast(get(client, urls[0]))
    long = "/api/unthrottled/?q=" + "x" * engine.MAX_URL
    assert not any(is_fast(get(client, long)) for _ in range(3))


def test_changed_headers_of_the_view_are_learned(client, monkeypatch):
    url = "/api/unthrottled/"
    learned(client, url)
    monkeypatch.setattr(views, "links", ["<other>"])
    Group.objects.create(name="a")
    Group.objects.all().delete()
    responses = [get(client, url) for _ in range(3)]

    assert [response.headers["Link"] for response in responses] == ["<other>"] * 3
    assert [is_fast(response) for response in responses] == [False, True, True]


def test_new_response_with_other_headers_calls_the_view(client, monkeypatch, elsewhere):
    """Another process computed it."""
    url = "/api/unthrottled/"
    learned(client, url)
    monkeypatch.setattr(views, "links", ["<other>"])
    Group.objects.create(name="a")
    elsewhere(lambda: get(Client(), url, **{"Accept-Language": "de"}))
    responses = [get(client, url) for _ in range(2)]

    assert [response.headers["Link"] for response in responses] == ["<other>"] * 2
    assert [is_fast(response) for response in responses] == [False, True]


def test_new_response_with_the_same_headers_is_served_at_once(client, elsewhere):
    """Another process computed it."""
    learned(client)
    Group.objects.create(name="a")
    elsewhere(lambda: get(Client(), **{"Accept-Language": "de"}))
    response = get(client)

    assert is_fast(response)
    assert [each["name"] for each in response.json()] == ["a"]


def _counted(outcome):
    labels = {"cache": "responses", "outcome": outcome}
    return REGISTRY.get_sample_value("cache_requests_total", labels) or 0


@contextmanager
def computing(url):
    """Invalidate the response, and let another request compute the next one meanwhile."""
    with ThreadPoolExecutor(1) as pool:
        views.compute.clear()
        try:
            Group.objects.create(name="a")
            other = pool.submit(get, Client(), url)
            wait_for(lambda: list(redis_client.plain.scan_iter("*:lock")))
            yield other
        finally:
            views.compute.set()


def test_stale_response_while_another_request_computes_it(client, monkeypatch):
    """The view is not called, and the validator is that of the former response."""
    url = "/api/slow/"
    learned(client, url)
    fast = get(client, url)
    etag = fast.headers["ETag"]
    get(client, url, **{"If-None-Match": etag})  # the headers of a 304 are learned, too
    with computing(url) as other, monkeypatch.context() as patch:
        patch.setattr(views.Slow, "initial", None)
        counted, current = _counted("stale"), {**store._current}
        stale = get(client, url)
        unchanged = get(client, url, **{"If-None-Match": etag})

    assert _counted("stale") == counted + 2
    assert store._current.items() >= current.items()  # it is not longer stale for being served
    changing = {"Cache-Status", "RateLimit", "X-Request-ID"}
    assert [*stale.headers] == [*fast.headers]
    assert {name for name in fast.headers if fast[name] != stale[name]} <= changing
    assert stale.headers["Cache-Status"].endswith("; hit; detail=stale")
    assert stale.json() == {"groups": 0}
    assert (unchanged.status_code, unchanged.headers["ETag"]) == (304, etag)
    assert unchanged.headers["Cache-Status"].endswith("; hit; detail=stale")
    assert other.result().json() == get(client, url).json() == {"groups": 1}
    assert is_fast(get(client, url))


def test_stale_response_only_while_another_request_computes_it(client):
    """Otherwise this request computes it."""
    url = "/api/slow/"
    learned(client, url)
    Group.objects.create(name="a")

    assert get(client, url).json() == {"groups": 1}


def test_stale_response_only_as_long_as_allowed(client, monkeypatch):
    """Afterwards, this request waits for the other one's computation."""
    url = "/api/slow/"
    monkeypatch.setattr(store, "_current", {})
    learned(client, url)
    [key] = store._current
    store._current.clear()
    initial = views.Slow.initial

    def decide_then_note(*args):
        decided = decide_early(*args)
        store.note_current(key)  # as another thread does that has found a newer result
        return decided

    def forget_then_start(*args, **kwargs):
        store._current.clear()
        initial(*args, **kwargs)

    monkeypatch.setattr(plans, "decide_early", decide_then_note)
    monkeypatch.setattr(views.Slow, "initial", forget_then_start)
    is_waiting, wait = threading.Event(), slots.Slot._wait

    def noted(slot, holder):
        is_waiting.set()
        return wait(slot, holder)

    monkeypatch.setattr(slots.Slot, "_wait", noted)
    with ThreadPoolExecutor(1) as pool, computing(url) as other:
        this = pool.submit(get, client, url)
        assert is_waiting.wait(10)
        views.compute.set()
        assert this.result().json() == other.result().json() == {"groups": 1}
