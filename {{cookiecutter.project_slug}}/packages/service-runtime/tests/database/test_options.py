"""The entry of DATABASES that a service gets for its URL."""

from types import SimpleNamespace

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db.utils import ConnectionHandler

from service_runtime.conf import Defaults
from service_runtime.database import database_settings

POSTGRESQL = {"ENGINE": "django.db.backends.postgresql", "NAME": "service"}
SQLITE = {"ENGINE": "django.db.backends.sqlite3", "NAME": "db.sqlite3"}


def runtime(**changed):
    names = (*vars(Defaults), *changed)
    return SimpleNamespace(**{name: getattr(Defaults, name, None) for name in names} | changed)


@pytest.mark.parametrize(("threads", "connections"), [(7, 6), (2, 1), (1, 1)])
def test_pool_leaves_a_thread_without_a_connection(threads, connections):
    found = database_settings(POSTGRESQL, runtime(WEB_THREADS=threads))

    assert found["ENGINE"] == "service_runtime.database.postgresql"
    assert found["OPTIONS"]["pool"]["max_size"] == connections
    assert not found["DISABLE_SERVER_SIDE_CURSORS"]


def test_options_of_the_url_take_precedence():
    entry = {**POSTGRESQL, "OPTIONS": {"connect_timeout": 9, "sslmode": "verify-full"}}

    options = database_settings(entry, runtime())["OPTIONS"]
    assert options["connect_timeout"] == 9
    assert options["sslmode"] == "verify-full"
    assert options["keepalives_idle"] == 15


def test_pgbouncer_has_no_server_side_cursors():
    found = database_settings(POSTGRESQL, runtime(DATABASE_PGBOUNCER=True))

    assert found["DISABLE_SERVER_SIDE_CURSORS"]


def test_pgbouncer_rejects_prepared_statements():
    entry = {**POSTGRESQL, "OPTIONS": {"prepare_threshold": 5}}

    assert database_settings(entry, runtime())
    with pytest.raises(ImproperlyConfigured, match="prepare_threshold must not be set"):
        database_settings(entry, runtime(DATABASE_PGBOUNCER=True))


def test_sqlite_keeps_its_engine():
    entry = {**SQLITE, "OPTIONS": {"timeout": 3}}
    found = database_settings(entry, runtime())

    assert found["ENGINE"] == SQLITE["ENGINE"]
    assert found["OPTIONS"]["timeout"] == 3
    assert found["OPTIONS"]["transaction_mode"] == "IMMEDIATE"


@pytest.mark.parametrize("max_age", [{}, {"CONN_MAX_AGE": 0}])  # dj-database-url sets a 0
def test_sqlite_connection_stays_open_between_requests(tmp_path, django_db_blocker, max_age):
    entry = {**SQLITE, **max_age, "NAME": tmp_path / "db.sqlite3"}
    connection = ConnectionHandler({"default": database_settings(entry, runtime())})["default"]

    with django_db_blocker.unblock():
        connection.ensure_connection()
        opened = connection.connection
        connection.close_if_unusable_or_obsolete()  # as Django does after each request

    assert connection.connection is opened
    connection.close()
