"""What surrounds a public view has the same effect with and without the fast path."""

import pytest
from django.contrib.auth.models import Group
from django.core.checks import run_checks
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpResponse
from django.test import Client, RequestFactory
from django.urls import path
from django.utils import timezone, translation
from rest_framework.generics import GenericAPIView
from rest_framework.response import Response

from service_runtime.caching.responses import cached_response
from tests.fast_path import views
from tests.fast_path.responses import is_fast

pytestmark = [pytest.mark.redis, pytest.mark.django_db(transaction=True)]


class Zoned(GenericAPIView):
    queryset = Group.objects.all()

    @cached_response(Group, public=True)
    def get(self, request):
        zone = timezone.get_current_timezone_name()
        return Response({"zone": zone, "language": translation.get_language()})


urlpatterns = [path("api/zoned/", Zoned.as_view())]


@pytest.fixture(autouse=True)
def _project(settings):
    settings.ROOT_URLCONF = __name__


def above(settings, *names):
    paths = [f"{__name__}.{name}" for name in names]
    settings.MIDDLEWARE = [*paths, *settings.MIDDLEWARE]
    # Without this, functions turn the fast path off.
    settings.FAST_PATH_MIDDLEWARE = [path for path in paths if path.endswith("s")]
    return Client()


class LockMiddleware:
    """Denies requests by a hook that Django calls only before it calls a view."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        return self.get_response(request)

    def process_view(self, request, view, args, kwargs):
        return HttpResponse(status=403) if "X-Deny" in request.headers else None


def lock(get_response):
    return LockMiddleware(get_response)


@pytest.mark.parametrize("name", ["LockMiddleware", "lock"])
def test_process_view_of_middleware_above_is_called(settings, name):
    client = above(settings, name)
    for _ in range(2):
        assert client.get("/api/zoned/").status_code == 200
    assert client.get("/api/zoned/", headers={"X-Deny": "1"}).status_code == 403
    [warning] = [each for each in run_checks(tags=["caching"]) if each.id == "caching.W001"]
    assert name in warning.msg


def zones(get_response):
    def middleware(request):
        with timezone.override(request.headers.get("X-Zone", "UTC")):
            return get_response(request)

    return middleware


def languages(get_response):
    def middleware(request):
        with translation.override(request.headers.get("X-Language", "en")):
            return get_response(request)

    return middleware


@pytest.mark.parametrize(
    ("middleware", "header", "values"),
    [
        ("zones", "X-Zone", ["Asia/Tokyo", "Europe/Berlin"]),
        ("languages", "X-Language", ["de", "fr"]),
    ],
)
def test_zone_or_language_of_middleware_above_selects_the_response(
    settings, middleware, header, values
):
    client = above(settings, middleware)
    for _ in range(4):
        for value in values:
            response = client.get("/api/zoned/", headers={header: value})
            assert value in response.json().values()
    assert is_fast(response)


def urlconfs(get_response):
    def middleware(request):
        if "X-Site" in request.headers:
            request.urlconf = (path("api/zoned/", views.Unthrottled.as_view()),)
        return get_response(request)

    return middleware


def test_url_configuration_of_middleware_above_selects_the_view(settings):
    client = above(settings, "urlconfs")
    for _ in range(4):
        assert "zone" in client.get("/api/zoned/").json()
        assert "groups" in client.get("/api/zoned/", headers={"X-Site": "1"}).json()


def test_path_without_a_slash_is_another_path():
    handler = WSGIHandler()
    statuses = []
    for name in ("/api/zoned/", "/api/zoned/", "/api/zoned/", "a/pi/zoned/"):
        environ = RequestFactory().get("/").environ | {"PATH_INFO": name}
        handler(environ, lambda status, headers: statuses.append(status[:3]))  # type: ignore[arg-type]
    assert statuses == ["200", "200", "200", "404"]


def test_headers_are_those_of_the_middleware(settings):
    name = "service_runtime.http.requests.CommonMiddleware"
    settings.MIDDLEWARE = [each for each in settings.MIDDLEWARE if each != name]
    client = Client()
    first, *_, last = [client.get("/api/zoned/") for _ in range(3)]
    assert is_fast(last)
    assert [*last.headers] == [*first.headers]


def test_session_middleware_above_has_the_same_effect(settings):
    name = "django.contrib.sessions.middleware.SessionMiddleware"
    settings.MIDDLEWARE = [name, *(each for each in settings.MIDDLEWARE if each != name)]
    client = Client()
    varies = [client.get("/api/zoned/").headers["Vary"] for _ in range(3)]
    assert len({*varies}) == 1
