"""The application serves what it can before Django sees the request."""

import pytest
from django.core.signals import request_started
from django.http import HttpResponse
from prometheus_client import REGISTRY

from service_runtime.fast_path import FastPathHandler, engine, handler, learning, plans
from service_runtime.logging.context import NONE, current
from service_runtime.throttling import decisions
from tests.fast_path.responses import FAST
from tests.fast_path.wsgi import call, environ_of

pytestmark = [pytest.mark.redis, pytest.mark.django_db(transaction=True)]


@pytest.fixture(autouse=True)
def _project(settings, set_rates):
    settings.ROOT_URLCONF = "tests.fast_path.views"
    settings.NUM_PROXIES = 1
    set_rates(groups="5/hour", anon="1000/day", set="100/hour")


@pytest.fixture
def started():
    """Return a list with an item for each request that Django has seen."""
    seen: list[object] = []

    def note(environ, **kwargs):
        seen.append(environ)

    request_started.connect(note)
    yield seen
    request_started.disconnect(note)


def get(application, path="/api/groups/", address="203.0.113.7", **more):
    """Return the status, the headers by name, and the body."""
    environ = environ_of(path, HTTP_X_FORWARDED_FOR=address, **more)
    status, headers, body = call(application, environ)
    assert current.get() is NONE
    names = [name for name, _ in headers]
    assert len(names) == len({*names})
    return int(status[:3]), dict(headers), body


def test_django_does_not_see_the_request(started):
    application = FastPathHandler()
    first, second, third = [get(application) for _ in range(3)]

    assert len(started) == 1
    assert [*second[1]] == [*first[1]]
    assert second[1]["Cache-Status"].endswith(FAST)
    assert (second[0], second[2]) == (third[0], third[2]) == (200, b"[]")
    assert second[1]["X-Request-ID"] != third[1]["X-Request-ID"]


def test_limit_is_shared_with_the_view(started):
    application = FastPathHandler()
    get(application, address="198.51.100.1")
    statuses = [get(application)[0] for _ in range(3)]
    statuses += [get(application, HTTP_AUTHORIZATION="")[0]]  # the view
    statuses += [get(application)[0] for _ in range(4)]

    assert statuses == [200] * 5 + [429] * 3
    assert len(started) == 3  # the last one is the first denial


def test_process_that_has_only_denied_requests_serves_denials(started):
    other = FastPathHandler()
    for _ in range(5):
        get(other)
    started.clear()
    application = FastPathHandler()
    denials = [get(application) for _ in range(4)]

    assert [status for status, *_ in denials] == [429] * 4
    assert len(started) == 1
    assert [*denials[0][1]] == [*denials[-1][1]]
    responses = [get(application, address="203.0.113.8") for _ in range(3)]
    assert [headers["RateLimit"][:12] for _, headers, _ in responses] == [
        f'"groups";r={left}' for left in (4, 3, 2)
    ]
    assert len(started) == 2
    assert get(application)[0] == 429
    assert len(started) == 3  # a new plan learns its denials anew


def test_request_that_was_counted_is_not_counted_again_by_its_view(monkeypatch, started):
    application = FastPathHandler()
    for _ in range(2):
        get(application, address="198.51.100.1")
    monkeypatch.setattr(plans.Plan, "_response", lambda *args: None)
    _, headers, _ = get(application)

    assert len(started) == 2
    assert headers["RateLimit"].startswith('"groups";r=4')


def test_request_is_measured_and_keeps_its_id():
    labels = {"method": "GET", "route": "api/groups/", "status": "200"}
    name = "http_server_request_duration_seconds_count"
    application = FastPathHandler()
    get(application)
    before = REGISTRY.get_sample_value(name, labels) or 0
    _, headers, _ = get(application, HTTP_X_REQUEST_ID="0123456789abcdef")

    assert REGISTRY.get_sample_value(name, labels) == before + 1
    assert headers["X-Request-ID"] == "0123456789abcdef"


