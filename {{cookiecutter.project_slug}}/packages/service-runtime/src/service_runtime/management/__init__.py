"""Django's command line, with structured logs on stderr."""

import os
import sys


def execute(service: str) -> None:
    """Run the management command of `sys.argv`; a service's manage.py calls it.

    Args:
        service: the service's name in log lines until the settings are loaded.

    Raises:
        SystemExit: the settings are invalid, the database cannot be reached, or the command failed.
    """
    variable = "DATABASE_URL"
    if sys.argv[1:2] == ["migrate"] and _use_migration_url():
        variable = f"MIGRATE_{variable}"
    from ..conf import Defaults

    Defaults.LOG_STREAM = "stderr"  # stdout is for the command's output
    from ..logging import boot

    try:
        boot.load_settings(service, stream="stderr")
    except SystemExit:
        if sys.argv[1:2] == ["settings"]:  # also prints what is valid
            from .commands.settings import Command

            Command().run_from_argv(sys.argv)
        raise

    from django.core.management import execute_from_command_line
    from django.db import Error, connection
    from psycopg import Error as DriverError

    from ..database import connection_failure
    from ..logging.commands import command_context

    with command_context(sys.argv[1] if len(sys.argv) > 1 else "help"):
        try:
            execute_from_command_line(sys.argv)
        except (Error, DriverError):
            if not (failure := connection_failure(connection)):
                raise
            boot.fail(
                f"{variable}: Cannot connect to the database: {failure}."
                f" Start the server, or correct {variable}."
            )


def _use_migration_url() -> bool:
    """Let MIGRATE_DATABASE_URL replace DATABASE_URL: migrations must not use PgBouncer.

    In its transaction mode, the locks of a session are not those of the next statement.

    Returns:
        whether it is set.
    """
    names = ("DATABASE_URL", "DATABASE_URL_FILE")
    found = {name: url for name in names if (url := os.environ.get(f"MIGRATE_{name}"))}
    if found:
        for name in names:
            os.environ.pop(name, None)
        os.environ.update(found, DATABASE_PGBOUNCER="false")
    return bool(found)
