from io import BytesIO

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.contrib.sessions.models import Session
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import path
from rest_framework.response import Response
from rest_framework.views import APIView

from service_runtime.http import requests
from service_runtime.http.sessions import SessionStore


class Find(APIView):
    permission_classes = []

    def post(self, request):
        return Response(get_user_model().objects.filter(**request.data).count())


def count(request):
    """Return the number of users that match the query string, which is not validated."""
    return HttpResponse(str(get_user_model().objects.filter(**request.GET.dict()).count()))


def type_error(request):
    Permission(**{"content_type": 7})


def value_error(request):
    int("seven")


urlpatterns = [
    path("api/find/", Find.as_view()),
    path("count/", count),
    path("type-error/", type_error),
    path("value-error/", value_error),
]
pytestmark = pytest.mark.urls(__name__)


def is_session(key):
    return SessionStore(key).session_key is not None


@pytest.mark.parametrize(
    "key", ["\0\0abcdefghijklmnop", "ABCDEFGHIJ", "abcdefg", "a" * 41, "a" * 9 + "\n", "é" * 9, ""]
)
def test_a_malformed_session_key_is_ignored(key):
    assert not is_session(key)


def test_an_issued_session_key_is_accepted(db):
    store = SessionStore()
    store.create()

    assert is_session(store.session_key)
    assert SessionStore(store.session_key).load() == {}


@pytest.mark.urls(None)
@pytest.mark.parametrize("path", ["/admin/", "/admin/login/"])
@pytest.mark.parametrize("cookie", [r'"\000\000abcdefghijklmnop"', "\0" * 9, "é" * 32])
def test_a_malformed_session_cookie_reaches_no_database(db, client, settings, cookie, path):
    settings.ROOT_URLCONF = "tests.urls"

    with CaptureQueriesContext(connection) as queries:
        response = client.get(path, HTTP_COOKIE=f"{settings.SESSION_COOKIE_NAME}={cookie}")

    assert response.status_code in {200, 302}
    assert not [q for q in queries.captured_queries if Session._meta.db_table in q["sql"]]


# Values that the databases, or Django's conversions for them, reject.
UNSTORABLE = [
    ("count/?id=x", None),
    ("count/?date_joined__year=-1", None),
    ("count/?date_joined__year=99999999999999999999", None),
    ("api/find/", b'{"username": "\\ud800"}'),
    ("api/find/", b'{"id": "\\u0000"}'),
]


@pytest.mark.parametrize(("url", "body"), UNSTORABLE)
def test_a_value_that_no_database_can_store_is_a_400(db, caplog, url, body):
    client = Client(raise_request_exception=False)

    method = "POST" if body else "GET"
    response = client.generic(method, f"/{url}", body or b"", content_type="application/json")

    assert response.status_code == 400
    assert {record.levelname for record in caplog.records} == {"WARNING"}


@pytest.mark.parametrize("url", ["/count/?username=%00", "/count/?id=99999999999999999999"])
def test_a_value_that_one_database_cannot_store_is_not_a_500(db, url):
    response = Client(raise_request_exception=False).get(url)

    is_postgresql_and_nul = connection.vendor == "postgresql" and "%00" in url
    assert response.status_code == (400 if is_postgresql_and_nul else 200)


@pytest.mark.parametrize("url", ["/type-error/", "/value-error/"])
def test_errors_of_the_view_itself_remain_a_500(db, url):
    assert Client(raise_request_exception=False).get(url).status_code == 500


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain; charset=rot13",
        "text/plain; charset=undefined",
        "text/plain; charset=punycode",
        "text/plain; charset=\0",
        "multipart/form-data; boundary=x; charset=idna",
        "a/b; c*=nothing'en'x",
    ],
)
def test_an_unsupported_content_type_is_ignored(content_type):
    request = requests.WSGIRequest(environ(CONTENT_TYPE=content_type))

    assert request.content_type == ""
    assert request.GET.dict() == {"a": "1"}
    assert not request.POST


@pytest.mark.parametrize(
    ("content_type", "found"),
    [
        ("application/json", "application/json"),
        ("application/json; charset=ISO-8859-1", "application/json"),
        ("text/plain; charset=nothing", "text/plain"),
        ("multipart/form-data; boundary=x", "multipart/form-data"),
        ("", ""),
    ],
)
def test_other_content_types_are_unchanged(content_type, found):
    assert requests.WSGIRequest(environ(CONTENT_TYPE=content_type)).content_type == found


def environ(**values):
    """Return the WSGI environment of a form with a query string."""
    return {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/count/",
        "QUERY_STRING": "a=1",
        "SERVER_NAME": "testserver",
        "SERVER_PORT": "80",
        "wsgi.input": BytesIO(b"--x--\r\n"),
        "CONTENT_LENGTH": "7",
        **values,
    }
