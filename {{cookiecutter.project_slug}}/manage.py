#!/usr/bin/env python
"""The command line of Django."""

import os

from service_runtime.management import execute

SETTINGS = "{{ cookiecutter.project_slug }}.settings"

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", SETTINGS)
    execute("{{ cookiecutter.__kubernetes_name }}")
