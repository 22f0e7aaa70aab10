"""The root of the API lists what can be read without parameters."""

import pytest
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.test.utils import override_script_prefix
from django.urls import include, path
from rest_framework.generics import ListAPIView, RetrieveAPIView
from rest_framework.response import Response
from rest_framework.routers import DefaultRouter
from rest_framework.serializers import ModelSerializer
from rest_framework.views import APIView
from rest_framework.viewsets import ModelViewSet

from service_runtime.api.root import ApiRoot, sample_path
from tests import urls as test_urls


class UserSerializer(ModelSerializer):
    class Meta:
        model = User
        fields = ["username"]


class Users(ListAPIView):
    queryset = User.objects.all()
    serializer_class = UserSerializer


class UserDetail(RetrieveAPIView):
    queryset = User.objects.all()
    serializer_class = UserSerializer


class Members(ModelViewSet):
    queryset = User.objects.all()
    serializer_class = UserSerializer


class Totals(APIView):
    def get(self, request):
        return Response({})


router = DefaultRouter()
router.register("members", Members)
urlpatterns = [
    *test_urls.urlpatterns,
    path("api/", ApiRoot.as_view()),
    path("api/totals/", Totals.as_view()),
    path("api/users/<int:pk>/", UserDetail.as_view()),
    path("api/users/", Users.as_view()),
    path("api/teams/", include(router.urls)),
    path("api/plain/", lambda request: HttpResponse()),
    path("users/", Users.as_view()),
]
pytestmark = pytest.mark.urls(__name__)


def test_it_lists_the_urls_that_need_no_parameter(client):
    assert client.get("/api/").json() == {
        "totals": "http://testserver/api/totals/",
        "users": "http://testserver/api/users/",
        "teams/members": "http://testserver/api/teams/members/",
    }


def test_the_sample_is_the_first_list():
    assert sample_path() == "/api/users/"


@pytest.mark.urls("tests.urls")
def test_without_a_list_the_sample_is_the_root():
    assert sample_path() == "/api/"


def test_it_follows_the_prefix_of_the_service(client):
    with override_script_prefix("/service/"):
        found = client.get("/api/").json()

    assert found["users"] == "http://testserver/service/api/users/"
