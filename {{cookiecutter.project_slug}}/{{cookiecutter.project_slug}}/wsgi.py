"""The WSGI application that gunicorn serves (see gunicorn.conf.py)."""

import os

from django.core.wsgi import get_wsgi_application
from django.urls import get_resolver
from drf_spectacular.generators import SchemaGenerator

from .runtime.tracing import start

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "{{ cookiecutter.project_slug }}.settings")

start()
application = get_wsgi_application()
# Import every view now, once, before gunicorn forks, instead of in each worker's first request.
get_resolver().url_patterns  # noqa: B018
# drf-spectacular completes its own classes while it makes the first schema, which threads that ask
# for one at the same time trip over.
SchemaGenerator().get_schema(public=True)
