"""A cached response does not depend on the caller, however its view is written."""

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
    """A response with any header, which varies on a value and a header."""

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
    """A response per caller that reads the cookies."""

    @cached_response(Group)
    def get(self, request):
        return Response({"cart": request.COOKIES.get("cart")})


class NamedCookies(View):
    @cached_response(Group, vary_on="Cookie")
    def get(self, request):
        cart = request.COOKIES.get("cart"), request.headers.get("Cookie")
        return Response({"cart": cart, "call": next(calls)})


class OwnCredentials(View):
    """A response per caller that reads the credentials itself."""

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
def test_vary_on_does_not_make_uncacheable_headers_cacheable(view, header):
    assert not is_hit(f"/{view}/{header}/")


def test_private_response_is_never_shared():
    assert not is_hit("/for-all/Cache-Control/private/")
    assert not is_hit("/cookie/")


def test_vary_on_a_header_separates_responses():
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
def test_shared_response_cannot_vary_on_credentials(header):
    with pytest.raises(TypeError, match="remove shared=True"):
        cached_response(Group, shared=True, vary_on=header)


@pytest.mark.parametrize("what", ["authorization", "environ", "Django's", "cookie"])
def test_shared_response_is_computed_without_credentials(what):
    client = APIClient()
    client.cookies["theme"] = "dark"
    responses_ = [
        client.get(f"/reads/{what}/", headers={"Authorization": name}) for name in ("ada", "grace")
    ]

    assert [response.json() for response in responses_] == [{"found": None}] * 2


def test_shared_response_cannot_read_cookies():
    client = APIClient()
    client.cookies["theme"] = "dark"

    with pytest.raises(ImproperlyConfigured, match=r"Reads\.get .* reads the cookies"):
        client.get("/reads/cookies/")


def test_shared_response_cannot_read_the_user_that_django_cached(client_of):
    with pytest.raises(ImproperlyConfigured, match=r"Reads\.get .* reads the user"):
        client_of("ada").get("/reads/user/")


def test_cookies_are_part_of_the_key_or_hidden():
    clients = [APIClient() for _ in range(2)]
    for number, client in enumerate(clients):
        client.cookies["cart"] = str(number)
        with pytest.raises(ImproperlyConfigured, match=r"OwnCookies\.get .* Add vary_on='Cookie'"):
            client.get("/own-cookies/")
    carts = [client.get("/named-cookies/").json() for client in clients]

    assert [cart["cart"] for cart in carts] == [["0", "cart=0"], ["1", "cart=1"]]
    assert [client.get("/named-cookies/").json() for client in clients] == carts


def test_credentials_without_an_authenticator_are_part_of_the_key():
    def fetch(key):
        return APIClient().get("/own-credentials/", headers={"Authorization": key}).json()

    found = {key: fetch(f"Key {key}") for key in ("a", "b")}
    assert {key: body["key"] for key, body in found.items()} == {"a": "Key a", "b": "Key b"}
    assert {key: fetch(f"Key {key}") for key in found} == found


def test_vary_on_a_row_uses_its_primary_key():
    found = [APIClient().get("/tenants/", headers={"X-Tenant": pk}).json()["call"] for pk in "121"]

    assert found[0] == found[2] != found[1]


def test_public_page_is_computed_without_cookies():
    client = Client()
    client.cookies["theme"] = "dark"
    body = client.get("/page/").content

    assert body.startswith(b"None None ")
    assert Client().get("/page/").content == body


@pytest.mark.parametrize(
    "headers", [{"CONTENT_LENGTH": "8"}, {"HTTP_TRANSFER_ENCODING": "chunked"}]
)
def test_request_with_a_body_bypasses_the_cache(headers):
    client = APIClient()
    first = client.get("/own/").content
    body = {"data": '{"a": 1}', "content_type": "application/json", **headers}

    assert client.generic("GET", "/own/", **body).json()["data"] == {"a": 1}
    assert client.get("/own/").content == first
    page = Client().get("/page/").content
    assert Client().generic("GET", "/page/", "body", **headers).content != page


def test_model_without_a_cacheops_entry_is_found_at_startup(monkeypatch):
    declared: list = []
    monkeypatch.setattr(checks, "declared", declared)
    monkeypatch.setattr(dependencies, "declared", declared)

    @cached_response(Group, Session)
    def get(self, request): ...

    (message,) = checks.check_dependencies()
    assert message.id == "caching.E003"
    assert "get: CACHEOPS has no entry for sessions.Session" in message.msg


def test_queryset_of_a_model_without_a_cacheops_entry_is_not_cached(caplog):
    responses._report.cache_clear()
    with caplog.at_level(logging.ERROR):
        assert not is_hit("/sessions/")

    (record,) = caplog.records
    assert "CACHEOPS has no entry for sessions.Session" in record.message
