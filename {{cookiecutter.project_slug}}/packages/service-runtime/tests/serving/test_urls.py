"""A developer sees the URLs of the service that has started."""

import io
import sys

import pytest
from django.urls import path
from django.views import View

from service_runtime.serving import urls

urlpatterns = [path("api/docs/", View.as_view(), name="docs")]


@pytest.mark.parametrize(
    ("host", "shown"),
    [("127.0.0.1", "localhost"), ("::", "localhost"), ("10.1.2.3", "10.1.2.3")],
)
def test_urls_are_shown_on_stderr(settings, monkeypatch, host, shown):
    settings.HOST, settings.PORT, settings.OPS_PORT = host, 8010, 8011
    settings.ROOT_URLCONF = __name__
    monkeypatch.setattr(sys, "__stderr__", stream := io.StringIO())

    urls.show()

    assert [line.split(maxsplit=1) for line in stream.getvalue().splitlines()] == [
        [f"http://{shown}:8010/", "service"],
        [f"http://{shown}:8010/api/docs/", "API documentation"],
        [f"http://{shown}:8011/readyz", "readiness"],
        [f"http://{shown}:8011/metrics", "metrics"],
    ]


def test_nothing_is_shown_without_stderr(monkeypatch):
    monkeypatch.setattr(sys, "__stderr__", None)

    urls.show()
