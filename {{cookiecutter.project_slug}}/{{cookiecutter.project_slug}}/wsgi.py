"""The WSGI application that gunicorn serves (see gunicorn.conf.py)."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "{{ cookiecutter.project_slug }}.settings")

# It reads the settings.
from service_runtime.serving.wsgi import get_application

application = get_application()
