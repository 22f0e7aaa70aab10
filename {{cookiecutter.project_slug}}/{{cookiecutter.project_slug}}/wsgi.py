"""The WSGI application that gunicorn serves (see gunicorn.conf.py)."""

import logging
import os

from django.core.wsgi import get_wsgi_application
from django.urls import get_resolver

from .runtime.requests import WSGIRequest
from .runtime.tracing import start

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "{{ cookiecutter.project_slug }}.settings")

start()
application = get_wsgi_application()
application.request_class = WSGIRequest
# Import every view now, once, before gunicorn forks, instead of in each worker's first request.
get_resolver().url_patterns  # noqa: B018


def _make_schema() -> None:
    """Make the schema once: drf-spectacular completes its own classes while it makes the first one.

    Threads that ask for it at the same time would trip over each other.
    """
    from drf_spectacular.drainage import GENERATOR_STATS
    from drf_spectacular.generators import SchemaGenerator

    try:
        with GENERATOR_STATS.silence():
            SchemaGenerator().get_schema(public=True)  # type: ignore[no-untyped-call]
    except Exception:  # the rest of the service does not need it
        logging.getLogger(__name__).exception("The schema of the API cannot be made")


_make_schema()
