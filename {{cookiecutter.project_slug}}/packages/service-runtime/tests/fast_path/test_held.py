"""Bodies that are not read again, within a bound of memory."""

import pytest
from cacheops.redis import redis_client
from django.contrib.auth.models import Group
from django.test import Client
from django.utils import translation

from service_runtime.fast_path import held as module
from service_runtime.fast_path import plans
from service_runtime.fast_path.held import HeldResults
from service_runtime.redis import ThreadClients


def test_bodies_are_bounded(monkeypatch):
    monkeypatch.setattr(module, "OVERHEAD", 0)
    monkeypatch.setattr(module, "MAX_BYTES", 100)
    monkeypatch.setattr(module, "MAX_RESULT_BYTES", 60)
    held = HeldResults()
    held.add("long", [b"", b"1"], b"x" * 61)
    assert held.get("long") is None
    for _ in range(5):  # replaces itself
        held.add("a", [b"start", b"1"], b"x" * 60)
    held.add("b", [b"start", b"1"], b"x" * 40)
    assert held.get("a")
    assert held.get("b")
    held.add("c", [b"start", b"1"], b"x" * 1)
    assert [key for key in "abc" if held.get(key)] == ["c"]


def test_short_bodies_are_bounded():
    held = HeldResults()
    for number in range(20_000):
        held.add(str(number), [b"start", b"1"], b"")
    assert len(held._results) <= module.MAX_BYTES / module.OVERHEAD


@pytest.mark.redis
@pytest.mark.django_db(transaction=True)
class TestReads:
    @pytest.fixture(autouse=True)
    def _project(self, settings, set_rates):
        settings.ROOT_URLCONF = "tests.fast_path.views"
        set_rates(groups="100/hour", anon="1000/day")

    @pytest.fixture
    def commands(self, monkeypatch):
        """Return a list of the commands that are sent. No response is held at first."""
        monkeypatch.setattr(plans, "held", HeldResults())
        sent = []
        append = ThreadClients.append

        def spy(self, *commands):
            sent.append([command[0] for command in commands])
            return append(self, *commands)

        monkeypatch.setattr(ThreadClients, "append", spy)
        return sent

    def get(self, client, **headers):
        return client.get("/api/groups/", headers=headers)

    def test_body_is_read_once(self, client, commands):
        Group.objects.create(name="a")
        responses = [self.get(client) for _ in range(3)]

        assert commands == [["MGET"], ["GETRANGE", "MGET"]]
        assert len({response.content for response in responses}) == 1

    def test_body_is_not_read_for_users_either(self, client, commands):
        for _ in range(3):
            self.get(client)
        commands.clear()
        response = self.get(client, Cookie="csrftoken=x")
        assert commands == [["GETRANGE", "MGET"]]
        assert response.headers["Cache-Status"].endswith("; hit")
        Group.objects.create(name="b")
        for _ in range(2):
            response = self.get(client, Cookie="csrftoken=x")
            assert [each["name"] for each in response.json()] == ["b"]

    def test_other_language_of_a_user_has_its_own_response(self, settings, commands, request):
        request.addfinalizer(translation.deactivate)
        name = "django.middleware.locale.LocaleMiddleware"
        settings.MIDDLEWARE = [*settings.MIDDLEWARE, name]
        client = Client()
        for _ in range(3):
            self.get(client)
        for outcome in ("fwd=miss", "; hit"):
            response = self.get(client, Cookie="django_language=de")
            assert response.headers["Cache-Status"].endswith(outcome)
        assert self.get(client, Cookie="csrftoken=x").headers["Cache-Status"].endswith("; hit")

    def test_evicted_response_is_computed_again(self, client, commands):
        for _ in range(3):
            self.get(client)
        [key] = redis_client.plain.scan_iter("*response:*")
        redis_client.plain.delete(key)
        response = self.get(client)

        assert response.headers["Cache-Status"].endswith("fwd=miss")

    def test_altered_response_is_computed_again(self, client, operator):
        """Whether its body or its start is altered, where no body is read."""
        for _ in range(3):
            expected = self.get(client).content
        [key] = redis_client.plain.scan_iter("*response:*")
        value = redis_client.plain.get(key)
        redis_client.plain.set(key, value[:50] + b"0" + value[51:])
        assert self.get(client).headers["Cache-Status"].endswith("fwd=miss")
        [key] = redis_client.plain.scan_iter("*response:*")
        operator.append(key, b"altered")
        assert self.get(client).content == expected

    def test_newer_response_replaces_it(self, client, commands, elsewhere):
        """Another process has computed it."""
        for _ in range(3):
            self.get(client)
        Group.objects.create(name="a")
        elsewhere(lambda: self.get(Client(), **{"Accept-Language": "de"}))
        for _ in range(2):
            response = self.get(client)
            assert response.headers["Cache-Status"].endswith("fast-path")
            assert response.json()[0]["name"] == "a"
