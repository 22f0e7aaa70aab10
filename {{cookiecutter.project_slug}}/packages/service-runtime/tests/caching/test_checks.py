from functools import partial
from typing import Any

import pytest
from cacheops import cached_view_as
from django.contrib.auth.decorators import login_required
from django.contrib.auth.mixins import LoginRequiredMixin
from django.contrib.auth.models import Group
from django.core.checks import run_checks
from django.http import HttpResponse
from django.urls import path
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.cache import cache_page
from django.views.generic import TemplateView
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework.viewsets import ViewSet

from service_runtime.caching.checks import check_cacheops
from service_runtime.caching.responses import cached_response

urlpatterns: list = []


def plain(request):
    return HttpResponse()


class Api(APIView):
    @cached_response(Group)
    def get(self, request):
        return Response({})


class Decorated(APIView):
    @method_decorator(cache_page(60))
    def get(self, request):
        return Response({})


@method_decorator(cache_page(60), name="dispatch")
class Dispatched(APIView):
    pass


class Guarded(LoginRequiredMixin, View):
    pass


class Actions(ViewSet):
    @method_decorator(cache_page(60))
    def best(self, request):
        return Response({})


class Public(APIView):
    authentication_classes = []


VIEW: Any = Api.as_view()


def test_site_wide_cache_is_rejected(settings):
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "django.middleware.cache.FetchFromCacheMiddleware"]

    assert "caching.E002" in [message.id for message in run_checks()]


@pytest.fixture
def found(settings):
    """Return a function that returns the messages about a view."""
    settings.ROOT_URLCONF = __name__

    def found(view):
        urlpatterns[:] = [path("route/", view)]
        return [message.msg for message in run_checks() if message.id == "caching.E001"]

    yield found
    urlpatterns.clear()


@pytest.mark.parametrize(
    ("view", "name"),
    [
        (cache_page(60)(Api.as_view()), "Django's cache_page"),
        (cached_view_as(Group)(Api.as_view()), "cacheops' cached_view_as"),
        (cached_view_as(Group)(Guarded.as_view()), "cacheops' cached_view_as"),
        (Decorated.as_view(), "Django's cache_page"),
        (Dispatched.as_view(), "Django's cache_page"),
        (Actions.as_view({"get": "best"}), "Django's cache_page"),
        (cache_page(60)(login_required(plain)), "Django's cache_page"),
        (login_required(cache_page(60)(plain)), "Django's cache_page"),
        (partial(cache_page(60)(VIEW)), "Django's cache_page"),
    ],
)
def test_cache_around_a_view_that_authenticates_is_rejected(found, view, name):
    (message,) = found(view)

    assert message.startswith(f"route/ is cached by {name}, which would serve one user's page")


@pytest.mark.parametrize(
    "view",
    [
        Api.as_view(),
        plain,
        cache_page(60)(plain),
        cached_view_as(Group)(TemplateView.as_view()),
        cache_page(60)(Public.as_view()),
        cached_view_as(Group)(Api.as_view(authentication_classes=[])),
    ],
)
def test_other_views_are_accepted(found, view):
    assert found(view) == []


@pytest.mark.parametrize("option", ["local_get", "cache_on_save"])
def test_options_that_hide_changes_are_rejected(settings, option):
    settings.CACHEOPS = {**settings.CACHEOPS, "auth.user": {"timeout": 60, option: True}}

    (message,) = [message for message in run_checks() if message.id == "caching.E004"]
    assert message.msg.startswith(f"CACHEOPS['auth.user'] sets {option}, which ")


@pytest.mark.parametrize("name", ["PREFIX", "SERIALIZER", "INSIDEOUT"])
def test_required_cacheops_settings(settings, name):
    setattr(settings, f"CACHEOPS_{name}", "other")

    (message,) = [message for message in run_checks() if message.id == "caching.E005"]
    assert message.msg.startswith(f"CACHEOPS_{name} must be ")


def test_database_without_autocommit_is_rejected(settings, monkeypatch):
    monkeypatch.setitem(settings.DATABASES["default"], "AUTOCOMMIT", False)

    (message,) = [found for found in check_cacheops() if found.id == "caching.E006"]
    assert message.msg.startswith("DATABASES['default'] sets AUTOCOMMIT to False")
