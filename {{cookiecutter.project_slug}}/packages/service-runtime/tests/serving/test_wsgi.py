"""The WSGI application is complete before gunicorn forks."""

import sys
from typing import Any
from wsgiref.util import setup_testing_defaults

import pytest
from django.core.exceptions import ImproperlyConfigured
from drf_spectacular.generators import SchemaGenerator

from service_runtime.http.requests import WSGIRequest
from service_runtime.serving import wsgi
from tests.logging.conftest import parsed


def test_application_accepts_requests_with_malformed_content_types():
    environ: dict[str, Any] = {"CONTENT_TYPE": "text/plain; charset=undefined"}
    setup_testing_defaults(environ)

    request = wsgi.get_application().request_class(environ)

    assert isinstance(request, WSGIRequest)
    assert request.content_type == ""


def test_schema_is_generated_before_the_fork(monkeypatch):
    generated = []
    get_schema = SchemaGenerator.get_schema

    def record(self, **options):
        generated.append(get_schema(self, **options))
        return generated[-1]

    monkeypatch.setattr(SchemaGenerator, "get_schema", record)

    wsgi.get_application()

    assert generated[0]["openapi"].startswith("3.")


def test_schema_that_cannot_be_generated_is_logged_and_the_service_starts(monkeypatch, capfd):
    def fail(self, **options):
        raise ValueError("of a serializer")

    monkeypatch.setattr(SchemaGenerator, "get_schema", fail)

    assert wsgi.get_application()
    line = parsed(capfd.readouterr().out.rstrip())
    assert line["message"] == "The OpenAPI schema cannot be generated"
    assert line["exception.message"] == "of a serializer"


def test_view_that_cannot_be_imported_stops_the_start(settings):
    settings.ROOT_URLCONF = "tests.no_such_urls"

    with pytest.raises(ModuleNotFoundError):
        wsgi.get_application()


def test_missing_extra_stops_the_start(settings, monkeypatch):
    monkeypatch.setitem(sys.modules, "sentry_sdk", None)
    settings.SENTRY_DSN = "http://key@127.0.0.1/1"

    with pytest.raises(ImproperlyConfigured, match="SENTRY_DSN is set"):
        wsgi.get_application()
