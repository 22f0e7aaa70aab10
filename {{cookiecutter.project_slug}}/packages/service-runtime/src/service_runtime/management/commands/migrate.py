import logging
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import psycopg
from django.core.management.base import CommandError, CommandParser
from django.core.management.commands import migrate
from django.db import Error, OperationalError, connections
from psycopg.errors import LockNotAvailable

from ...conf import settings
from ...database import is_unavailable, limit_locks

logger = logging.getLogger(__name__)
LOCK_ID = zlib.crc32(b"service_runtime migrate")  # of the advisory lock
MAX_PAUSE = 10.0  # seconds between attempts
_pause = threading.Event().wait


class Command(migrate.Command):
    """Django's command, safe to run on PostgreSQL while a service uses the database.

    A statement that waits for a table's lock blocks all later requests for that table. So it waits
    for a short time only, and is tried again later. A second process waits until the first ends.
    """

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--lock-timeout",
            type=float,
            default=3.0,
            help="seconds that a statement waits for a lock (default: 3; 0: no limit)",
        )
        parser.add_argument(
            "--retry-seconds",
            type=float,
            default=0.0,
            help="repeat for so many seconds while a table is locked or the database is"
            " unavailable (default: 0)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        connection: Any = connections[options["database"]]
        only_reads = options["plan"] or options["check_unapplied"]
        if connection.vendor != "postgresql" or only_reads or connection.in_atomic_block:
            super().handle(*args, **options)
            return
        if settings.DATABASE_PGBOUNCER:
            raise CommandError(
                "DATABASE_PGBOUNCER is on: migrations need a direct connection to PostgreSQL. Set"
                " MIGRATE_DATABASE_URL to its URL."
            )
        _close(connection)  # its connections were opened without the limit
        try:
            with limit_locks(options["lock_timeout"]):
                _repeat(connection, options["retry_seconds"], partial(super().handle, **options))
        finally:
            _close(connection)


def _repeat(connection: Any, seconds: float, run: Callable[[], object]) -> None:
    """Run the migration under its lock until the database lets it finish."""
    retries = _Retries(seconds)
    while True:
        try:
            with _lock(connection), connection.execute_wrapper(partial(_execute, retries)):
                run()
            return
        except (Error, psycopg.Error) as error:
            is_temporary = isinstance(error, psycopg.OperationalError) or is_unavailable(error)
            if not is_temporary or not retries.wait(error):
                raise
        _close(connection)


class _Retries:
    """Pauses that grow, until a deadline."""

    def __init__(self, seconds: float) -> None:
        self._deadline = time.monotonic() + seconds
        self._seconds = 1.0

    def wait(self, error: Exception) -> bool:
        """Pause before the next attempt; return False if there is no time for it."""
        pause = self._seconds
        if time.monotonic() + pause > self._deadline:
            return False
        logger.warning("The migration will be repeated in %.0f s: %s", pause, error)
        _pause(pause)
        self._seconds = min(2 * pause, MAX_PAUSE)
        return True


@contextmanager
def _lock(connection: Any) -> Iterator[None]:
    """Hold the advisory lock of migrations, on a connection of its own."""
    with psycopg.connect(**connection.get_connection_params(), autocommit=True) as own:
        # A statement that waits for the lock would be a transaction, and CREATE INDEX CONCURRENTLY
        # in the other process would wait for that.
        is_first = True
        while own.execute("SELECT pg_try_advisory_lock(%s)", [LOCK_ID]).fetchone() == (False,):
            if is_first:
                logger.info("Another process migrates this database; waiting until it ends.")
            is_first = False
            _pause(1)
        yield


def _execute(
    retries: _Retries, execute: Any, sql: Any, params: Any, many: bool, context: Any
) -> Any:
    """Execute a statement of a migration.

    A statement outside transactions is repeated alone: those before it cannot be undone. If it is
    CONCURRENTLY, it has no lock timeout: it blocks no request, and would leave an invalid index.
    """
    connection = context["connection"]
    if connection.in_atomic_block:
        return execute(sql, params, many, context)
    if "CONCURRENTLY" in str(sql).upper():
        connection.connection.execute("SET lock_timeout = 0")
        try:
            return execute(sql, params, many, context)
        finally:
            with suppress(psycopg.Error):  # the statement's error says more
                connection.connection.execute("RESET lock_timeout")
    while True:
        try:
            return execute(sql, params, many, context)
        except OperationalError as error:
            if not isinstance(error.__cause__, LockNotAvailable) or not retries.wait(error):
                raise


def _close(connection: Any) -> None:
    connection.close()
    if connection.pool:
        connection.close_pool()
