"""Receivers of signals log and count without secrets."""

import json
import logging
from types import SimpleNamespace

import pytest
from cacheops.signals import cache_read
from django.contrib.auth import authenticate, get_user_model
from django.db import connection
from django.test import RequestFactory

from service_runtime import signals
from service_runtime.metrics import exposition

pytestmark = pytest.mark.django_db


def test_failed_login_is_logged_without_the_username(caplog):
    request = RequestFactory().post("/login/", REMOTE_ADDR="192.0.2.7")

    assert authenticate(request, username="hush", password="hush") is None
    assert authenticate(username="hush", password="hush") is None

    first, second = [record for record in caplog.records if vars(record).get("ev")]
    assert (first.ev, first.levelname, first.data) == (
        "login_failed",
        "WARNING",
        {"client": "192.0.2.7"},
    )
    assert second.data == {}
    assert "hush" not in caplog.text


def count(outcome):
    name = f'cache_requests_total{{cache="cacheops",outcome="{outcome}"}} '
    lines = exposition().decode().splitlines()
    return sum(float(line.removeprefix(name)) for line in lines if line.startswith(name))


@pytest.mark.parametrize("hit", [True, False])
def test_cacheops_reads_are_counted(hit):
    outcome = "hit" if hit else "miss"
    before = count(outcome)

    cache_read.send(sender=get_user_model(), func=None, hit=hit)

    assert count(outcome) == before + 1


@pytest.mark.parametrize(("seconds", "is_logged"), [(0.0, True), (60.0, False)])
def test_slow_query_is_logged_without_its_parameters(caplog, settings, seconds, is_logged):
    settings.SLOW_QUERY_SECONDS = seconds

    with caplog.at_level(logging.INFO), connection.execute_wrapper(signals.log_slow_query):
        get_user_model().objects.filter(username="hush").update(last_name="hush")

    events = [vars(record) for record in caplog.records if vars(record).get("ev") == "slow_query"]
    assert bool(events) == is_logged
    for event in events:
        assert "WHERE" in event["data"]["sql"]
        assert event["data"]["duration_ms"] >= 0
        assert "hush" not in json.dumps(event["data"])


@pytest.mark.parametrize(
    ("debug", "seconds", "watched"), [(True, 0.1, 1), (True, 0.0, 0), (False, 0.1, 0)]
)
def test_queries_are_watched_once_and_only_in_development(settings, debug, seconds, watched):
    settings.DEBUG, settings.SLOW_QUERY_SECONDS = debug, seconds
    new = SimpleNamespace(execute_wrappers=[])

    for _ in range(2):  # a connection is created again after an error
        signals.watch_queries(connection=new)

    assert new.execute_wrappers == [signals.log_slow_query] * watched


def test_wrapper_of_another_survives_a_connection_that_is_opened_in_it(settings):
    settings.DEBUG, settings.SLOW_QUERY_SECONDS = True, 0.1
    new = connection.copy()

    def wrapper(execute, *arguments):
        return execute(*arguments)

    with new.execute_wrapper(wrapper):
        signals.watch_queries(connection=new)
    assert new.execute_wrappers == [signals.log_slow_query]
