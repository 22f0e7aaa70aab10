#!/usr/bin/env python
"""Django's command line."""

import os
import sys

SETTINGS = "{{ cookiecutter.project_slug }}.settings"


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", SETTINGS)
    # A command's output belongs to stdout, so its log goes to stderr.
    os.environ.setdefault("LOG_STREAM", "stderr")

    from {{ cookiecutter.project_slug }}.runtime.logging import boot

    if boot.wants_json("stderr"):
        boot.start("{{ cookiecutter.__kubernetes_name }}", stream="stderr")

    from django.conf import settings
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line

    try:
        settings.SECRET_KEY  # noqa: B018 - the first access loads the settings
    except ImproperlyConfigured as error:
        boot.fail(str(error))

    from {{ cookiecutter.project_slug }}.runtime.logging.commands import command_context

    with command_context(sys.argv[1] if len(sys.argv) > 1 else "help"):
        execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
