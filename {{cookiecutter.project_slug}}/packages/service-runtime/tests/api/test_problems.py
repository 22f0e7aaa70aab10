from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError
from django.http import HttpResponse, UnreadablePostError
from django.test import Client
from django.urls import path
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.permissions import IsAuthenticated
from rest_framework.renderers import StaticHTMLRenderer
from rest_framework.response import Response
from rest_framework.views import APIView

from service_runtime.api import problems
from service_runtime.throttling import ScopedRateThrottle

PROBLEM = {"Accept": "application/problem+json, */*;q=0.5"}


class Limited(APIView):
    throttle_classes = [ScopedRateThrottle]
    throttle_scope = ["one", "two"]
    permission_classes = []

    def get(self, request):
        return Response({"status": "ok"})


class Page(APIView):
    renderer_classes = [StaticHTMLRenderer]
    permission_classes = []

    def get(self, request):
        return Response("<p>Hello")


class Private(Page):
    permission_classes = [IsAuthenticated]


class Invalid(APIView):
    permission_classes = []

    def get(self, request):
        raise ValidationError({"title": ["This is not a title."]})


class Incomplete(Invalid):
    def get(self, request):
        raise UnreadablePostError


class Overtaken(Invalid):
    def get(self, request):
        raise IntegrityError("UNIQUE constraint failed: blog.slug")


class Inconsistent(Invalid):
    def get(self, request):
        raise IntegrityError("CHECK constraint failed: positive")


def broken(request):
    raise RuntimeError("secret")


def forbidden(request):
    raise PermissionDenied("secret")


def form(request):
    return HttpResponse(request.POST.get("a"))


VIEWS: dict[str, Any] = {
    "broken": broken,
    "forbidden": forbidden,
    "form": form,
    "incomplete": Incomplete.as_view(),
    "inconsistent": Inconsistent.as_view(),
    "overtaken": Overtaken.as_view(),
    "invalid": Invalid.as_view(),
    "limited": Limited.as_view(),
    "page": Page.as_view(),
    "private": Private.as_view(),
}
urlpatterns = [
    path(f"{prefix}/{name}/", view) for prefix in ("api", "pages") for name, view in VIEWS.items()
]
handler400, handler403 = problems.bad_request, problems.permission_denied
handler404, handler500 = problems.not_found, problems.server_error
pytestmark = [pytest.mark.urls(__name__), pytest.mark.django_db]

MANY_FIELDS = "&".join(f"{number}=" for number in range(1001))
MULTIPART = {"content_type": "multipart/form-data"}
FORM = {"content_type": "application/x-www-form-urlencoded"}
ERRORS: dict[str, tuple[int, str, str, dict[str, Any]]] = {
    "unmatched": (404, "GET", "/api/nothing/", {}),
    "unmatched, with a form": (404, "POST", "/api/nothing/", {}),
    "bad host": (400, "GET", "/api/limited/", {"HTTP_HOST": "evil.example"}),
    "too many fields": (400, "POST", "/api/form/", {"data": MANY_FIELDS, **FORM}),
    "too many parameters": (400, "GET", f"/api/limited/?{MANY_FIELDS}", {}),
    "malformed form": (400, "POST", "/api/form/", {"data": "-", **MULTIPART}),
    "csrf": (403, "POST", "/api/form/", FORM),
    "plain view's denial": (403, "GET", "/api/forbidden/", {}),
    "plain view's failure": (500, "GET", "/api/broken/", {}),
    "method": (405, "DELETE", "/api/limited/", {}),
    "method of a page": (405, "DELETE", "/api/page/", {}),
    "page of a user": (401, "GET", "/api/private/", {}),
    "incomplete body": (400, "GET", "/api/incomplete/", {}),
    "concurrent write": (409, "GET", "/api/overtaken/", {}),
    "violated constraint": (500, "GET", "/api/inconsistent/", {}),
    "media type": (406, "GET", "/api/limited/", {"HTTP_ACCEPT": "image/png"}),
}


@pytest.fixture(params=ERRORS)
def fail(request, set_rates):
    """Return the status of an error, and a function that causes it."""
    set_rates(one="1000/h", two="1000/h")
    status, method, url, options = ERRORS[request.param]
    client = Client(enforce_csrf_checks=request.param == "csrf", raise_request_exception=False)
    return status, lambda **headers: client.generic(method, url, **{**options, **headers})


