"""Every line is JSON with the right request ID, whatever happens."""

import collections
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from ..running import free_port, wait_for
from .conftest import PRODUCTION

pytestmark = [pytest.mark.network, pytest.mark.server]


def json_lines(text):
    """Parse lines; fail if one is not a JSON object with the fields that all lines have."""
    lines = [json.loads(line) for line in text.splitlines()]
    for line in lines:
        assert line.keys() >= {"timestamp", "severity", "message"}, line
    return lines


def send(port, data, read=True):
    """Send bytes and return the bytes of the response."""
    with socket.create_connection(("127.0.0.1", port), 20) as client:
        client.sendall(data)
        return client.makefile("rb").read() if read else b""


def test_every_line_is_json_whatever_happens(serve_faulty):
    with serve_faulty("--timeout=3", THROTTLE_BLOG_LIMIT="3/hour", STUCK_SECONDS="1") as service:
        port = service.port
        for path in ("/", "/api/blogs/", "/nowhere", "/api/blogs/999/", "/faulty/noise/"):
            service.get(path, X_Request_ID="12345678")
        assert service.get("/faulty/fail/", X_Request_ID="failing-1").status == 500
        assert service.get("/faulty/stream/", X_Request_ID="streaming").body == "012"
        assert [service.get("/api/blogs/").status for _ in range(3)][-1] == 429
        service.get("/", Host="evil.example.com")
        for data in (
            b"GET / HTTP/9.9\r\n\r\n",
            b"nonsense\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nBad Header\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"x" * 70_000 + b"\r\n\r\n",
            b"\x16\x03\x01\x00\x01",  # TLS
        ):
            with contextlib.suppress(OSError):
                send(port, data)
        send(port, b"GET /faulty/stream/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", read=False)
        send(port, b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\nab", read=False)
        send(port, b"GET /faulty/noise/?a=\xff\xfe HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                   b"X-Request-ID: short\r\nConnection: close\r\n\r\n")  # fmt: skip
        before = service.workers()
        os.kill(before[0], signal.SIGKILL)
        wait_for(
            lambda: len(service.workers()) == 2 and service.workers() != before, "a new worker"
        )
        os.kill(before[1], signal.SIGABRT)  # sent by gunicorn to a worker that hangs
        wait_for(lambda: before[1] not in service.workers(), "the worker to exit")
        service.process.send_signal(signal.SIGHUP)
        wait_for(lambda: "Hang up" in service.log.read_text(), "the reload")
        wait_for(lambda: service.is_ready() and len(service.workers()) == 2, "new workers")
        # All threads of both workers are stuck.
        with ThreadPoolExecutor(16) as pool:
            for _ in range(16):
                pool.submit(service.get, "/faulty/sleep/?seconds=8")
            wait_for(lambda: "worker_stuck" in service.log.read_text(), "a worker to exit")
        wait_for(lambda: service.get("/").status == 200, "the replacement to serve")

    lines = json_lines(service.log.read_text())
    by_request = collections.defaultdict(list)
    for line in lines:
        by_request[line.get("request_id")].append(line)
    assert "hush" not in str(lines)
    noise = {line["message"] for line in by_request["12345678"]}
    assert noise >= {"printed 1", "to stderr", "Uncaught ZeroDivisionError in thread helper"}
    failure, access = by_request["failing-1"]
    assert failure["exception.message"] == "on purpose"
    assert (access["http.response.status_code"], access["url.path"]) == (500, "/faulty/fail/")
    assert len([line for line in by_request["streaming"] if line.get("ev") == "part"]) == 3
    events = {line.get("ev") for line in lines}
    assert events >= {"started", "stopped", "throttled", "thread_stuck", "worker_stuck"}
    stuck = next(line for line in lines if line.get("ev") == "thread_stuck")
    assert "faulty.py" in stuck["data"]["stack"]


FAILURES = {
    "an invalid setting": {"THROTTLE_BLOG_LIMIT": "10/parsec"},
    "no secret": {"SECRET_KEY": ""},
    "no static files": {"DJANGO_SETTINGS_MODULE": "no_static"},
    "URLs that fail to import": {"DJANGO_SETTINGS_MODULE": "no_views"},
    "settings that fail to parse": {"DJANGO_SETTINGS_MODULE": "no_settings"},
    "a busy port": {"PORT": "busy"},
    "a busy ops port": {"OPS_PORT": "busy"},
    "a missing extra": {"SENTRY_DSN": "http://key@127.0.0.1/1"},
}


@pytest.mark.parametrize("environment", FAILURES.values(), ids=FAILURES)
def test_a_failed_start_is_logged_as_json(serve_faulty, faulty, environment):
    imports = f"from {faulty.slug}.settings import *\n"
    for name, text in {
        "no_static": imports + "STATIC_ROOT = BASE_DIR / 'nowhere'\n",
        "no_views": imports + "ROOT_URLCONF = 'broken_urls'\n",
        "no_settings": "DEBUG = (\n",
        "broken_urls": "import nothing_of_that_name\n",
    }.items():
        (faulty.path / f"{name}.py").write_text(text)
    with socket.create_server(("0.0.0.0", 0)) as taken:
        busy = str(taken.getsockname()[1])
        service = serve_faulty(**{k: busy if v == "busy" else v for k, v in environment.items()})
        assert service.process.wait(60) != 0

    lines = json_lines(service.log.read_text())
    assert {line["severity"] for line in lines} & {"ERROR", "CRITICAL"}


def test_a_configuration_error_shows_an_example_and_no_secret(serve_faulty):
    service = serve_faulty(
        REDIS_URL="http://:hush@cache",
        ALLOWED_HOSTS="redis://:hush@cache",
        CSRF_TRUSTED_ORIGINS="example.com",
    )
    assert service.process.wait(60) != 0

    messages = [line["message"] for line in json_lines(service.log.read_text())]
    assert any("redis://user:password@host:6379/0" in message for message in messages)
    assert any("'example.com' is not an origin" in message for message in messages)
    assert "hush" not in str(messages)


def test_warnings_of_checks_are_not_errors(faulty, tmp_path):
    imports = f"from {faulty.slug}.settings import *\n"
    (faulty.path / "warned.py").write_text(imports + "SILENCED_SYSTEM_CHECKS = []\n")
    (faulty.path / "failed.py").write_text(imports + "STATICFILES_DIRS = 'static'\n")

    def check(settings):
        command = [faulty.path / ".venv/bin/python", "manage.py", "check", "--deploy"]
        environment = {**os.environ, **PRODUCTION, "DJANGO_SETTINGS_MODULE": settings}
        environment["DATABASE_URL"] = f"sqlite:///{tmp_path}/db.sqlite3"
        result = subprocess.run(
            command, cwd=faulty.path, env=environment, stderr=subprocess.PIPE, text=True
        )
        lines = json_lines(result.stderr)
        return result.returncode, {line["severity"] for line in lines}, str(lines)

    status, severities, text = check("warned")
    assert (status, severities) == (0, {"INFO", "WARNING"})
    assert "security.W021" in text
    status, severities, text = check("failed")
    assert status == 1
    assert "ERROR" in severities
    assert "staticfiles.E001" in text


def test_a_reload_is_not_an_error(faulty, tmp_path):
    """Run the server like `make dev`, and edit a module twice."""
    log = tmp_path / "runserver.log"
    command = [faulty.path / ".venv/bin/python", "manage.py", "runserver", "--nothreading"]
    environment = {**os.environ, "DEBUG": "true", "LOG_FORMAT": "json"}
    environment |= {"DATABASE_URL": f"sqlite:///{tmp_path}/db.sqlite3"}
    with log.open("w") as output:
        process = subprocess.Popen(
            [*command, str(free_port())],
            cwd=faulty.path,
            env=environment,
            stderr=output,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
            # A background job of a shell script ignores SIGINT, and its children inherit that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def is_watching(reloads):
        return log.read_text().count("Watching for file changes") > reloads

    def has_reloaded(reloads):
        # The server polls once per second. It ignores a change before its first look at a file.
        (faulty.path / f"{faulty.slug}/urls.py").touch()
        return is_watching(reloads + 1)

    try:
        for reloads in range(2):
            wait_for(partial(is_watching, reloads), "the server to watch")
            wait_for(partial(has_reloaded, reloads), "the server to reload")
    finally:
        os.killpg(process.pid, signal.SIGINT)
        process.wait(60)

    lines = json_lines(log.read_text())
    outcomes = [line["data"]["outcome"] for line in lines if line.get("ev") == "command_finished"]
    assert outcomes.count("reloading") >= 2
    assert {line["severity"] for line in lines} == {"INFO"}


def test_a_migration_job_writes_json(serve_faulty, faulty, tmp_path):
    environment = {**PRODUCTION, "DATABASE_URL": f"sqlite:///{tmp_path}/new.sqlite3"}
    command = [faulty.path / ".venv/bin/python", "manage.py", "migrate", "--verbosity=0"]
    lines = json_lines(faulty.run(*command, **environment))
    assert [(line["ev"], line["data"]["outcome"]) for line in lines] == [
        ("command_finished", "succeeded")
    ]
    assert re.fullmatch("[0-9a-f]{32}", lines[0]["run_id"])

    unreachable = {**environment, "DATABASE_URL": "postgres://service@127.0.0.1:1/x"}
    with pytest.raises(AssertionError) as failure:
        faulty.run(*command, **unreachable)
    lines = json_lines(str(failure.value).partition("\n")[2])
    assert [line["data"]["outcome"] for line in lines if "ev" in line] == ["failed"]
    sentence = "DATABASE_URL: Cannot connect to the database: "
    assert [line["severity"] for line in lines if line["message"].startswith(sentence)] == [
        "CRITICAL"
    ]


@pytest.mark.parametrize("worker", ["sync", "gthread"])
def test_no_request_is_logged_with_the_id_of_another(serve_faulty, worker):
    """Send 2000 requests to sync, async and streaming views, 32 at a time."""
    with serve_faulty(f"--worker-class={worker}", WEB_CONCURRENCY="2") as service:
        names = ["log", "log_async", "stream"]

        def send_request(number):
            path = f"/faulty/{names[number % 3]}/"
            response = service.get(path, X_Request_ID=f"request-{number}")
            return response.status, response.headers["X-Request-ID"]

        with ThreadPoolExecutor(32) as pool:
            responses = list(pool.map(send_request, range(2000)))

    assert responses == [(200, f"request-{number}") for number in range(2000)]
    lines = json_lines(service.log.read_text())
    events = [line for line in lines if line.get("ev") in {"seen", "part"}]
    assert len(events) == 667 + 667 + 666 * 3
    assert [line for line in events if line["request_id"] != line["data"]["id"]] == []
    access = [line["request_id"] for line in lines if line["logger"] == "gunicorn.access"]
    assert sorted(access) == sorted(f"request-{number}" for number in range(2000))
