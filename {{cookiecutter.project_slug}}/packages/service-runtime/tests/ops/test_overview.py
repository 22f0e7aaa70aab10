"""The landing page shows the state of the process to developers and staff only."""

import threading
from unittest.mock import Mock

import pytest
import redis
from django.contrib.auth.models import AnonymousUser, User

from service_runtime.ops import health, overview
from service_runtime.redis import breaker_for

SECRET = "correct-horse"


@pytest.fixture
def context(rf, settings):
    """Return a function that returns the page's context for a user."""
    settings.DEBUG = False

    def of(user):
        request = rf.get("/")
        request.user = user
        page = overview.LandingPage()
        page.setup(request)
        return page.get_context_data()

    return of


def test_anonymous_clients_see_no_state(context):
    assert "overview" not in context(AnonymousUser())


@pytest.mark.parametrize(
    ("is_staff", "is_active", "is_shown"),
    [(True, True, True), (False, True, False), (True, False, False)],
)
def test_active_staff_see_the_state(context, is_staff, is_active, is_shown):
    assert ("overview" in context(User(is_staff=is_staff, is_active=is_active))) is is_shown


def test_everyone_sees_the_state_while_debug_is_on(context, settings):
    settings.DEBUG = True

    assert context(AnonymousUser())["overview"].features


def test_scopes_have_their_rates(context, set_rates):
    set_rates(login="7/minute", login_username="off")

    scopes = context(User(is_staff=True))["overview"].scopes

    assert [(scope.name, scope.rate) for scope in scopes] == [
        ("login", "7/minute"),
        ("login_username", "off"),
    ]


def test_no_secret_is_shown(context, settings, monkeypatch):
    monkeypatch.setattr(overview, "is_reachable", lambda url: False)
    settings.SECRET_KEY = SECRET
    settings.SENTRY_DSN = f"https://{SECRET}@sentry.example.com/1"
    settings.REDIS_URL = f"redis://user:{SECRET}@one.example.com:6379/0"
    settings.CACHEOPS_REDIS_URL = f"unix:///run/redis.sock?password={SECRET}"
    settings.THROTTLING_REDIS_URL = f"redis+cluster://:{SECRET}@two.example.com:1,three:2"

    shown = context(User(is_staff=True))["overview"]

    assert [server.address for server in shown.servers] == [
        "one.example.com:6379",
        "/run/redis.sock",
        "two.example.com:1,three:2",
    ]
    assert ("Error reports", "on", "SENTRY_DSN") in shown.features
    assert SECRET not in repr(shown)


def test_each_server_is_asked_once(settings, monkeypatch):
    is_reachable = Mock(return_value=True)
    monkeypatch.setattr(overview, "is_reachable", is_reachable)
    settings.REDIS_URL = settings.THROTTLING_REDIS_URL = "redis://one.example.com"
    settings.CACHEOPS_REDIS_URL = ""

    assert overview.redis_servers() == [
        ("one.example.com", ["cached responses", "throttles"], True)
    ]
    assert is_reachable.call_count == 1


def test_without_redis_there_are_no_servers(settings):
    settings.REDIS_URL = settings.CACHEOPS_REDIS_URL = settings.THROTTLING_REDIS_URL = ""

    assert overview.redis_servers() == []
    assert ("Cached querysets", "off", "CACHEOPS_REDIS_URL") in overview.features()


def test_an_unavailable_redis_is_waited_for_once(monkeypatch):
    url = "redis://127.0.0.1:1/0"
    waiting = []

    def connect(self):
        waiting.append(threading.current_thread())
        raise redis.ConnectionError("refused")

    monkeypatch.setattr(redis.Connection, "_connect", connect)
    try:
        assert not health.is_reachable(url)
        assert threading.current_thread() in waiting
        waiting.clear()
        assert not health.is_reachable(url)
        assert threading.current_thread() not in waiting
    finally:
        breaker_for(url).retire()


def test_a_cluster_is_reachable(shards):
    assert health.is_reachable(shards.url)
