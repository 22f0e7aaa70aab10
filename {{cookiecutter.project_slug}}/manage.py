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

    boot.load_settings("{{ cookiecutter.__kubernetes_name }}", stream="stderr")

    from django.core.management import execute_from_command_line

    from {{ cookiecutter.project_slug }}.runtime.logging.commands import command_context

    with command_context(sys.argv[1] if len(sys.argv) > 1 else "help"):
        execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
