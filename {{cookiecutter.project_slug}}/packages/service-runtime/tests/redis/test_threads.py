"""Commands of a thread, and commands that are sent with them."""

import os

import pytest
import redis

from service_runtime.redis import ThreadClients, client
from service_runtime.redis.connections import TCPConnection
from tests.waiting import wait_for

pytestmark = pytest.mark.redis


@pytest.fixture
def clients(settings):
    """Return clients of a user who may run any command."""
    url = os.environ.get("REDIS_OPERATOR_URL", settings.REDIS_URL)
    clients = ThreadClients(client(url))
    clients.execute("SET", "tests:key", "value", "PX", 60_000)
    return clients


def test_reply_of_a_command(clients):
    assert clients.execute("GET", "tests:key") == b"value"
    with pytest.raises(redis.ResponseError, match="not an integer"):
        clients.execute("INCR", "tests:key")
    assert clients.execute("GET", "tests:key") == b"value"


def test_appended_command_is_sent_with_the_next_call(clients):
    with clients.append(("GET", "tests:key")) as appended:
        assert appended.replies is None
        assert clients.execute("PING") == b"PONG"
        assert appended.replies == [b"value"]
        clients.execute("SET", "tests:key", "other", "PX", 60_000)
        assert appended.replies == [b"value"]
    with clients.append(("GET", "tests:key")) as unused:
        pass
    clients.execute("PING")
    assert unused.replies is None


def test_error_of_one_of_two_commands_concerns_this_one_only(clients):
    with clients.append(("INCR", "tests:key")) as appended:
        assert clients.execute("GET", "tests:key") == b"value"
        assert isinstance(appended.replies[0], redis.ResponseError)
    with clients.append(("GET", "tests:key")) as appended:
        with pytest.raises(redis.ResponseError):
            clients.execute("INCR", "tests:key")
        assert appended.replies == [b"value"]


def test_other_threads_do_not_send_it(clients, elsewhere):
    with clients.append(("GET", "tests:key")) as appended:
        assert elsewhere(lambda: clients.execute("PING")) == b"PONG"
        assert appended.replies is None


def test_connection_that_the_server_has_closed_is_replaced(clients, operator):
    number = clients.execute("CLIENT", "ID")
    outages = breaker_for_clients(clients).outages
    operator.client_kill_filter(_id=number)

    assert clients.execute("CLIENT", "ID") != number
    assert breaker_for_clients(clients).outages == outages


def test_connection_is_replaced_after_an_outage(clients):
    number = clients.execute("CLIENT", "ID")
    breaker = breaker_for_clients(clients)
    breaker.trip(redis.ConnectionError("down"))
    with pytest.raises(redis.ConnectionError, match="circuit is open"):
        clients.execute("PING")
    wait_for(lambda: not breaker.is_open)

    assert clients.execute("CLIENT", "ID") != number


def test_interrupted_call_leaves_no_reply_for_the_next_one(clients, monkeypatch):
    read = TCPConnection.read_response
    calls = []

    def interrupted(self, *args, **kwargs):
        calls.append(self)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return read(self, *args, **kwargs)

    with clients.append(("GET", "tests:key")), monkeypatch.context() as patch:
        patch.setattr(TCPConnection, "read_response", interrupted)
        with pytest.raises(KeyboardInterrupt):
            clients.execute("PING")
    assert clients.execute("ECHO", "next") == b"next"


def breaker_for_clients(clients):
    return clients.get().connection.retry
