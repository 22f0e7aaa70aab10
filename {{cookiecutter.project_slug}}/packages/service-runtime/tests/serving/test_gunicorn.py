"""gunicorn with the runtime's configuration: a whole service, and each hook that can fail."""

import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from urllib.request import urlopen

import pytest
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from gunicorn.config import Config
from gunicorn.http import wsgi
from gunicorn.workers import gthread

from service_runtime.serving import gunicorn, ports
from tests.logging.conftest import parsed
from tests.waiting import wait_for

ROOT = Path(__file__).parents[2]
CONFIGURATION = """
from service_runtime.serving import gunicorn

globals().update(gunicorn.configuration("acme"))
"""
SERVER = SimpleNamespace(
    cfg=SimpleNamespace(workers=1, threads=4, worker_class_str="Worker"),
    log=SimpleNamespace(warning=lambda message: None),
)
APPLICATION = f"{CONFIGURATION}wsgi_app = 'application:application'\n"


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return str(probe.getsockname()[1])


@pytest.fixture
def environment(tmp_path):
    """Return the environment of a service, in which its files are."""
    (tmp_path / "gunicorn.conf.py").write_text(APPLICATION)
    (tmp_path / "application.py").write_text(
        "from service_runtime.serving.wsgi import get_application\napplication = get_application()"
    )
    names = {k: v for k, v in os.environ.items() if not k.startswith(("LOG_", "PROMETHEUS_"))}
    return names | {
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "PYTHONPATH": str(ROOT),
        "PORT": free_port(),
        "OPS_PORT": free_port(),
        "WEB_CONCURRENCY": "2",
        "TMPDIR": str(tmp_path),
    }


def get(port, path):
    with urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as response:
        return response.headers, response.read().decode()


def is_up(environment):
    try:
        return get(environment["OPS_PORT"], "/livez")
    except OSError:
        return None


def test_service_from_its_start_to_its_end(tmp_path, environment):
    log = tmp_path / "log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn"], cwd=tmp_path, env=environment, stdout=output
        )
    try:
        wait_for(lambda: is_up(environment), seconds=120)  # it imports everything
        headers, _ = get(environment["PORT"], "/admin/login/")
        metrics = get(environment["OPS_PORT"], "/metrics")[1]
        memory = gunicorn._memory_folder() or tmp_path
        folders = list(Path(memory).glob(f"metrics-*-{process.pid}"))
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0

    lines = [parsed(line) for line in log.read_text().splitlines()]
    events = [line["ev"] for line in lines if "ev" in line]
    (access,) = [line for line in lines if line["logger"] == "gunicorn.access"]
    started = next(line["data"] for line in lines if line.get("ev") == "started")
    assert (events[0], events[-1]) == ("started", "stopped")
    assert started["workers"] == (2 if environment.get("REDIS_URL") else 1)
    assert started["port"] == int(environment["PORT"])
    assert access["request_id"] == headers["X-Request-ID"]
    assert "Server" not in headers
    assert re.search(r'duration_seconds_count\{.*route="admin/login/".*\} 1\.0', metrics)
    assert len(folders) == 1
    assert not folders[0].exists()  # it goes with the service


def configuration(tmp_path, environment, **more):
    """Return what gunicorn would be configured with, and the folder of metrics."""
    script = (
        f"{CONFIGURATION}\nimport json, os\n"
        "names = ('bind', 'workers', 'threads', 'graceful_timeout', 'worker_class')\n"
        "found = {name: globals()[name] for name in names}\n"
        "json.dump([found, os.environ['PROMETHEUS_MULTIPROC_DIR']], open('found', 'w'))\n"
    )
    command = [sys.executable, "-c", script]
    subprocess.run(command, cwd=tmp_path, env=environment | more, check=True)
    return json.loads((tmp_path / "found").read_text())


def test_configuration_follows_the_settings(tmp_path, environment):
    more = {"HOST": "::1", "PORT": "8080", "WEB_THREADS": "3", "REDIS_URL": "redis://127.0.0.1"}
    found, folder = configuration(tmp_path, environment, **more)

    assert found == {
        "bind": "[::1]:8080",
        "workers": 2,
        "threads": 3,
        "graceful_timeout": 30,
        "worker_class": "service_runtime.serving.worker.Worker",
    }
    assert not Path(folder).exists()


def test_without_redis_there_is_one_worker(tmp_path, environment):
    environment.pop("REDIS_URL", None)

    assert configuration(tmp_path, environment)[0]["workers"] == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda patch: patch.setattr(gthread.ThreadWorker, "accept", lambda self, one, more: None),
        lambda patch: patch.delattr(gthread.ThreadWorker, "_cap_keepalive"),
        lambda patch: patch.setitem(sys.modules, "service_runtime.serving.worker", None),
    ],
    ids=["parameters", "name", "import"],
)
def test_unknown_gunicorn_is_used_without_the_runtimes_worker(monkeypatch, change):
    change(monkeypatch)

    assert gunicorn._worker_class() == "gthread"


