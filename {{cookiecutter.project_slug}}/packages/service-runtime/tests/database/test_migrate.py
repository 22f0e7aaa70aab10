"""Migrations against a real PostgreSQL whose tables are in use."""

import threading

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connections

from service_runtime.management.commands import migrate as command
from tests.waiting import wait_for


@pytest.fixture
def migrate(database, postgres, settings, monkeypatch):
    """Return a function that migrates to one of tests/database/migrations."""
    settings.MIGRATION_MODULES = {"shapes": "tests.database.migrations"}
    monkeypatch.setitem(connections.settings, "migrated", database.settings_dict)
    # Time is what the command's own pauses add up to.
    monkeypatch.setattr(command, "_pause", lambda seconds: threading.Event().wait(seconds / 20))

    def migrate(name, **options):
        try:
            call_command("migrate", "shapes", name, database="migrated", verbosity=0, **options)
        finally:
            command._close(connections["migrated"])
            del connections["migrated"]

    yield migrate
    with postgres.connect() as other:
        other.execute("DROP TABLE IF EXISTS parcel, django_migrations")


class Run(threading.Thread):
    """A migration in a thread of its own."""

    def __init__(self, migrate, *arguments, **options):
        super().__init__()
        self.error = None
        self._run = lambda: migrate(*arguments, **options)
        self.start()

    def run(self):
        try:
            self._run()
        except Exception as error:
            self.error = error


def columns(postgres):
    with postgres.connect() as other:
        query = (
            "SELECT attname FROM pg_attribute WHERE attrelid = 'parcel'::regclass AND attnum > 0"
        )
        return [row[0] for row in other.execute(query)]


def waits_for_a_lock(connection):
    query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    return connection.execute(query).fetchone()[0] > 0


def test_migration_of_a_locked_table_fails_soon(migrate, postgres):
    migrate("0001")
    with postgres.connect() as other, other.transaction():
        other.execute("LOCK TABLE parcel IN ACCESS SHARE MODE")  # as a reader's transaction does
        with pytest.raises(OperationalError, match="lock timeout"):
            migrate("0002", lock_timeout=0.2)
    assert columns(postgres) == ["id"]


def test_connection_that_is_open_already_gets_the_limit(migrate, postgres):
    migrate("0001")
    connections["migrated"].ensure_connection()
    with postgres.connect() as other, other.transaction():
        other.execute("LOCK TABLE parcel IN ACCESS SHARE MODE")
        with pytest.raises(OperationalError, match="lock timeout"):
            migrate("0002", lock_timeout=0.2)


def test_migration_is_repeated_until_the_table_is_free(migrate, postgres, caplog):
    migrate("0001")
    with postgres.connect() as other, other.transaction():
        other.execute("LOCK TABLE parcel IN ACCESS SHARE MODE")
        run = Run(migrate, "0002", lock_timeout=0.2, retry_seconds=60)
        wait_for(lambda: "will be repeated" in caplog.text)
        assert run.is_alive()
    run.join()
    assert run.error is None
    assert columns(postgres) == ["id", "weight"]


def test_error_of_the_migration_is_not_repeated(migrate, postgres, caplog):
    migrate("0001")
    with postgres.connect() as other:
        other.execute("ALTER TABLE parcel ADD COLUMN weight integer")
    with pytest.raises(Exception, match="already exists"):
        migrate("0002", retry_seconds=60)
    assert "will be repeated" not in caplog.text


def test_server_that_starts_later_is_migrated(migrate, postgres, caplog):
    postgres.stop()
    try:
        run = Run(migrate, "0001", retry_seconds=60)
        wait_for(lambda: "will be repeated" in caplog.text)
    finally:
        postgres.start()
    run.join()
    assert run.error is None
    assert columns(postgres) == ["id"]


def test_second_process_waits_until_the_first_ends(migrate, postgres, caplog):
    caplog.set_level("INFO")
    with postgres.connect() as other:
        other.execute("SELECT pg_advisory_lock(%s)", [command.LOCK_ID])
        runs = [Run(migrate, "0001"), Run(migrate, "0001")]
        wait_for(lambda: caplog.text.count("Another process migrates") == 2)
        assert all(run.is_alive() for run in runs)
    for run in runs:
        run.join()
    assert [run.error for run in runs] == [None, None]
    assert columns(postgres) == ["id"]


def test_concurrent_index_waits_for_open_transactions(migrate, postgres):
    migrate("0002")
    with postgres.connect() as other, postgres.connect() as observer:
        with other.transaction():
            other.execute("INSERT INTO parcel VALUES (1)")
            run = Run(migrate, "0003", lock_timeout=0.1)
            wait_for(lambda: waits_for_a_lock(observer))
            run.join(0.5)  # five times the limit
            assert run.is_alive()
        run.join()
    assert run.error is None
    assert columns(postgres) == ["id", "weight", "height"]


def test_statement_after_a_concurrent_one_has_the_limit_again(migrate, postgres):
    migrate("0002")
    with postgres.connect() as other, other.transaction():
        other.execute("LOCK TABLE parcel IN ACCESS SHARE MODE")
        with pytest.raises(OperationalError, match="lock timeout"):
            migrate("0003", lock_timeout=0.2)


def test_migration_without_a_transaction_continues_at_the_locked_statement(
    migrate, postgres, caplog
):
    migrate("0002")
    with postgres.connect() as other, other.transaction():
        other.execute("LOCK TABLE parcel IN ACCESS SHARE MODE")
        run = Run(migrate, "0003", lock_timeout=0.2, retry_seconds=60)
        wait_for(lambda: "will be repeated" in caplog.text)
    run.join()
    assert run.error is None
    assert columns(postgres) == ["id", "weight", "height"]


def test_pgbouncer_is_rejected(migrate, settings):
    settings.DATABASE_PGBOUNCER = True
    with pytest.raises(CommandError, match="MIGRATE_DATABASE_URL"):
        migrate("0001")


def test_process_has_no_limit_afterwards(migrate, database):
    migrate("0001")
    with database.cursor() as cursor:
        cursor.execute("SHOW lock_timeout")
        assert cursor.fetchone() == ("0",)


def test_plan_needs_no_lock(migrate, postgres, capsys):
    with postgres.connect() as other:
        other.execute("SELECT pg_advisory_lock(%s)", [command.LOCK_ID])
        migrate("0001", plan=True)
    assert "CREATE TABLE" in capsys.readouterr().out
