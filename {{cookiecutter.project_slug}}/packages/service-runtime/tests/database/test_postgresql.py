"""The backend against a real PostgreSQL that fails in each way."""

import socket
import threading
import time
from contextlib import ExitStack, suppress
from typing import Any

import pytest
from django.db import DatabaseError, OperationalError
from django.db.utils import ConnectionHandler

from service_runtime.database import is_unavailable, options
from service_runtime.database.postgresql import base
from service_runtime.metrics import DATABASE_CIRCUIT_OPEN
from tests.database.conftest import CONNECTIONS, circuit
from tests.waiting import wait_for

SLOW = 5  # seconds, which no test waits for


@pytest.fixture
def limits(database, settings):
    """Apply the limits of a process that serves requests."""
    settings.DATABASE_STATEMENT_TIMEOUT = 0.5
    settings.DATABASE_LOCK_TIMEOUT = 0.2
    options.limit_statements()


def one(database, query="SELECT 1"):
    """Return the value of a query on a connection from the pool."""
    try:
        with database.cursor() as cursor:
            cursor.execute(query)
            return cursor.fetchone()[0]
    finally:
        database.close()


def error_of(database, query="SELECT 1"):
    """Return the error of a query, which must be short."""
    started = time.monotonic()
    with pytest.raises(OperationalError) as caught:
        one(database, query)
    assert time.monotonic() - started < SLOW
    assert is_unavailable(caught.value)
    return caught.value


def fail_in_thread(handler):
    """Let a query fail in another thread, which has a connection of its own."""
    errors = []
    thread = threading.Thread(target=lambda: errors.append(error_of(handler["default"])))
    thread.start()
    thread.join()
    assert len(errors) == 1


def test_commands_have_no_limits(database):
    assert one(database, "SHOW statement_timeout") == "0"


def test_requests_have_limits(database, limits):
    assert one(database, "SHOW statement_timeout") == "500ms"
    assert one(database, "SHOW lock_timeout") == "200ms"
    assert one(database, "SHOW idle_in_transaction_session_timeout") == "30s"


def test_pgbouncer_gets_no_options(database, limits, settings):
    settings.DATABASE_PGBOUNCER = True

    assert one(database, "SHOW statement_timeout") == "0"


def test_connection_is_used_again(database):
    assert one(database, "SELECT pg_backend_pid()") == one(database, "SELECT pg_backend_pid()")


def test_connections_that_the_server_has_closed_cause_no_error(database, postgres):
    pool = database.pool
    pool.open()
    for connection in [pool.getconn() for _ in range(3)]:
        pool.putconn(connection)
    postgres.stop()
    postgres.start()

    assert [one(database) for _ in range(3)] == [1, 1, 1]
    assert not circuit().is_open


def test_server_that_is_down_fails_at_once_after_the_first_error(database, postgres):
    one(database)
    postgres.stop()
    try:
        error_of(database)
        assert circuit().is_open
        assert DATABASE_CIRCUIT_OPEN.labels("default")._value.get() == 1
        started = time.monotonic()
        for _ in range(20):
            error_of(database)
        assert time.monotonic() - started < 0.3  # one wait for the pool would be as long
    finally:
        postgres.start()
    wait_for(lambda: not circuit().is_open)
    assert one(database) == 1


def test_suspended_server_fails_within_the_limit(database, postgres, limits):
    one(database)
    postgres.suspend()
    try:
        assert "did not respond" in str(error_of(database))
        assert circuit().is_open
        assert "a probe is running" in str(error_of(database))
    finally:
        postgres.resume()
    wait_for(lambda: not circuit().is_open)
    assert one(database) == 1


def test_server_without_free_connections_fails_soon(database, postgres):
    with ExitStack() as stack:
        for _ in range(CONNECTIONS):
            stack.enter_context(postgres.connect())
        error_of(database)
        assert circuit().is_open
    wait_for(lambda: not circuit().is_open)
    assert one(database) == 1


def test_process_with_a_connection_uses_it_while_the_server_has_no_more(database, postgres):
    handler = ConnectionHandler({"default": database.settings_dict})
    with ExitStack() as stack, database.cursor() as cursor:
        while True:
            try:
                stack.enter_context(postgres.connect())
            except Exception:
                break
        fail_in_thread(handler)
        assert not circuit().is_open
        cursor.execute("SELECT 1")
    database.close()
    assert one(database) == 1


def test_lock_fails_within_its_limit(database, postgres, limits):
    with postgres.connect() as other:
        other.execute("CREATE TABLE IF NOT EXISTS locked ()")
    with postgres.connect() as other, other.transaction():
        other.execute("LOCK TABLE locked")
        error_of(database, "SELECT count(*) FROM locked")
        assert one(database) == 1
        assert not circuit().is_open


