import threading
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.db.utils import OperationalError

from service_runtime.ops import health
from service_runtime.redis.clients import client


@pytest.fixture
def new_process(monkeypatch):
    """Begin without what an earlier probe found out, and keep the test's connection."""
    monkeypatch.setattr(health, "_migrated", False)
    monkeypatch.setattr(connection, "close", lambda: None)
    monkeypatch.setattr(health._database_check, "run", health._database)


@pytest.mark.django_db
def test_ready_when_migrated(new_process):
    ready, body = health.readiness(draining=False)

    assert ready
    assert body.items() >= {"status": "ready", "migrated": True, "database": "ok"}.items()


@pytest.mark.django_db
def test_not_ready_while_a_migration_waits(new_process, monkeypatch):
    monkeypatch.setattr(MigrationExecutor, "migration_plan", lambda *args: ["pending"])

    ready, body = health.readiness(draining=False)

    assert not ready
    assert body["migrated"] is False


@pytest.mark.django_db
def test_a_database_that_goes_away_is_reported_and_does_not_gate(new_process, monkeypatch):
    health.readiness(draining=False)

    def refuse():
        raise OperationalError("connection refused")

    monkeypatch.setattr(connection, "cursor", refuse)
    ready, body = health.readiness(draining=False)

    assert ready
    assert body["database"] == "unreachable"


@pytest.mark.django_db
def test_not_ready_while_draining(new_process):
    ready, body = health.readiness(draining=True)

    assert not ready
    assert body["status"] == "draining"


def test_a_database_that_hangs_does_not_hold_up_the_probe(monkeypatch):
    monkeypatch.setattr(health, "CHECK_SECONDS", 0.01)
    goes_on = threading.Event()
    check = health.BoundedCheck(lambda: "ok" if goes_on.wait(20) else "never")

    # The second finds the first still under way, and does not add to it.
    assert [check.run(), check.run()] == ["unreachable", "unreachable"]
    assert threading.active_count() < 10

    goes_on.set()
    monkeypatch.setattr(health, "CHECK_SECONDS", 20)
    for thread in threading.enumerate():
        if thread.name == "health":
            thread.join()
    assert check.run() == "ok"


def test_probes_that_come_together_share_a_check():
    goes_on, calls = threading.Event(), []

    def slow():
        calls.append(1)
        goes_on.wait(20)
        return "ok"

    check = health.BoundedCheck(slow)
    with ThreadPoolExecutor(12) as pool:
        answers = [pool.submit(check.run) for _ in range(12)]
        goes_on.set()

    assert {answer.result() for answer in answers} == {"ok"}
    assert len(calls) <= 12


def test_a_check_that_raises_ends():
    check = health.BoundedCheck(lambda: str(1 // 0))

    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            check.run()


@pytest.mark.redis
def test_a_redis_that_denies_the_service_s_keys_is_unreachable(operator, settings):
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
