"""A caller whom something else than this request's headers authenticates is not anonymous."""

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.test import Client
from django.urls import path
from rest_framework.authentication import RemoteUserAuthentication
from rest_framework.generics import GenericAPIView
from rest_framework.response import Response
from rest_framework.test import APIClient

from service_runtime.caching.responses import cached_response
from service_runtime.throttling import AnonRateThrottle, UserRateThrottle

pytestmark = [pytest.mark.redis, pytest.mark.django_db(transaction=True)]


class View(GenericAPIView):
    queryset = Group.objects.all()

    @cached_response(Group, public=True)
    def get(self, request):
        return Response({})


class ForAnonymous(View):
    throttle_classes = [AnonRateThrottle]


class ForUsers(View):
    authentication_classes = [RemoteUserAuthentication]
    throttle_classes = [UserRateThrottle]


urlpatterns = [
    path("api/anonymous/", ForAnonymous.as_view()),
    path("api/users/", ForUsers.as_view()),
]


@pytest.fixture(autouse=True)
def _project(settings, set_rates):
    settings.ROOT_URLCONF = __name__
    set_rates(anon="3/hour", user="3/hour")


def users(get_response):
    def middleware(request):
        if name := request.headers.get("X-User"):
            request.user = get_user_model().objects.get(username=name)
        return get_response(request)

    return middleware


def exhaust(client, url):
    """Learn how to deny an anonymous client."""
    assert [client.get(url).status_code for _ in range(5)] == [200] * 3 + [429] * 2


def test_user_of_middleware_above_is_counted_as_that_user(settings):
    get_user_model().objects.create_user("ada")
    name = "django.contrib.auth.middleware.AuthenticationMiddleware"
    settings.MIDDLEWARE = [each for each in settings.MIDDLEWARE if each != name]
    settings.MIDDLEWARE.insert(0, f"{__name__}.users")
    settings.FAST_PATH_MIDDLEWARE = [f"{__name__}.users"]
    client = Client()
    exhaust(client, "/api/anonymous/")
    for _ in range(4):
        assert client.get("/api/anonymous/", headers={"X-User": "ada"}).status_code == 200


def test_user_of_the_web_server_is_counted_as_that_user(client, settings):
    settings.AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.RemoteUserBackend"]
    exhaust(client, "/api/users/")
    assert client.get("/api/users/", REMOTE_USER="ada").status_code == 200


def test_forced_authentication_of_tests_is_not_skipped(settings):
    client = APIClient()
    exhaust(client, "/api/anonymous/")
    client.force_authenticate(get_user_model().objects.create_user("ada"))
    for _ in range(4):
        assert client.get("/api/anonymous/").status_code == 200
