"""What a cached response must not depend on, however a view is written."""

import itertools
import logging

import pytest
from django.contrib.auth.models import Group
from django.contrib.sessions.models import Session
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpResponse
from django.test import Client
from django.urls import path
from rest_framework.permissions import AllowAny
from rest_framework.response import Response
from rest_framework.test import APIClient
from rest_framework.views import APIView

from service_runtime.caching import checks, dependencies, responses
from service_runtime.caching.pages import public_page
from service_runtime.caching.responses import cached_response
from tests.shapes.models import City

pytestmark = [pytest.mark.redis, pytest.mark.django_db(transaction=True)]
calls = itertools.count()


class View(APIView):
    permission_classes = [AllowAny]


class Varying(View):
    """A response with any headers, which also varies on a value and a header."""

    @cached_response(Group, vary_on=["X-Tenant", lambda request: request.query_params.get("v")])
    def get(self, request, header, value):
        return Response({"call": next(calls)}, headers={header: value})


class VaryingForAll(View):
    @cached_response(Group, shared=True, vary_on=lambda request: request.headers.get("X-Tenant"))
    def get(self, request, header, value):
        return Response({"call": next(calls)}, headers={header: value})


class WithCookie(View):
    @cached_response(Group, vary_on="X-Tenant")
    def get(self, request):
        response = Response({"call": next(calls)})
        response.set_cookie("a", "b")
        return response


class Reads(View):
    @cached_response(Group, shared=True)
    def get(self, request, what):
        django = request._request
        reads = {
            "authorization": lambda: request.headers.get("Authorization"),
            "environ": lambda: request.META.get("HTTP_AUTHORIZATION"),
            "Django's": lambda: django.headers.get("Authorization"),
            "cookie": lambda: request.headers.get("Cookie"),
            "cookies": lambda: request.COOKIES.get("theme"),
            "user": lambda: django._cached_user.pk,
        }
        return Response({"found": reads[what]()})


class OwnCookies(View):
    """A response for each caller, which also depends on cookies."""

    @cached_response(Group)
    def get(self, request):
        return Response({"cart": request.COOKIES.get("cart")})


class NamedCookies(View):
    @cached_response(Group, vary_on="Cookie")
    def get(self, request):
        cart = request.COOKIES.get("cart"), request.headers.get("Cookie")
        return Response({"cart": cart, "call": next(calls)})


class OwnCredentials(View):
    """One that reads credentials which no authenticator knows."""

    @cached_response(Group)
    def get(self, request):
        return Response({"key": request.headers.get("Authorization"), "call": next(calls)})


class Tenants(View):
    @cached_response(Group, vary_on=lambda request: City(pk=request.headers["X-Tenant"]))
    def get(self, request):
        return Response({"call": next(calls)})


class Own(View):
    @cached_response(Group)
    def get(self, request):
        return Response({"data": request.data, "call": next(calls)})


class OfSessions(View):
    @cached_response(lambda view: Session.objects.all(), shared=True)
    def get(self, request):
        return Response({"call": next(calls)})


@public_page(Group)
def page(request):
    theme, header = request.COOKIES.get("theme"), request.headers.get("Cookie")
    return HttpResponse(f"{theme} {header} {next(calls)}")


urlpatterns = [
    path("varying/<header>/<path:value>/", Varying.as_view()),
    path("for-all/<header>/<path:value>/", VaryingForAll.as_view()),
    path("cookie/", WithCookie.as_view()),
    path("reads/<what>/", Reads.as_view()),
    path("own-cookies/", OwnCookies.as_view()),
    path("named-cookies/", NamedCookies.as_view()),
    path("own-credentials/", OwnCredentials.as_view()),
    path("tenants/", Tenants.as_view()),
    path("own/", Own.as_view()),
    path("sessions/", OfSessions.as_view()),
    path("page/", page),
]


@pytest.fixture(autouse=True)
def _urls(settings):
    settings.ROOT_URLCONF = __name__


def is_hit(url, **headers):
    """Return whether the second of two requests is served from the cache."""
    client = APIClient()
    return len({client.get(url, headers=headers).content for _ in range(2)}) == 1


@pytest.mark.parametrize(
    "header",
    ["Cache-Control/no-store", "Vary/X-Other", "Vary/*", "Content-Encoding/gzip", "Set-Cookie/a=b"],
)
@pytest.mark.parametrize("view", ["varying", "for-all"])
def test_varying_on_something_leaves_the_rules_of_headers_in_force(view, header):
    assert not is_hit(f"/{view}/{header}/")


def test_a_private_response_is_never_shared():
    assert not is_hit("/for-all/Cache-Control/private/")
    assert not is_hit("/cookie/")


