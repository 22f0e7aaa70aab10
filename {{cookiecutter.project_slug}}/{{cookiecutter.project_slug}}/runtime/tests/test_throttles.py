import pytest
from rest_framework.response import Response
from rest_framework.test import APIRequestFactory
from rest_framework.views import APIView

from ..throttling.throttles import AnonRateThrottle, ScopedRateThrottle, UserRateThrottle

THROTTLES = {
    "scoped": ScopedRateThrottle,
    "anon": AnonRateThrottle,
    "user": UserRateThrottle,
}


@pytest.fixture
def get(monkeypatch):
    """Return a function that requests a view limited to two requests by the named throttle."""

    def request(scope, address="203.0.113.7", rate="2/10min"):
        monkeypatch.setitem(ScopedRateThrottle.THROTTLE_RATES, scope, rate)

        class View(APIView):
            permission_classes = []
            throttle_classes = [THROTTLES[scope]]
            throttle_scope = "scoped"

            def get(self, request):
                return Response()

        return View.as_view()(APIRequestFactory().get("/", REMOTE_ADDR=address))

    return request


@pytest.mark.parametrize("scope", THROTTLES)
def test_each_client_has_its_own_limit(get, scope):
    assert [get(scope).status_code for _ in range(3)] == [200, 200, 429]
    assert get(scope, address="203.0.113.8").status_code == 200


def test_a_denied_client_is_told_when_to_come_back(get):
    for _ in range(2):
        get("scoped")

    assert 595 <= int(get("scoped").headers["Retry-After"]) <= 600


def test_off_is_no_limit(get):
    assert {get("scoped", rate="off").status_code for _ in range(10)} == {200}
