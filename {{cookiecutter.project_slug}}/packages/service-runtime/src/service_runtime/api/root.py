"""The root of the API: what can be read without parameters."""

from functools import cache
from typing import Any

from django.conf import settings as django_settings
from django.urls import get_script_prefix
from rest_framework.mixins import ListModelMixin
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.schemas.generators import EndpointEnumerator
from rest_framework.views import APIView

from ..conf import settings


class ApiRoot(APIView):
    """The resources of the API."""

    permission_classes = [AllowAny]
    schema = None  # not part of the OpenAPI schema

    def get(self, request: Request) -> Response:
        """Return the URL of each resource by its path below API_PREFIX."""
        paths = {path.strip("/"): settings.API_PREFIX + path for path in _resources()}
        return Response({name: absolute_url(request, path) for name, path in paths.items()})


def sample_path() -> str:
    """Return the path of the first list in the API, or its root if there is none."""
    lists = (path for path, view in _resources().items() if issubclass(view, ListModelMixin))
    return settings.API_PREFIX + next(lists, "")


def absolute_url(request: Any, path: str) -> str:
    """Return the URL of a path of this service."""
    url: str = request.build_absolute_uri(get_script_prefix() + path.removeprefix("/"))
    return url


def _resources() -> dict[str, type]:
    """Return the view of each path below API_PREFIX that has no parameters and accepts GET."""
    return {
        path.removeprefix(settings.API_PREFIX): view
        for path, view in _readable(django_settings.ROOT_URLCONF).items()
        if path.startswith(settings.API_PREFIX)
    }


@cache
def _readable(urlconf: str) -> dict[str, type]:
    endpoints = EndpointEnumerator(urlconf=urlconf).get_api_endpoints()
    return {
        path: view.cls for path, method, view in endpoints if method == "GET" and "{" not in path
    }
