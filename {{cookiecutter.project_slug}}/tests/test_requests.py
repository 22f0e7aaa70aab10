"""No request that a client can make is a failure of the service."""

import re
import sys
from io import BytesIO
from urllib.parse import quote

import pytest
from django.contrib.auth import get_user_model
from django.core.signals import got_request_exception
from django.db import transaction
from django.test import Client
from knox.models import AuthToken
from service_runtime.routes import all_views

from {{ cookiecutter.project_slug }}.wsgi import application

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "NEW"]
VALUES = ["\0", "9" * 20, "-1", "x", "\N{ARABIC-INDIC DIGIT THREE}"]
# Parameters of the API and of the admin's lists, forms and autocompletion.
PARAMETERS = [
    *["author", "page", "format", "q", "p", "o", "e", "_popup", "_to_field", "term", "app_label"],
    *["username", "is_staff__exact", "date_joined__year", "id__in", "created_at__year", "title"],
    *["_changelist_filters", "name__startswith", "user", "groups__id__exact"],
]
CONTENT_TYPES = [
    *["text/plain; charset=rot13", "text/plain; charset=undefined", "a; b*=nothing'en'x", ";"],
    *["multipart/form-data", "multipart/form-data; boundary=x; charset=punycode", "\0", "/"],
    *["application/x-www-form-urlencoded; charset=utf-16", "application/json; charset=base64"],
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


@pytest.fixture
def failures():
    """Return a list that fills with the exceptions that Django makes a 500 of."""
    found = []

    def note(**kwargs):
        found.append(sys.exc_info()[1])

    got_request_exception.connect(note)
    yield found
    got_request_exception.disconnect(note)


def routes():
    """Return the routes of all views, without the one that ends a session."""
    return [route for route, _ in all_views() if "^" not in route and "logout" not in route]


def send(client, method, url, **options):
    """Return the status of a response; what the request has changed is undone."""
    with transaction.atomic():
        response = client.generic(method, url, **options)
        transaction.set_rollback(True)
    return response.status_code


def test_every_method_on_every_route(clients, failures):
    for route in routes():
        url = "/" + re.sub(r"<[^>]*>", "1", route)
        for method in METHODS:
            for client in clients:
                status = send(client, method, url, content_type="application/json")
                assert status < 500, (method, url, failures)


@pytest.mark.parametrize("value", VALUES)
def test_every_value_in_every_path_and_parameter(clients, failures, value):
    text = quote(value)
    for route in routes():
        url = "/" + re.sub(r"<[^>]*>", text, route)
        urls = [url] if "<" in route else []
        if not urls:
            urls = [f"{url}?{name}={text}" for name in PARAMETERS]
        for found in urls:
            status = send(clients[1], "GET", found)
            assert status < 500, (found[:200], failures)


@pytest.mark.parametrize("content_type", CONTENT_TYPES)
@pytest.mark.parametrize("path", ["/", "/nothing/", "/admin/login/", "/api/token/", "/api/no/"])
def test_every_content_type(db, failures, settings, path, content_type):
    """As gunicorn calls the application: an exception that escapes it is a 500 too."""
    token = "a" * 32
    statuses = []

    def start_response(status, headers, error=None):
        statuses.append(int(status[:3]))
        return statuses.append

    environ = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": path,
        "QUERY_STRING": "a=b",
        "CONTENT_TYPE": content_type,
        "CONTENT_LENGTH": "3",
        "HTTP_HOST": "testserver",
        "HTTP_COOKIE": f"{settings.CSRF_COOKIE_NAME}={token}",
        "HTTP_X_CSRFTOKEN": token,
        "SERVER_NAME": "testserver",
        "SERVER_PORT": "80",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.input": BytesIO(b"a=b"),
        "wsgi.url_scheme": "http",
    }

    application(environ, start_response)

    assert statuses[0] < 500, failures


@pytest.mark.parametrize("path", ["/api/docs/", "/api/schema/", "/api/token/"])
def test_options_are_json(clients, path):
    response = clients[2].options(path)

    assert response.status_code == 200
    assert response.headers["Content-Type"] == "application/json"
