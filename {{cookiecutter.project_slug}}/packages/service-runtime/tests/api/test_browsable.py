"""The browsable API's pages work under the Content-Security-Policy."""

import pytest
from django.urls import path
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response
from rest_framework.views import APIView

from service_runtime.api.renderers import BrowsableAPIRenderer


class View(APIView):
    permission_classes = []
    renderer_classes = [JSONRenderer, BrowsableAPIRenderer]

    def get(self, request):
        return Response({})


urlpatterns = [path("api/view/", View.as_view())]
pytestmark = pytest.mark.urls(__name__)


@pytest.mark.parametrize(
    ("accepted", "policy"),
    [
        ("text/html", "default-src 'self'; style-src 'self' 'unsafe-inline'"),
        ("application/json", "default-src 'self'"),
        ("*/*", "default-src 'self'"),
    ],
)
def test_only_pages_allow_inline_styles(client, accepted, policy):
    response = client.get("/api/view/", headers={"Accept": accepted})

    assert response.headers["Content-Security-Policy"] == policy
    assert response.headers["Content-Type"].startswith(accepted.strip("*/"))