def test_a_header_that_is_named_varies_the_response():
    url, client = "/varying/Vary/X-Tenant/", APIClient()
    bodies = {
        (tenant, value): client.get(f"{url}?v={value}", headers={"X-Tenant": tenant}).json()["call"]
        for tenant in ("a", "b")
        for value in (1, 2)
    }

    assert len(set(bodies.values())) == 4
    assert is_hit(url, **{"X-Tenant": "a"})
    assert "X-Tenant" in client.get("/varying/X-Other/1/").headers["Vary"]


@pytest.mark.parametrize("header", ["Authorization", "cookie"])
def test_a_shared_response_cannot_vary_on_credentials(header):
    with pytest.raises(TypeError, match="leave shared out"):
        cached_response(Group, shared=True, vary_on=header)


@pytest.mark.parametrize("what", ["authorization", "environ", "Django's", "cookie"])
def test_a_shared_response_is_computed_without_the_caller_s_credentials(what):
    client = APIClient()
    client.cookies["theme"] = "dark"
    responses_ = [
        client.get(f"/reads/{what}/", headers={"Authorization": name}) for name in ("ada", "grace")
    ]

    assert [response.json() for response in responses_] == [{"found": None}] * 2


def test_a_shared_response_may_not_read_cookies():
    client = APIClient()
    client.cookies["theme"] = "dark"

    with pytest.raises(ImproperlyConfigured, match=r"Reads\.get .* reads the cookies"):
        client.get("/reads/cookies/")


def test_a_shared_response_may_not_read_the_user_that_django_remembers(client_of):
    with pytest.raises(ImproperlyConfigured, match=r"Reads\.get .* reads the user"):
        client_of("ada").get("/reads/user/")


def test_the_cookies_of_a_response_are_part_of_its_key_or_hidden():
    clients = [APIClient() for _ in range(2)]
    for number, client in enumerate(clients):
        client.cookies["cart"] = str(number)
        with pytest.raises(ImproperlyConfigured, match=r"OwnCookies\.get .* Add vary_on='Cookie'"):
            client.get("/own-cookies/")
    carts = [client.get("/named-cookies/").json() for client in clients]

    assert [cart["cart"] for cart in carts] == [["0", "cart=0"], ["1", "cart=1"]]
    assert [client.get("/named-cookies/").json() for client in clients] == carts


def test_credentials_that_no_authenticator_knows_are_part_of_the_key():
    def ask(key):
        return APIClient().get("/own-credentials/", headers={"Authorization": key}).json()

    answers = {key: ask(f"Key {key}") for key in ("a", "b")}
    assert {key: answer["key"] for key, answer in answers.items()} == {"a": "Key a", "b": "Key b"}
    assert {key: ask(f"Key {key}") for key in answers} == answers


def test_rows_that_a_response_varies_on_are_told_apart_by_their_key():
    found = [APIClient().get("/tenants/", headers={"X-Tenant": pk}).json()["call"] for pk in "121"]

    assert found[0] == found[2] != found[1]


def test_a_public_page_is_computed_without_cookies():
    client = Client()
    client.cookies["theme"] = "dark"
    body = client.get("/page/").content

    assert body.startswith(b"None None ")
    assert Client().get("/page/").content == body


@pytest.mark.parametrize(
    "headers", [{"CONTENT_LENGTH": "8"}, {"HTTP_TRANSFER_ENCODING": "chunked"}]
)
def test_a_request_with_a_body_bypasses_the_cache(headers):
    client = APIClient()
    first = client.get("/own/").content
    body = {"data": '{"a": 1}', "content_type": "application/json", **headers}

    assert client.generic("GET", "/own/", **body).json()["data"] == {"a": 1}
    assert client.get("/own/").content == first
    page = Client().get("/page/").content
    assert Client().generic("GET", "/page/", "body", **headers).content != page


def test_a_model_without_an_entry_is_found_at_startup(monkeypatch):
    declared: list = []
    monkeypatch.setattr(checks, "declared", declared)
    monkeypatch.setattr(dependencies, "declared", declared)

    @cached_response(Group, Session)
    def get(self, request): ...

    (message,) = checks.check_dependencies()
    assert message.id == "caching.E003"
    assert "get: CACHEOPS has no entry for sessions.Session" in message.msg


def test_a_queryset_of_a_model_without_an_entry_is_served_uncached(caplog):
    responses._report.cache_clear()
    with caplog.at_level(logging.ERROR):
        assert not is_hit("/sessions/")

    (record,) = caplog.records
    assert "CACHEOPS has no entry for sessions.Session" in record.message
