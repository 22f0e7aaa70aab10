"""What the computation of a response leaves in the request has no effect on later ones."""

import pytest
from csp.constants import NONCE
from django.contrib.auth.models import Group
from django.urls import path
from rest_framework.generics import GenericAPIView
from rest_framework.response import Response

from service_runtime.caching.responses import cached_response
from service_runtime.throttling import AnonRateThrottle, UserRateThrottle

pytestmark = [pytest.mark.redis, pytest.mark.django_db(transaction=True)]


class Inner(GenericAPIView):
    queryset = Group.objects.all()
    authentication_classes = []
    throttle_classes = [UserRateThrottle]

    @cached_response(Group, public=True)
    def get(self, request):
        return Response("inner")


class Outer(GenericAPIView):
    """Its limit is checked for each request, that of Inner only where a response is computed."""

    queryset = Group.objects.all()
    throttle_classes = [AnonRateThrottle]

    @cached_response(Group, public=True)
    def get(self, request):
        return Response({"inner": Inner.as_view()(request._request).status_code})


class Uncacheable(GenericAPIView):
    """It uses a cached response, but its own cannot be cached."""

    queryset = Group.objects.all()

    @cached_response(Group, public=True)
    def get(self, request):
        Inner.as_view()(request._request)
        return Response(request.headers.get("X-Tenant"), headers={"Vary": "X-Tenant"})


class WithoutKey(GenericAPIView):
    """Its depends_on rejects the URL, so that its own response is not cached."""

    queryset = Group.objects.all()

    @cached_response(lambda view: Group.objects.filter(pk=int(view.kwargs["name"])), public=True)
    def get(self, request, name):
        Inner.as_view()(request._request)
        return Response(request.headers.get("X-Tenant"))


class WithNonce(GenericAPIView):
    queryset = Group.objects.all()

    @cached_response(Group, public=True)
    def get(self, request):
        return Response(str(request._request.csp_nonce))


urlpatterns = [
    path("api/outer/", Outer.as_view()),
    path("api/uncacheable/", Uncacheable.as_view()),
    path("api/nonce/", WithNonce.as_view()),
    path("api/<name>/", WithoutKey.as_view()),
]


@pytest.fixture(autouse=True)
def _project(settings, set_rates):
    settings.ROOT_URLCONF = __name__
    set_rates(anon="3/hour", user="3/hour")


def test_throttles_of_the_computation_do_not_replace_those_of_the_view(client):
    statuses = [client.get("/api/outer/").status_code for _ in range(4)]
    assert statuses == [200, 200, 200, 429]


@pytest.mark.parametrize("url", ["/api/uncacheable/", "/api/other/"])
def test_response_that_is_not_cached_is_not_replaced_by_its_part(client, url):
    for tenant in "abc":
        response = client.get(url, headers={"X-Tenant": tenant})
        assert response.json() == tenant


def test_nonce_is_not_used_twice(client, settings):
    settings.CONTENT_SECURITY_POLICY = {"DIRECTIVES": {"script-src": [NONCE]}}
    policies = [client.get("/api/nonce/").headers["Content-Security-Policy"] for _ in range(3)]
    nonces = [policy for policy in policies if "nonce" in policy]
    assert len(nonces) == len({*nonces}) > 0
