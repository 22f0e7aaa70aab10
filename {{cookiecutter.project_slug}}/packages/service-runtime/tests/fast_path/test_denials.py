"""A flood of denied requests costs Redis nothing, and no client is denied too long."""

import time
from ipaddress import ip_network

import pytest
import redis
from cacheops.redis import redis_client
from django.contrib.auth.models import Group
from prometheus_client import REGISTRY

from service_runtime.fast_path import FastPathHandler, denials
from service_runtime.fast_path.denials import Denials
from service_runtime.rates import parse_rate
from service_runtime.redis import ThreadClients
from service_runtime.throttling import operations
from service_runtime.throttling.decisions import Decision, Policy, Scope
from service_runtime.throttling.limiter import Limit, Outcome
from tests.fast_path.wsgi import call, environ_of
from tests.waiting import wait_for

SCOPE = Scope("groups", "ip:203.0.113.7")


class Clock:
    now = 100.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(denials, "time", clock)
    return clock


def policy(fits=False, remaining=0, wait=5.0, more=5.0, shadow=0):
    outcome = Outcome(fits, remaining, wait, more)
    return Policy(SCOPE, Limit("key", 5, 60, shadow), outcome)


def remembered(*policies, at=None):
    found = Denials()
    found.add([SCOPE], 1, Decision([*policies]), time.monotonic() if at is None else at)
    return found


def test_times_are_those_of_the_moment(clock):
    found = remembered(policy(wait=5.0, more=4.0), at=clock.now)
    clock.now += 0.25
    decision = found.get([SCOPE], 1)

    assert decision is not None
    assert not decision
    assert decision.wait == 4.75
    assert decision.policies[0].outcome.more == 3.75


@pytest.mark.parametrize(("more", "seconds"), [(5.0, 1.0), (0.5, 0.5)])
def test_it_ends_with_the_first_free_place_or_after_a_second(clock, more, seconds):
    found = remembered(policy(), policy(more=more), at=clock.now)
    clock.now += seconds - 0.01
    assert found.get([SCOPE], 1) is not None
    clock.now += 0.01
    assert found.get([SCOPE], 1) is None


@pytest.mark.parametrize(
    "other",
    [
        policy(fits=True, remaining=3),
        policy(remaining=3),  # too few for this request's cost, but not for others
        policy(shadow=1),
    ],
    ids=["fits", "costs more", "shadow"],
)
def test_windows_that_other_requests_can_change_are_not_remembered(other):
    assert remembered(policy(), other).get([SCOPE], 1) is None


def test_other_clients_scopes_and_costs_are_others():
    found = remembered(policy())
    assert found.get([SCOPE], 2) is None
    assert found.get([SCOPE._replace(client="ip:203.0.113.8")], 1) is None
    assert found.get([SCOPE._replace(rate=parse_rate("1/day"))], 1) is None
    assert found.get([SCOPE, SCOPE._replace(name="anon")], 1) is None


def test_they_are_bounded(monkeypatch):
    monkeypatch.setattr(denials, "MAX_DENIALS", 10)
    found = Denials()
    for number in range(25):
        found.add([SCOPE._replace(client=str(number))], 1, Decision([policy()]), 0.0)
    assert len(found._denials) == 5


@pytest.mark.redis
@pytest.mark.django_db(transaction=True)
class TestRequests:
    @pytest.fixture(autouse=True)
    def _project(self, settings, set_rates, monkeypatch):
        settings.ROOT_URLCONF = "tests.fast_path.views"
        set_rates(groups="5/hour", anon="1000/day", set="3/hour")
        monkeypatch.setattr(denials, "MAX_SECONDS", 60.0)

    @pytest.fixture
    def commands(self, monkeypatch):
        """Return a list with an item for each call of Redis."""
        sent = []
        execute = ThreadClients.execute

        def spy(self, *command):
            sent.append(command)
            return execute(self, *command)

        monkeypatch.setattr(ThreadClients, "execute", spy)
        return sent

    def get(self, application, path="/api/set/", **more):
        status, headers, _ = call(application, environ_of(path, **more))
        return int(status[:3]), dict(headers)

    def exhausted(self):
        """Return an application that has denied requests of a client."""
        application = FastPathHandler()
        assert [self.get(application)[0] for _ in range(5)] == [200] * 3 + [429] * 2
        return application

    def test_flood_costs_redis_nothing(self, commands):
        application = self.exhausted()
        commands.clear()
        responses = [self.get(application) for _ in range(10)]

        assert [status for status, _ in responses] == [429] * 10
        assert commands == []
        assert self.get(application, "/api/groups/")[0] == 200
        assert self.get(application, REMOTE_ADDR="203.0.113.8")[0] == 200
        first, last = responses[0][1], responses[-1][1]
        assert [*first] == [*last]
        assert 0 <= int(first["Retry-After"]) - int(last["Retry-After"]) <= 60

    def test_capacity_that_other_views_share_is_read(self, commands):
        application = FastPathHandler()
        for _ in range(7):
            self.get(application, "/api/groups/")
        commands.clear()
        for _ in range(3):
            assert self.get(application, "/api/groups/")[0] == 429
        assert len(commands) == 3

    def test_reset_limit_is_free_after_a_moment(self, monkeypatch):
        monkeypatch.setattr(denials, "MAX_SECONDS", 0.2)
        application = self.exhausted()
        assert operations.reset("ip:203.0.113.7") == 1
        wait_for(lambda: self.get(application)[0] == 200)

    def test_place_that_expires_is_free_at_once(self, set_rates):
        set_rates(set="3/second", groups="off", anon="off")
        application = FastPathHandler()
        while self.get(application)[0] == 200:
            pass
        _, headers = self.get(application)
        started = time.monotonic()
        wait_for(lambda: self.get(application)[0] == 200)
        assert time.monotonic() - started < int(headers["Retry-After"]) + 1

    def test_denials_are_counted(self):
        application = self.exhausted()
        labels = {"scope": "set", "outcome": "denied"}
        before = REGISTRY.get_sample_value("throttle_requests_total", labels) or 0
        self.get(application)
        assert REGISTRY.get_sample_value("throttle_requests_total", labels) == before + 1

    def test_outage_fails_open_at_once(self):
        application = self.exhausted()
        redis_client.breaker.trip(redis.ConnectionError("down"))
        assert self.get(application)[0] == 200
        wait_for(lambda: not redis_client.breaker.is_open)

    def test_exempt_client_of_the_same_network_is_not_denied(self, settings):
        """An IPv6 /64 is one client, of which a part can be exempt."""
        settings.THROTTLING_EXEMPT_NETWORKS = [ip_network("2001:db8::5/128")]
        application = FastPathHandler()
        statuses = [self.get(application, REMOTE_ADDR="2001:db8::6")[0] for _ in range(6)]
        assert statuses == [200] * 3 + [429] * 3
        assert self.get(application, REMOTE_ADDR="2001:db8::5")[0] == 200

    def test_changed_rows_make_no_difference(self):
        application = self.exhausted()
        Group.objects.create(name="a")
        assert self.get(application)[0] == 429