def test_given_folder_of_metrics_stays(tmp_path, environment):
    given = tmp_path / "given"
    given.mkdir()

    folder = configuration(tmp_path, environment, PROMETHEUS_MULTIPROC_DIR=str(given))[1]

    assert folder == str(given)
    assert given.exists()


@pytest.fixture
def start(monkeypatch, settings, caplog):
    """Return a function that runs the first hook, and returns what was logged if it exits."""
    monkeypatch.setattr(wsgi.Response, "default_headers", wsgi.Response.default_headers)
    settings.DEBUG, settings.PORT, settings.OPS_PORT = True, int(free_port()), int(free_port())

    def start(**options):
        cfg = Config()
        for name, value in ({"bind": ports.bind()} | options).items():
            cfg.set(name, value)
        with suppress(SystemExit):
            gunicorn.on_starting(SimpleNamespace(cfg=cfg))
            return []
        return [record.getMessage() for record in caplog.records if record.name == "boot"]

    return start


def test_start_succeeds_with_warnings_of_checks(start, settings, caplog, monkeypatch):
    found = [checks.Warning("careful", id="a.W1"), checks.Info("a detail", id="a.I1")]
    found += [checks.Warning("known", id="a.W2"), checks.Error("silenced", id="a.E1")]
    settings.SILENCED_SYSTEM_CHECKS = ["a.W2", "a.E1"]
    monkeypatch.setattr(checks, "run_checks", lambda: found)

    assert start() == []
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "a.W1: careful")
    ]


def test_start_fails_with_all_errors_of_checks(start, monkeypatch):
    found = [checks.Error("invalid", id="a.E1"), checks.Critical("worse", id="a.E2")]
    monkeypatch.setattr(checks, "run_checks", lambda: found)

    assert start() == ["a.E1: invalid", "a.E2: worse"]


def test_start_fails_with_a_backend_that_checks_cannot_create(start, monkeypatch):
    def fail():
        raise ImproperlyConfigured("LOCATION must be a URL")

    monkeypatch.setattr(checks, "run_checks", fail)

    assert start() == ["LOCATION must be a URL"]


@pytest.mark.parametrize("exists", [True, False])
def test_start_needs_collected_static_files_in_production(
    start, settings, monkeypatch, tmp_path, exists
):
    monkeypatch.setattr(checks, "run_checks", list)
    settings.DEBUG, settings.STATIC_ROOT = False, tmp_path
    if exists:
        (tmp_path / "staticfiles.json").touch()

    expected = "Run `manage.py collectstatic --noinput` first: DEBUG is off."
    assert start() == ([] if exists else [expected])


def test_start_fails_with_the_ports_in_use(start, monkeypatch):
    monkeypatch.setattr(checks, "run_checks", list)
    monkeypatch.setattr(ports, "errors", lambda bound: [f"{bound}: in use", "OPS_PORT: in use"])

    assert start(bind="127.0.0.1:9") == ["['127.0.0.1:9']: in use", "OPS_PORT: in use"]


@pytest.mark.parametrize("debug", [True, False])
def test_urls_are_shown_in_development_only(settings, monkeypatch, debug):
    monkeypatch.setattr("gc.freeze", lambda: None)
    monkeypatch.setattr(sys, "__stderr__", stream := io.StringIO())
    settings.DEBUG = debug

    gunicorn.when_ready(SERVER)

    assert (f"http://localhost:{settings.PORT}/" in stream.getvalue()) is debug


def test_missing_redis_is_announced(settings, caplog, monkeypatch):
    monkeypatch.setattr("gc.freeze", lambda: None)
    settings.REDIS_URL = ""
    messages: list[str] = []
    server = SimpleNamespace(cfg=SERVER.cfg, log=SimpleNamespace(warning=messages.append))

    gunicorn.when_ready(server)

    assert messages[0].startswith("REDIS_URL is not set: ")


def test_workers_take_the_first_free_slot(monkeypatch):
    names: list[str] = []
    monkeypatch.setattr("service_runtime.metrics.next_slot", names.append)
    running = {number: SimpleNamespace(slot=slot) for number, slot in ((7, 1), (8, 3))}
    worker = SimpleNamespace()

    gunicorn.pre_fork(SimpleNamespace(WORKERS=running), worker)

    assert worker.slot == 2
    assert names == ["worker-2"]


FIRST_WORKER_IS_MIGRATED = """
def post_fork(server, worker):
    from service_runtime.ops import health
    if worker.age == 1:
        health._migrated[0] = 1
"""


def test_worker_that_cannot_reach_the_database_is_ready_if_another_was(tmp_path, environment):
    if not environment.get("REDIS_URL"):
        pytest.skip("without Redis there is one worker")
    with (tmp_path / "gunicorn.conf.py").open("a") as configuration:
        configuration.write(FIRST_WORKER_IS_MIGRATED)
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn"], cwd=tmp_path, env=environment, stdout=log
        )
    try:
        wait_for(lambda: is_up(environment), seconds=120)
        wait_for(lambda: (tmp_path / "log").read_text().count("Booting worker") == 2)
        for _ in range(20):  # the kernel picks a worker for each
            assert json.loads(get(environment["OPS_PORT"], "/readyz")[1])["migrated"]
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
