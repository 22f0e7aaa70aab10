#!/usr/bin/env python3
"""The command line of Django."""

import os
import sys

try:
    from service_runtime.management import execute
except ModuleNotFoundError:
    sys.exit(
        f"The service's packages are not installed in {sys.executable}. "
        "Run `make install`, then `.venv/bin/python manage.py`."
    )

SETTINGS = "{{ cookiecutter.project_slug }}.settings"

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", SETTINGS)
    execute("{{ cookiecutter.__kubernetes_name }}")
