"""The backend behind a real PgBouncer in transaction mode."""

import os
import shutil
import socket
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from django.db import connections

from service_runtime.database import options
from service_runtime.database.postgresql import base
from tests.database.conftest import NOBODY, handler_for
from tests.shapes.models import City
from tests.waiting import wait_for

SERVER_CONNECTIONS = 2
CONFIGURATION = """
[databases]
postgres = host=127.0.0.1 port={server} dbname=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {folder}/users
pool_mode = transaction
default_pool_size = {connections}
logfile = {folder}/log
"""


@pytest.fixture
def pgbouncer(postgres, tmp_path_factory):
    """Run PgBouncer with two connections to PostgreSQL, and return its port."""
    program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    if not program:
        pytest.skip("PATH has no pgbouncer")
    folder = tmp_path_factory.mktemp("pgbouncer")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    (folder / "users").write_text('"tests" ""\n')
    text = CONFIGURATION.format(
        server=postgres.port, port=port, folder=folder, connections=SERVER_CONNECTIONS
    )
    (folder / "pgbouncer.ini").write_text(text)
    user = NOBODY if os.geteuid() == 0 else None
    if user:  # it does not run as root
        for path in (folder, *folder.iterdir(), *list(folder.parents)[:2]):
            path.chmod(0o755)
        shutil.chown(folder, user, user)
    process = subprocess.Popen(
        [program, folder / "pgbouncer.ini"], user=user, stderr=subprocess.DEVNULL
    )
    try:
        wait_for(lambda: accepts(port))
        yield port
    finally:
        process.terminate()
        process.wait()


def accepts(port):
    try:
        psycopg.connect(host="127.0.0.1", port=port, user="tests", dbname="postgres").close()
    except psycopg.OperationalError:
        return False
    return True


@pytest.fixture
def cities(postgres, pgbouncer, settings, monkeypatch, django_db_blocker):
    """Return a queryset of 1000 cities in a database behind PgBouncer."""
    settings.DATABASE_PGBOUNCER = True
    monkeypatch.setattr(options, "_limits", {})
    options.limit_statements()
    entry = handler_for(pgbouncer).settings["default"]
    monkeypatch.setitem(connections.settings, "bouncer", entry)
    with postgres.connect() as other, django_db_blocker.unblock():
        other.execute("CREATE TABLE shapes_city (id bigint, name text, capital_id bigint)")
        other.execute(
            "INSERT INTO shapes_city SELECT n, 'city', NULL FROM generate_series(1, 1000) n"
        )
        yield City.objects.using("bouncer")
        connections["bouncer"].close_pool()  # type: ignore[attr-defined]
        del connections["bouncer"]
        other.execute("DROP TABLE shapes_city")


def test_many_threads_share_two_connections(cities):
    def read(number):
        try:
            return sum(1 for _ in cities.filter(pk__gt=number).iterator(chunk_size=50))
        finally:
            connections["bouncer"].close()

    with ThreadPoolExecutor(5) as pool:
        assert list(pool.map(read, range(100))) == list(range(1000, 900, -1))


def test_circuit_stays_open_while_only_pgbouncer_responds(cities, postgres, settings):
    settings.DATABASE_POOL_TIMEOUT = 0.3
    circuit = base.circuit_breaker("bouncer")
    circuit.trip(OSError("hangs"), connections["bouncer"].get_connection_params())
    wait_for(lambda: not circuit.is_open)
    postgres.suspend()
    try:
        circuit.trip(OSError("hangs"), connections["bouncer"].get_connection_params())
        threading.Event().wait(1)  # two intervals of the probe
        assert circuit.is_open
    finally:
        postgres.resume()
    wait_for(lambda: not circuit.is_open)
