"""Invalid requests are logged as warnings, not as errors of the service."""

import logging

import pytest
from django.core.exceptions import SuspiciousOperation
from django.http import HttpResponse
from django.test import Client
from django.urls import path


def suspicious(request):
    raise SuspiciousOperation("This is suspicious.\n" * 100)


def form(request):
    return HttpResponse(request.POST)


urlpatterns = [path("suspicious/", suspicious), path("form/", form)]


pytestmark = pytest.mark.urls(__name__)


class Records(logging.Handler):
    def __init__(self):
        super().__init__()
        self.written = []

    def emit(self, record):
        self.written.append(record)


@pytest.fixture
def written():
    """Return the records that reach the handlers of the root logger."""
    handler = Records()
    logging.getLogger().addHandler(handler)
    yield handler.written
    logging.getLogger().removeHandler(handler)


@pytest.mark.parametrize(
    ("method", "url", "options"),
    [
        ("GET", "/form/", {"HTTP_HOST": "evil.example"}),
        ("GET", "/form/", {"HTTP_HOST": "evil" * 1000}),
        ("POST", "/form/", {"data": "&".join(f"{number}=" for number in range(1001))}),
        ("POST", "/form/", {"data": "a" * 3_000_000}),
        ("GET", "/suspicious/", {}),
        ("POST", "/form/", {"data": "a=1", "enforce_csrf_checks": True}),
    ],
)
def test_invalid_request_is_a_short_warning(written, method, url, options):
    client = Client(enforce_csrf_checks=options.pop("enforce_csrf_checks", False))
    options["content_type"] = "application/x-www-form-urlencoded"

    response = client.generic(method, url, **options)

    assert response.status_code in {400, 403}
    (record,) = written
    assert record.levelname == "WARNING"
    assert record.name.startswith("django.security.")
    assert record.exc_info is None
    assert len(record.getMessage()) <= 200
    assert "\n" not in record.getMessage()


def test_level_of_the_root_logger_applies(caplog, written):
    with caplog.at_level(logging.ERROR):
        Client().get("/form/", HTTP_HOST="evil.example")

    assert not written
