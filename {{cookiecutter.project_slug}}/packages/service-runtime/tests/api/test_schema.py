"""The OpenAPI schema declares the errors and headers of every operation."""

import pytest
from django.contrib.auth.models import Group
from django.urls import path
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import generics, pagination, serializers, throttling
from rest_framework.authentication import BasicAuthentication, SessionAuthentication
from rest_framework.permissions import (
    AllowAny,
    DjangoModelPermissionsOrAnonReadOnly,
    IsAdminUser,
    IsAuthenticated,
)
from rest_framework.response import Response
from rest_framework.views import APIView

from service_runtime.throttling import ScopedRateThrottle, UserRateThrottle


class GroupSerializer(serializers.ModelSerializer):
    class Meta:
        model = Group
        fields = ["id"]


class Groups(generics.ListCreateAPIView):
    queryset = Group.objects.all()
    serializer_class = GroupSerializer
    pagination_class = pagination.PageNumberPagination
    permission_classes = [DjangoModelPermissionsOrAnonReadOnly]


class GroupDetail(generics.RetrieveAPIView):
    queryset = Group.objects.all()
    serializer_class = GroupSerializer
    authentication_classes = [BasicAuthentication]
    permission_classes = [IsAuthenticated]


class Open(APIView):
    permission_classes = [AllowAny]
    authentication_classes = []

    @extend_schema(responses={204: None, 406: None})
    def get(self, request):
        return Response(status=204)

    @extend_schema(parameters=[OpenApiParameter("q")], responses={204: None})
    def delete(self, request):
        return Response(status=204)


class Session(Open):
    authentication_classes = [SessionAuthentication]


class Admin(Open):
    authentication_classes = [BasicAuthentication]
    permission_classes = [IsAdminUser]


class Scoped(Open):
    throttle_classes = [ScopedRateThrottle]
    throttle_scope = {"GET": "read"}


class Users(Open):
    throttle_classes = [UserRateThrottle]


class ForeignThrottle(throttling.UserRateThrottle):
    rate = "9/h"


class Foreign(Open):
    throttle_classes = [ForeignThrottle]


VIEWS = {
    "groups": Groups,
    "open": Open,
    "session": Session,
    "admin": Admin,
    "scoped": Scoped,
    "users": Users,
    "foreign": Foreign,
}
urlpatterns = [path(f"{name}/", view.as_view()) for name, view in VIEWS.items()]
urlpatterns.append(path("groups/<int:pk>/", GroupDetail.as_view()))
pytestmark = pytest.mark.urls(__name__)


@pytest.fixture
def schema(settings):
    """Return a function that generates the schema, with settings."""

    def generate(**changed):
        for name, value in changed.items():
            setattr(settings, name, value)
        return SchemaGenerator(patterns=urlpatterns).get_schema(public=True)

    return generate


def statuses(schema, path, method="get"):
    return " ".join(schema["paths"][path][method]["responses"])


@pytest.mark.parametrize(
    ("path", "method", "expected"),
    [
        ("/groups/", "get", "200 401 404 406"),
        ("/groups/", "post", "201 400 401 403 406 409 415"),
        ("/groups/{id}/", "get", "200 401 404 406"),
        ("/open/", "get", "204 406"),
        ("/open/", "delete", "204 400 406"),
        ("/session/", "get", "204 403 406"),
        ("/session/", "delete", "204 400 403 406"),
        ("/admin/", "get", "204 401 403 406"),
        ("/scoped/", "get", "204 406 429 503"),
        ("/scoped/", "delete", "204 400 406"),
        ("/users/", "get", "204 406 429 503"),
        ("/foreign/", "get", "204 406 429 503"),
    ],
)
def test_an_operation_declares_the_errors_of_its_view(schema, path, method, expected):
    assert statuses(schema(), path, method) == expected


def test_a_declared_status_is_not_changed(schema):
    found = schema()["paths"]

    assert found["/open/"]["get"]["responses"]["406"] == {"description": "No response body"}
    assert "content" in found["/open/"]["delete"]["responses"]["406"]


def test_anonymous_clients_are_allowed_where_the_permissions_allow_them(schema):
    found = schema()["paths"]

    assert {} in found["/groups/"]["get"]["security"]
    assert {} not in found["/groups/"]["post"]["security"]
    assert {} not in found["/groups/{id}/"]["get"]["security"]
    assert found["/session/"]["get"]["security"].count({}) == 1
    assert {} not in found["/admin/"]["get"]["security"]


def test_errors_are_json_or_problem_details(schema):
    found = schema()
    responses = found["paths"]["/groups/"]["post"]["responses"]
    reference = "#/components/schemas/"

    assert responses["400"]["description"] == "Bad Request"
    assert responses["400"]["content"] == {
        "application/problem+json": {"schema": {"$ref": f"{reference}ProblemDetails"}},
        "application/json": {"schema": {"$ref": f"{reference}ErrorMessages"}},
    }
    assert responses["401"]["content"]["application/json"] == {
        "schema": {"$ref": f"{reference}ErrorDetail"}
    }
    assert {"ErrorDetail", "ErrorMessages", "ProblemDetails"} <= set(found["components"]["schemas"])


def test_a_setting_leaves_problem_details_only(schema):
    found = schema(API_PROBLEM_DETAILS=True)

    assert list(found["paths"]["/groups/"]["post"]["responses"]["400"]["content"]) == [
        "application/problem+json"
    ]
    assert {"ErrorMessages", "ProblemDetails"} <= set(found["components"]["schemas"])


DRAFT = ["RateLimit", "RateLimit-Policy"]
LEGACY = ["X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"]


@pytest.mark.parametrize(
    ("choice", "names"),
    [("draft", DRAFT), ("legacy", LEGACY), ("both", DRAFT + LEGACY), ("off", [])],
)
def test_throttled_responses_declare_their_headers(schema, choice, names):
    found = schema(THROTTLING_HEADERS=choice)
    responses = found["paths"]["/users/"]["get"]["responses"]

    assert list(responses["204"].get("headers", {})) == names
    assert list(responses["429"]["headers"]) == [*names, "Retry-After"]
    assert list(responses["503"]["headers"]) == ["Retry-After"]
    assert "headers" not in responses["406"]
    assert set(found["components"]["headers"]) == {*names, "Retry-After", "WWW-Authenticate"}


def test_a_401_declares_the_authentication_scheme(schema):
    headers = schema()["paths"]["/admin/"]["get"]["responses"]["401"]["headers"]

    assert headers == {"WWW-Authenticate": {"$ref": "#/components/headers/WWW-Authenticate"}}
