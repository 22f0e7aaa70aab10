"""The WSGI application, loaded completely before gunicorn forks."""

import logging

import django
from django.core.handlers.wsgi import WSGIHandler
from django.urls import get_resolver

from ..caching.keys import release
from ..database import limit_statements
from ..tracing import start


def get_application() -> WSGIHandler:
    """Return the application of DJANGO_SETTINGS_MODULE, with every view imported.

    Workers share the memory of loaded code, and their first requests do not wait for imports.

    Raises:
        ImproperlyConfigured: an extra that the settings require is not installed.
    """
    start()
    limit_statements()
    django.setup(set_prefix=False)
    from ..fast_path import FastPathHandler  # imports models

    application = FastPathHandler()
    get_resolver().url_patterns  # noqa: B018 - loads every view
    release()  # reads the code once for all workers
    _generate_schema()
    return application


def _generate_schema() -> None:
    """Generate the OpenAPI schema once.

    drf-spectacular modifies its classes while it generates the first schema, which is not
    thread-safe.
    """
    from drf_spectacular.drainage import GENERATOR_STATS
    from drf_spectacular.generators import SchemaGenerator

    try:
        with GENERATOR_STATS.silence():
            SchemaGenerator().get_schema(public=True)  # type: ignore[no-untyped-call]
    except Exception:  # the rest of the service works without it
        logging.getLogger(__name__).exception("The OpenAPI schema cannot be generated")
