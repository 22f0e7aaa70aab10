"""No client receives a response that was cached for another."""

import re

import pytest
from cacheops import invalidate_all
from django.contrib.auth import get_user_model
from django.core.cache import cache
from django.core.management import call_command, get_commands
from knox.models import AuthToken
from rest_framework.test import APIClient
from service_runtime.routes import all_views

pytestmark = [pytest.mark.redis, pytest.mark.django_db(transaction=True)]


def by_token(user):
    _, token = AuthToken.objects.create(user)
    return APIClient(headers={"Authorization": f"Token {token}"})


def by_session(user):
    client = APIClient()
    client.force_login(user)
    return client


@pytest.fixture
def clients():
    """Return clients by name: anonymous, two users, and a superuser, by token or session."""
    users = get_user_model().objects
    ada, grace = users.create_user("ada"), users.create_user("grace")
    root = users.create_superuser("root")
    return {
        "anonymous": APIClient(),
        "ada, token": by_token(ada),
        "ada, session": by_session(ada),
        "grace, token": by_token(grace),
        "root, session": by_session(root),
    }


def paths():
    """Return the path of every view, with 1 for each placeholder of a route."""
    routes = [route for route, _ in all_views() if "^" not in route and "logout" not in route]
    return sorted({"/" + re.sub(r"<[^>]*>", "1", route) for route in routes})


def response_to(client, path):
    """Return the parts of a response that depend on nothing but the client and the data."""
    response = client.get(path, SERVER_NAME="localhost")
    body = b"" if response.streaming else response.content
    body = re.sub(rb'(csrfmiddlewaretoken" value=|csrfToken = )"[^"]*"', b"", body)
    return response.status_code, response.headers.get("Location"), body


def test_a_response_does_not_depend_on_earlier_clients(clients, settings):
    rates = dict.fromkeys(settings.THROTTLE_RATES, "1000000/hour")
    settings.REST_FRAMEWORK = {**settings.REST_FRAMEWORK, "DEFAULT_THROTTLE_RATES": rates}
    if "load_blogs" in get_commands():
        call_command("load_blogs", verbosity=0)
    assert {"/", "/api/schema/", "/admin/"} <= set(paths())

    for path in paths():
        settings.CACHEOPS_ENABLED = False
        expected = {name: response_to(client, path) for name, client in clients.items()}
        settings.CACHEOPS_ENABLED = True
        for first in clients:
            invalidate_all()
            cache.clear()
            for name in (first, *clients):
                assert response_to(clients[name], path) == expected[name], (path, first, name)
