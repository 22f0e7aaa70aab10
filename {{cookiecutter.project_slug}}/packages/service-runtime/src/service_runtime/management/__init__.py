"""Django's command line, with structured logs on stderr."""

import os
import sys


def execute(service: str) -> None:
    """Run the management command of `sys.argv`; a service's manage.py calls it.

    Args:
        service: the service's name in log lines until the settings are loaded.

    Raises:
        SystemExit: the settings are invalid, or the command failed.
    """
    # stdout is for the command's output.
    os.environ.setdefault("LOG_STREAM", "stderr")

    from ..logging import boot

    boot.load_settings(service, stream="stderr")

    from django.core.management import execute_from_command_line

    from ..logging.commands import command_context

    with command_context(sys.argv[1] if len(sys.argv) > 1 else "help"):
        execute_from_command_line(sys.argv)