def test_slow_request_is_logged(settings, caplog):
    settings.SLOW_REQUEST_SECONDS = 1e-9
    application = FastPathHandler()
    get(application)
    caplog.clear()
    get(application)

    [record] = [each for each in caplog.records if each.getMessage() == "slow_request"]
    assert vars(record)["data"] | {"duration_ms": 0} == {
        "method": "GET",
        "route": "api/groups/",
        "status": 200,
        "duration_ms": 0,
    }


def test_access_line_has_the_id_of_the_response():
    application = FastPathHandler()
    for _ in range(2):
        environ = environ_of("/api/groups/")
        _, headers, _ = call(application, environ)
        assert environ["log.context"].request_id == dict(headers)["X-Request-ID"]
        assert environ["log.context"].request is None


def seen_by(get_response):
    def middleware(request):
        response = get_response(request)
        response["X-Seen"] = "yes"
        return response

    return middleware


def test_middleware_above_runs(settings, started):
    settings.MIDDLEWARE = [f"{__name__}.seen_by", *settings.MIDDLEWARE]
    settings.FAST_PATH_MIDDLEWARE = [f"{__name__}.seen_by"]
    application = FastPathHandler()
    responses = [get(application) for _ in range(3)]

    assert [headers["X-Seen"] for _, headers, _ in responses] == ["yes"] * 3
    assert responses[-1][1]["Cache-Status"].endswith(FAST)
    assert len(started) == 3


def deny(get_response):
    return lambda request: HttpResponse(status=403)


def test_unknown_middleware_below_turns_it_off(settings):
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.deny"]
    application = FastPathHandler()
    assert [get(application)[0] for _ in range(3)] == [403] * 3


def test_after_a_failure_the_view_is_called_and_does_not_count_again(monkeypatch):
    application = FastPathHandler()
    get(application, address="198.51.100.1")

    def fail(*args):
        raise ZeroDivisionError

    monkeypatch.setattr(plans, "fields_of", fail)
    monkeypatch.setattr(learning, "obstacles", fail)
    for left in (4, 3, 2):
        status, headers, body = get(application)
        assert (status, body) == (200, b"[]")
        assert headers["RateLimit"].startswith(f'"groups";r={left}')
        assert not headers["Cache-Status"].endswith(FAST)


def test_failure_is_logged_with_the_id_of_its_request(monkeypatch):
    application = FastPathHandler()
    get(application)
    ids: list[str | None] = []
    monkeypatch.setattr(plans, "client_of_address", lambda address: 1 / 0)
    monkeypatch.setattr(
        engine.logger, "exception", lambda *args: ids.append(current.get().request_id)
    )
    _, headers, _ = get(application)
    assert ids == [headers["X-Request-ID"]]


def test_response_starts_last(monkeypatch):
    """A server that has started a response cannot send an error."""
    application = FastPathHandler()
    get(application)

    def fail(*args):
        raise ZeroDivisionError

    monkeypatch.setattr(handler, "observe_request", fail)
    starts: list[object] = []
    with pytest.raises(ZeroDivisionError):
        application(environ_of("/api/groups/"), lambda *args: starts.append(args))
    assert starts == []


@pytest.mark.parametrize("name", ["sessionid", "csrftoken", "django_language"])
def test_cookie_that_only_django_can_read_calls_the_view(name, started):
    """Django decodes the header, and strips this space."""
    application = FastPathHandler()
    get(application)
    get(application, HTTP_COOKIE=f"a=1; \xc2\xa0{name}=x")
    assert len(started) == 2


def test_header_that_middleware_adds_to_denials(settings, started):
    name = "django.middleware.http.ConditionalGetMiddleware"
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, name]
    settings.FAST_PATH_MIDDLEWARE = [name]
    application = FastPathHandler()
    assert [get(application)[0] for _ in range(8)] == [200] * 5 + [429] * 3
    assert len(started) == 4


def test_scope_without_a_rate_is_an_error_of_the_view(monkeypatch):
    application = FastPathHandler()
    get(application)
    monkeypatch.setattr(decisions, "configured_rates", dict)
    assert get(application)[0] == 500


@pytest.mark.parametrize("method", ["POST", "OPTIONS", "get"])
def test_other_methods_are_those_of_django(method, started):
    application = FastPathHandler()
    get(application)
    get(application, REQUEST_METHOD=method)
    assert len(started) == 2
