"""No request that a client can make is a failure of the service."""

import itertools
import re
from urllib.parse import quote

import pytest
from django.contrib.auth import get_user_model
from django.db import transaction
from django.test import Client
from knox.models import AuthToken
from service_runtime.routes import all_views

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "NEW"]
VALUES = ["\0", "9" * 20, "-1", "x", "\N{ARABIC-INDIC DIGIT THREE}"]
# Parameters of the API and of the admin's lists, forms and autocompletion.
PARAMETERS = [
    *["author", "page", "format", "q", "p", "o", "e", "_popup", "_to_field", "term", "app_label"],
    *["username", "is_staff__exact", "date_joined__year", "id__in", "created_at__year", "title"],
    *["_changelist_filters", "name__startswith", "user", "groups__id__exact"],
]


@pytest.fixture
def clients(db, settings, set_rates):
    """Return clients that are anonymous, signed in as a superuser, and with a superuser's token."""
    set_rates(**dict.fromkeys(settings.THROTTLE_RATES, "1000000/hour"))
    user = get_user_model().objects.create_superuser("root")
    _, token = AuthToken.objects.create(user)
    anonymous, by_session = (Client(raise_request_exception=False) for _ in range(2))
    by_token = Client(raise_request_exception=False, headers={"Authorization": f"Token {token}"})
    by_session.force_login(user)
    return [anonymous, by_session, by_token]


def routes():
    """Return the routes of all views, except the one that ends a session."""
    return [route for route, _ in all_views() if "^" not in route and "logout" not in route]


def status_of(client, method, url, **options):
    """Return the status of a response, and roll back what the request has changed."""
    with transaction.atomic():
        response = client.generic(method, url, **options)
        transaction.set_rollback(True)
    return response.status_code


def test_every_method_on_every_route(clients, failures):
    for route, method, client in itertools.product(routes(), METHODS, clients):
        url = "/" + re.sub(r"<[^>]*>", "1", route)
        status = status_of(client, method, url, content_type="application/json")
        assert status < 500, (method, url, failures)


def test_every_value_in_every_path(clients, failures):
    for route, value in itertools.product(routes(), VALUES):
        url = "/" + re.sub(r"<[^>]*>", quote(value), route)
        assert status_of(clients[1], "GET", url) < 500, (url, failures)


def test_every_parameter_on_every_route(clients, failures):
    """With one value each: the runtime's tests try all of them."""
    values = itertools.cycle(VALUES)
    lists = [route for route in routes() if "<" not in route]
    for route, name in itertools.product(lists, PARAMETERS):
        url = f"/{route}?{name}={quote(next(values))}"
        assert status_of(clients[1], "GET", url) < 500, (url, failures)


@pytest.mark.parametrize("path", ["/api/docs/", "/api/schema/", "/api/token/"])
def test_options_are_json(clients, path):
    response = clients[2].options(path)

    assert response.status_code == 200
    assert response.headers["Content-Type"] == "application/json"
