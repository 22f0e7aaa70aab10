"""Views to throttle, and requests to them."""

from prometheus_client import REGISTRY
from rest_framework.response import Response
from rest_framework.test import APIRequestFactory, force_authenticate
from rest_framework.views import APIView


def view(**attributes):
    """Return a view class with these attributes, which responds to GET and POST."""

    def respond(self, request):
        return Response()

    defaults = {
        "permission_classes": [],
        "authentication_classes": [],
        "get": respond,
        "post": respond,
    }
    return type("View", (APIView,), {**defaults, **attributes})


def ask(view_class, method="get", address="203.0.113.7", user=None, **headers):
    """Return the response of a view to one request."""
    request = getattr(APIRequestFactory(), method)("/", REMOTE_ADDR=address, headers=headers)
    if user is not None:
        force_authenticate(request, user)
    return view_class.as_view()(request)


def statuses(view_class, times, **options):
    """Return the statuses of several responses."""
    return [ask(view_class, **options).status_code for _ in range(times)]


def by(name):
    """Return a header that identifies the sender of a request."""
    return {"X-Tenant": name}


def counted(scope, outcome):
    """Return the number of requests in a scope that the metric has for an outcome."""
    labels = {"scope": scope, "outcome": outcome}
    return REGISTRY.get_sample_value("throttle_requests_total", labels) or 0