def test_every_api_error_is_json(fail):
    status, cause = fail

    response = cause()

    assert response.status_code == status
    assert response.headers["Content-Type"] == "application/json"
    assert "Accept" in response.headers["Vary"]
    assert list(response.json()) == ["detail"]
    assert "secret" not in response.content.decode()


def test_every_api_error_is_problem_details_for_clients_that_accept_it(fail):
    status, cause = fail
    accept = "image/png, application/problem+json" if status == 406 else PROBLEM["Accept"]

    response = cause(HTTP_ACCEPT=accept)

    assert response.status_code == status
    assert response.headers["Content-Type"] == "application/problem+json"
    found = response.json()
    assert (found["type"], found["status"]) == ("about:blank", status)
    assert found["title"] == response.reason_phrase
    assert set(found) == {"type", "title", "status", "detail"}


def test_other_paths_have_html_pages(client):
    client.raise_request_exception = False

    for name, status in {"nothing": 404, "forbidden": 403, "broken": 500}.items():
        response = client.get(f"/pages/{name}/", headers=PROBLEM)

        assert response.status_code == status
        assert response.headers["Content-Type"].startswith("text/html")


@pytest.mark.parametrize(
    ("accept", "is_problem"),
    [
        ("application/problem+json", True),
        ("application/json;q=0.5, Application/Problem+JSON;q=0.9", True),
        ("application/json, application/problem+json;q=0", False),
        ("application/json, application/problem+json; q=0.0, */*", False),
        ("*/*", False),
        ("", False),
    ],
)
def test_problem_details_depend_on_the_accept_header(client, accept, is_problem):
    media_type = client.get("/api/nothing/", headers={"Accept": accept}).headers["Content-Type"]

    assert media_type == ("application/problem+json" if is_problem else "application/json")


def test_a_setting_enables_problem_details_for_all_clients(client, settings):
    settings.API_PROBLEM_DETAILS = True

    for url in ("/api/nothing/", "/api/invalid/", "/api/page/"):
        assert client.put(url).headers["Content-Type"] == "application/problem+json"


def test_invalid_values_are_reported_by_field(client):
    assert client.get("/api/invalid/").json() == {"title": ["This is not a title."]}
    assert client.get("/api/invalid/", headers=PROBLEM).json() == {
        "type": "about:blank",
        "title": "Bad Request",
        "status": 400,
        "detail": "Invalid input.",
        "errors": {"title": ["This is not a title."]},
    }


def test_a_429_names_the_violated_policies(client, set_rates):
    set_rates(one="9/h", two="9/10s;1/min")
    client.get("/api/limited/")

    response = client.get("/api/limited/", headers=PROBLEM)

    assert response.status_code == 429
    found = response.json()
    assert found["type"] == "https://iana.org/assignments/http-problem-types#quota-exceeded"
    assert found["violated-policies"] == ["two-60s"]
    assert '"two-60s";r=0' in response.headers["RateLimit"]
    assert "Retry-After" in response.headers


@pytest.mark.parametrize("path", ["/api/page/", "/api/limited/", "/pages/page/"])
def test_options_responds_whatever_the_view_renders(client, set_rates, path):
    set_rates(one="9/h", two="9/h")

    response = client.options(path)

    assert response.status_code == 200
    assert response.headers["Content-Type"] == "application/json"
    assert response.json()["name"]


def test_an_error_page_never_fails(caplog):
    """Django's error pages read the form, which can be malformed."""
    client = Client(enforce_csrf_checks=True, raise_request_exception=False)
    client.cookies["csrftoken"] = "a" * 32

    response = client.post("/pages/nothing/", b"", content_type="multipart/form-data")

    assert response.status_code == 404
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_a_failing_error_page_is_logged(client, caplog):
    def fail(request, exception):
        raise ZeroDivisionError

    handler = problems._handler(NotFound, fail)
    response = handler(client.get("/pages/nothing/").wsgi_request, None)

    assert response.status_code == 404
    assert "The page for status 404 failed" in caplog.messages


def test_an_exception_is_logged_once_with_its_stack(client, caplog):
    client.raise_request_exception = False

    client.get("/api/broken/")

    errors = [record.exc_info[0] for record in caplog.records if record.levelname == "ERROR"]
    assert errors == [RuntimeError]
