"""The names of clients that hooks return, in Redis and in events."""

import json
import string

import pytest
import redis
from django.http import HttpResponse
from django.test import RequestFactory
from rest_framework.test import APIRequestFactory

from service_runtime.conf import settings as project
from service_runtime.logging import events
from service_runtime.throttling import RateThrottle, operations, throttled
from service_runtime.throttling.identity import safe_name, stored_name
from tests.throttling.views import view

LONG = "x" * 2_000_000
UNSAFE = ["to:" + LONG, "to:\ud800", "to:a\nb", "to:}", "{", "", "to:\x00"]


class ByRecipient(RateThrottle):
    scope = "recipient"

    def get_client(self, request, view):
        return f"to:{request.data['to']}"


@throttled(clients={"recipient": lambda request: request.META["to"]})
def form(request):
    return HttpResponse()


def send(client):
    """Return the status of a form's response to a request that counts for a client."""
    return form(RequestFactory().post("/", to=client)).status_code


def send_json(recipient):
    body = json.dumps({"to": recipient})
    request = APIRequestFactory().post("/", body, content_type="application/json")
    return view(throttle_classes=[ByRecipient]).as_view()(request).status_code


@pytest.mark.redis
@pytest.mark.parametrize("client", UNSAFE, ids=ascii)
def test_long_or_unsafe_client_is_counted_by_a_short_name(set_rates, caplog, client):
    set_rates(recipient="1/h")
    events._logged.clear()

    with caplog.at_level("INFO"):
        assert [send(client), send(client)] == [200, 429]

    with redis.Redis.from_url(project.REDIS_URL) as connection:
        (key,) = connection.scan_iter("*:throttling:*")
    (logged,) = [record.data["client"] for record in caplog.records if hasattr(record, "data")]
    assert len(key) < 400
    assert len(logged) < 300
    assert key.decode().count("{") == key.decode().count("}") == 1
    assert logged.isprintable()


@pytest.mark.redis
@pytest.mark.parametrize("recipient", [LONG, "\ud800"], ids=["long", "surrogate"])
def test_long_or_unsafe_client_of_a_throttle_class_is_counted(set_rates, recipient):
    set_rates(recipient="1/h")

    assert [send_json(recipient), send_json(recipient)] == [200, 429]
    assert send_json("ada@example.com") == 200


@pytest.mark.redis
def test_usage_of_such_a_client_is_shown_and_reset_by_either_name(set_rates):
    set_rates(recipient="1/h")
    client = "to:\ud800"
    for name in (client, operations.parse_client(stored_name(client))):
        assert send(client) == 200
        assert operations.usage(name, "recipient")[0].outcome.remaining == 0
        assert operations.reset(name) == 1


@pytest.mark.parametrize(
    "client",
    [
        "user:7",
        "user:jos\u00e9@example.com",
        "ip:203.0.113.7",
        "ip:2001:db8::/64",
        "ip:unknown",
        "username:#" + "0f" * 16,
        "key:" + safe_name("a{b}\u00e9"),
        "key:" + safe_name("x" * 128),
        "ident:" + safe_name("x" * 129),
        "to:ada lovelace <ada@example.com>",
        safe_name("x" * 129),
    ],
)
def test_other_clients_are_stored_unchanged(client):
    assert stored_name(client) == client


def test_different_clients_have_different_names():
    clients = [*UNSAFE, "to:%7D", "to:\ud801", "to:\ufffd", "to:?", LONG, LONG + "x"]
    clients += [safe_name(client) for client in UNSAFE]
    clients += [f"to:{each}" for each in string.printable]

    names = {client: stored_name(client) for client in clients}

    assert len(set(names.values())) == len(names)
    assert {stored_name(name) for name in names.values()} == set(names.values())
