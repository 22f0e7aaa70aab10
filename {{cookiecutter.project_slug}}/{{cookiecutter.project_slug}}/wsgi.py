"""The WSGI application that gunicorn serves (see gunicorn.conf.py)."""

import os

from service_runtime.serving.wsgi import get_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "{{ cookiecutter.project_slug }}.settings")
application = get_application()
