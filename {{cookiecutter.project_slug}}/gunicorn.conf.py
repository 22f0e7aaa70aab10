"""gunicorn's settings: `gunicorn` without arguments, in this folder, serves the service."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "{{ cookiecutter.project_slug }}.settings")

from service_runtime.serving import gunicorn

# Assign settings that differ from the defaults of the runtime below.
globals().update(gunicorn.configuration("{{ cookiecutter.__kubernetes_name }}"))
wsgi_app = "{{ cookiecutter.project_slug }}.wsgi:application"