def test_statement_fails_within_its_limit(database, limits):
    error_of(database, "SELECT pg_sleep(30)")
    assert one(database) == 1
    assert not circuit().is_open


def test_requests_fail_at_once_while_all_connections_wait(database, postgres, limits, settings):
    settings.DATABASE_STATEMENT_TIMEOUT = SLOW
    options.limit_statements()
    handler = ConnectionHandler({"default": database.settings_dict})

    def wait():
        with suppress(OperationalError):
            one(handler["default"], "SELECT pg_sleep(3)")

    threads = [threading.Thread(target=wait) for _ in range(3)]
    for thread in threads:
        thread.start()
    wait_for(lambda: circuit().waiting(0.3) == 3)
    started = time.monotonic()
    for _ in range(20):
        assert "wait for the server" in str(error_of(database))
    assert time.monotonic() - started < 0.3  # one wait for the pool would be as long
    assert not circuit().is_open
    for thread in threads:
        thread.join()
    assert one(database) == 1


def test_circuit_stays_closed_while_all_connections_are_busy(database, postgres):
    handler = ConnectionHandler({"default": database.settings_dict})
    busy = [
        threading.Thread(target=lambda: one(handler["default"], "SELECT pg_sleep(1)"))
        for _ in range(3)
    ]
    for thread in busy:
        thread.start()
    wait_for(lambda: circuit().waiting(0) == 3)
    assert "connection" in str(error_of(database))
    assert not circuit().is_open
    for thread in busy:
        thread.join()


def test_idle_connection_to_a_server_that_is_down_proves_nothing(database, postgres):
    handler = ConnectionHandler({"default": database.settings_dict})
    breaker = circuit()
    probes: list[Any] = []
    connect = breaker._connect

    def probe(**options):
        probes.append(options)
        return connect(**options)

    breaker._connect = probe
    with database.cursor() as cursor:
        cursor.execute("SELECT 1")
        postgres.stop()
        try:
            fail_in_thread(handler)
            wait_for(lambda: len(probes) == 3)
            assert breaker.is_open
        finally:
            postgres.start()
    wait_for(lambda: not circuit().is_open)


def test_server_that_has_not_responded_for_long_may_hang(database, postgres, monkeypatch):
    handler = ConnectionHandler({"default": database.settings_dict})
    monkeypatch.setattr(base, "RECENT_SECONDS", 0)
    with database.cursor() as cursor:
        cursor.execute("SELECT 1")
        postgres.suspend()
        try:
            fail_in_thread(handler)
            assert circuit().is_open
        finally:
            postgres.resume()
    wait_for(lambda: not circuit().is_open)


def test_circuit_is_that_of_one_database(database, postgres):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        closed_port = str(probe.getsockname()[1])
    entry = database.settings_dict
    options = {**entry["OPTIONS"], "pool": dict(entry["OPTIONS"]["pool"])}
    down = {**entry, "PORT": closed_port, "OPTIONS": options}
    handler: Any = ConnectionHandler({"default": entry, "down": down})
    try:
        assert one(database) == 1  # its connection is idle now
        error_of(handler["down"])
        assert base.circuit_breaker("down").is_open
        assert one(database) == 1
    finally:
        handler["down"].close_pool()
        base.circuit_breaker("down").trip(OSError(), database.get_connection_params())


def test_idle_connections_are_not_used_after_one_does_not_respond(database, postgres, limits):
    pool = database.pool
    pool.open()
    idle = [pool.getconn() for _ in range(3)]
    for connection in idle:
        pool.putconn(connection)
    circuit().suspect(OSError("does not respond"), database.get_connection_params())
    wait_for(lambda: not circuit().is_open)

    assert one(database) == 1
    assert [connection.closed for connection in idle].count(True) >= 1
    used = {one(database, "SELECT pg_backend_pid()") for _ in range(5)}
    assert not used & {c.info.backend_pid for c in idle if not c.closed}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("SELECT " + ",".join("1" * 1700), False),  # 54011
        ("CREATE TEMP SEQUENCE counter; SELECT currval('counter')", False),  # 55000
        ("SET transaction_read_only = on; CREATE TABLE read_only ()", True),  # 25006
        ("SELECT nothing", False),
        ("SELECT pg_sleep(30)", True),
    ],
)
def test_only_temporary_errors_count_as_unavailable(database, limits, query, expected):
    with pytest.raises(DatabaseError) as caught:
        one(database, f"SELECT 1; {query}")
    assert is_unavailable(caught.value) is expected
    database.close_pool()
