"""No request that a client can make is a failure of the service."""

import re
from io import BytesIO
from urllib.parse import quote

import pytest
from django.contrib.auth import get_user_model
from django.db import transaction
from django.test import Client

from service_runtime.routes import all_views
from service_runtime.serving.wsgi import get_application

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "NEW"]
VALUES = ["\0", "9" * 20, "-1", "x", "\N{ARABIC-INDIC DIGIT THREE}"]
# Parameters of an API and of the admin's lists, forms and autocompletion.
PARAMETERS = [
    *["page", "format", "q", "p", "o", "e", "_popup", "_to_field", "term", "app_label"],
    *["username", "is_staff__exact", "date_joined__year", "id__in", "user", "groups__id__exact"],
    *["_changelist_filters", "name__startswith"],
]
CONTENT_TYPES = [
    *["text/plain; charset=rot13", "text/plain; charset=undefined", "a; b*=nothing'en'x", ";"],
    *["multipart/form-data", "multipart/form-data; boundary=x; charset=punycode", "\0", "/"],
    *["application/x-www-form-urlencoded; charset=utf-16", "application/json; charset=base64"],
]
# Without the route that ends a session.
ROUTES = [route for route, _ in all_views() if "^" not in route and "logout" not in route]


@pytest.fixture
def superuser(db, set_rates):
    """Return a client signed in as a superuser, without limits."""
    set_rates(login="1000000/hour", login_username="1000000/hour")
    client = Client(raise_request_exception=False)
    client.force_login(get_user_model().objects.create_superuser("root"))
    return client


@pytest.fixture(scope="module")
def application():
    return get_application()


def status_of(client, method, url, **options):
    """Return the status of a response, and roll back what the request has changed."""
    with transaction.atomic():
        response = client.generic(method, url, **options)
        transaction.set_rollback(True)
    return response.status_code


@pytest.mark.parametrize("method", METHODS)
def test_every_method_on_every_route(superuser, failures, method):
    for route in ROUTES:
        url = "/" + re.sub(r"<[^>]*>", "1", route)
        for client in (superuser, Client(raise_request_exception=False)):
            status = status_of(client, method, url, content_type="application/json")
            assert status < 500, (url, failures)


@pytest.mark.parametrize("value", VALUES)
def test_every_value_in_every_path_and_parameter(superuser, failures, value):
    text = quote(value)
    for route in ROUTES:
        url = "/" + re.sub(r"<[^>]*>", text, route)
        urls = [url] if "<" in route else [f"{url}?{name}={text}" for name in PARAMETERS]
        for found in urls:
            assert status_of(superuser, "GET", found) < 500, (found[:200], failures)


@pytest.mark.parametrize("content_type", CONTENT_TYPES)
@pytest.mark.parametrize("path", ["/nothing/", "/admin/login/", "/api/token/", "/api/no/"])
def test_every_content_type(db, failures, settings, application, path, content_type):
    """Without Django's test client: an exception that escapes the application is a 500 too."""
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
