import threading
import uuid
from unittest.mock import Mock

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.db.utils import OperationalError
from psycopg_pool import PoolTimeout

from service_runtime.ops import health
from service_runtime.redis import client
from service_runtime.single_flight import SingleFlight


@pytest.fixture
def new_process(monkeypatch):
    """Start without the results of earlier probes, and keep the connection of the test."""
    monkeypatch.setattr(health, "_migrated", bytearray(1))
    monkeypatch.setattr(connection, "close", lambda: None)
    monkeypatch.setattr(health._database_check, "run", lambda timeout: health._database())


@pytest.mark.django_db
def test_process_is_ready_when_migrated(new_process):
    ready, body = health.readiness(draining=False)

    assert ready
    assert body.items() >= {"status": "ready", "migrated": True, "database": "ok"}.items()


@pytest.mark.django_db
def test_process_is_not_ready_while_a_migration_is_pending(new_process, monkeypatch):
    monkeypatch.setattr(MigrationExecutor, "migration_plan", lambda *args: ["pending"])

    ready, body = health.readiness(draining=False)

    assert not ready
    assert body["migrated"] is False


@pytest.mark.django_db
def test_database_outage_is_reported_and_does_not_affect_readiness(new_process, monkeypatch):
    health.readiness(draining=False)

    def fail():
        raise OperationalError("connection refused")

    monkeypatch.setattr(connection, "cursor", fail)
    ready, body = health.readiness(draining=False)

    assert ready
    assert body["database"] == "unreachable"


@pytest.mark.django_db
def test_connections_that_are_all_in_use_are_no_outage(new_process, monkeypatch, caplog):
    health.readiness(draining=False)

    def fail():
        raise OperationalError("no connection") from PoolTimeout()

    monkeypatch.setattr(connection, "cursor", fail)
    ready, body = health.readiness(draining=False)

    assert ready
    assert body["database"] == "busy"
    assert not caplog.records


@pytest.mark.django_db
def test_process_is_not_ready_while_draining(new_process):
    ready, body = health.readiness(draining=True)

    assert not ready
    assert body["status"] == "draining"


def test_hung_database_does_not_delay_the_probe(monkeypatch):
    monkeypatch.setattr(health, "CHECK_SECONDS", 0.01)
    finished = threading.Event()
    check = SingleFlight(lambda: "ok" if finished.wait(20) else "never", "health")
    monkeypatch.setattr(health, "_database_check", check)

    assert health.readiness(draining=False)[1]["database"] == "unreachable"

    finished.set()


def test_probe_gets_a_response_if_no_thread_can_be_started(monkeypatch):
    def fail(timeout):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(health._database_check, "run", fail)

    assert health.readiness(draining=False)[1]["database"] == "unreachable"


def test_redis_is_optional(settings):
    settings.REDIS_URL = ""

    assert health._redis() == "not configured"


@pytest.mark.django_db
def test_migrations_are_checked_until_they_are_complete(new_process, monkeypatch):
    plan = Mock(return_value=["pending"])
    monkeypatch.setattr(MigrationExecutor, "migration_plan", plan)
    for _ in range(2):
        health.readiness(draining=False)
    plan.return_value = []
    bodies = [health.readiness(draining=False)[1] for _ in range(2)]

    assert plan.call_count == 3
    assert [body["status"] for body in bodies] == ["ready", "ready"]
    assert [body["database"] for body in bodies] == ["ok", "ok"]


@pytest.mark.redis
def test_redis_that_denies_access_to_the_keys_is_unreachable(operator, settings):
    assert health._redis() == "ok"
    settings.CACHE_KEY_PREFIX = "other"
    name, password = "tests-stranger", uuid.uuid4().hex
    rights = {"keys": ["tests:*"], "categories": ["+@all"]}
    operator.acl_setuser(name, enabled=True, passwords=[f"+{password}"], **rights)
    try:
        host = settings.REDIS_URL.rpartition("@")[2].removeprefix("redis://")
        settings.REDIS_URL = f"redis://{name}:{password}@{host}"
        assert client(settings.REDIS_URL).ping()
        assert health._redis() == "unreachable"
    finally:
        operator.acl_deluser(name)
