"""Every line is JSON, every count is exact, and probes are right, whatever happens."""

import collections
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import promql_parser
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from ..running import Service, descendants, free_port, wait_for
from .conftest import PRODUCTION

pytestmark = [pytest.mark.network, pytest.mark.server]

FAULTY_VIEWS = """
import asyncio, os, sys, threading, time, warnings
from django.http import HttpResponse, StreamingHttpResponse
from django.urls import path
from service_runtime.logging import get_current_user_id, in_context, log_event
from {package}.urls import urlpatterns as service_urls


def log(request):
    time.sleep(float(request.GET.get("seconds", 0)))
    log_event("seen", {{"id": request.headers["X-Request-ID"]}})
    return HttpResponse()


async def log_async(request):
    await asyncio.sleep(0.01)
    log_event("seen", {{"id": request.headers["X-Request-ID"]}})
    return HttpResponse()


def stream(request):
    def parts():
        for number in range(3):
            log_event("part", {{"id": request.headers["X-Request-ID"]}})
            yield str(number)
    return StreamingHttpResponse(parts())


def fail(request):
    raise ValueError("on purpose")


def noise(request):
    print("printed", 1)
    sys.stderr.write("to stderr\\n")
    warnings.warn("careful")
    thread = threading.Thread(target=in_context(lambda: 1 / 0), name="helper")
    thread.start()
    thread.join()
    log_event("secrets", {{"headers": request.headers, "password": "hush"}})
    return HttpResponse()


def sleep(request):
    time.sleep(float(request.GET["seconds"]))
    return HttpResponse()


urlpatterns = [*service_urls] + [
    path(f"faulty/{{view.__name__}}/", view)
    for view in (log, log_async, stream, fail, noise, sleep)
]
"""


@pytest.fixture
def faulty(project, tmp_path):
    """Return a copy of the project with additional views, some of which fail."""
    copy = project.copy(tmp_path, shares_packages=True)
    (copy.path / "faulty.py").write_text(FAULTY_VIEWS.format(package=copy.slug))
    (copy.path / "faulty_settings.py").write_text(
        f"from {copy.slug}.settings import *\nROOT_URLCONF = 'faulty'\n"
    )
    return copy


@pytest.fixture
def start(faulty, tmp_path, redis_url, request):
    """Return a function that serves the copy."""
    environment = {
        **PRODUCTION,
        "DATABASE_URL": f"sqlite:///{tmp_path}/db.sqlite3",
        "REDIS_URL": redis_url,
        "CACHE_KEY_PREFIX": re.sub(r"\W", "-", request.node.name),
        "DJANGO_SETTINGS_MODULE": "faulty_settings",
    }
    python = faulty.path / ".venv/bin/python"
    faulty.run(python, "manage.py", "migrate", "--verbosity=0", **environment)
    faulty.run(python, "manage.py", "load_blogs", **environment)
    faulty.run(python, "manage.py", "collectstatic", "--noinput", **environment)

    def start(*options, **more):
        command = [python, "-m", "gunicorn", *options]
        return Service(command, faulty.path, tmp_path / "service.log", **environment | more)

    return start


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


def workers(service):
    """Return the process IDs of a service's workers."""
    return descendants(service.process.pid)


def test_every_line_is_json_whatever_happens(start):
    with start("--timeout=3", THROTTLE_BLOG_LIMIT="3/hour", STUCK_SECONDS="1") as service:
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
        before = workers(service)
        os.kill(before[0], signal.SIGKILL)
        wait_for(lambda: len(workers(service)) == 2 and workers(service) != before, "a new worker")
        os.kill(before[1], signal.SIGABRT)  # sent by gunicorn to a worker that hangs
        wait_for(lambda: before[1] not in workers(service), "the worker to exit")
        service.process.send_signal(signal.SIGHUP)
        wait_for(lambda: "Hang up" in service.log.read_text(), "the reload")
        wait_for(lambda: service.is_ready() and len(workers(service)) == 2, "new workers")
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
def test_a_failed_start_is_logged_as_json(start, faulty, environment):
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
        service = start(**{k: busy if v == "busy" else v for k, v in environment.items()})
        assert service.process.wait(60) != 0

    lines = json_lines(service.log.read_text())
    assert {line["severity"] for line in lines} & {"ERROR", "CRITICAL"}


def test_a_configuration_error_shows_an_example_and_no_secret(start):
    service = start(
        REDIS_URL="http://:hush@cache",
        ALLOWED_HOSTS="redis://:hush@cache",
        CSRF_TRUSTED_ORIGINS="example.com",
    )
    assert service.process.wait(60) != 0

    messages = [line["message"] for line in json_lines(service.log.read_text())]
    assert "redis://user:password@host:6379/0" in messages[-1]
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


def test_a_migration_job_writes_json(start, faulty, tmp_path):
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
    assert "OperationalError" in lines[-1]["exception.type"]


@pytest.mark.parametrize("worker", ["sync", "gthread"])
def test_no_request_is_logged_with_the_id_of_another(start, worker):
    """Send 2000 requests to sync, async and streaming views, 32 at a time."""
    with start(f"--worker-class={worker}", WEB_CONCURRENCY="2") as service:
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


def counted(service):
    """Return the number of counted requests to the view, over all workers."""
    pattern = r'^http_server_request_duration_seconds_count\{.*route="faulty/log/".*\} (.*)$'
    found = re.findall(pattern, service.probe("metrics").body, re.MULTILINE)
    return sum(float(number) for number in found)


def test_counters_are_exact_across_restarts(start, tmp_path):
    metrics = tmp_path / "metrics"
    metrics.mkdir()
    files = {"PROMETHEUS_MULTIPROC_DIR": str(metrics)}
    with start(WEB_CONCURRENCY="4", **files) as service:
        sent = 0

        def send_requests(count):
            nonlocal sent
            with ThreadPoolExecutor(8) as pool:
                found = list(
                    pool.map(
                        lambda n: service.get("/faulty/log/", X_Request_ID="12345678").status,
                        range(count),
                    )
                )
            sent += count
            assert set(found) == {200}

        def replaced(worker):
            pids = workers(service)
            return worker not in pids and len(pids) == 4 and service.is_ready()

        send_requests(400)
        for number in (signal.SIGKILL, signal.SIGTERM) * 4:
            victim = workers(service)[0]
            os.kill(victim, number)
            wait_for(partial(replaced, victim), "a new worker")
            time.sleep(0.2)  # until the kernel has moved queued connections to the new worker
            send_requests(100)
        before = set(workers(service))
        service.process.send_signal(signal.SIGHUP)
        wait_for(lambda: not before & set(workers(service)), "the old workers to exit")
        wait_for(lambda: service.is_ready() and len(workers(service)) == 4, "the new workers")
        send_requests(400)
        assert counted(service) == sent
        active = re.search(
            r"^http_server_active_requests (.*)$", service.probe("metrics").body, re.MULTILINE
        )
        assert active
        assert float(active[1]) == 0
        slots = {path.stem.rpartition("_")[2] for path in metrics.iterdir()}
        assert len(slots) <= 9  # four workers, four after the reload, and the arbiter


def test_probes_respond_while_every_thread_is_busy(start):
    with start(WEB_CONCURRENCY="1", WEB_THREADS="2") as service, ThreadPoolExecutor(6) as pool:
        requests = [pool.submit(service.get, "/faulty/sleep/?seconds=2") for _ in range(6)]
        wait_for(
            lambda: "http_server_active_requests 2.0" in service.probe("metrics").body,
            "both threads to be busy",
        )
        while not all(request.done() for request in requests):
            assert service.probe("livez").status == 200
            assert service.probe("readyz").status == 200
        assert {request.result().status for request in requests} == {200}


def test_draining_fails_readiness_and_requests_in_flight_succeed(start):
    with start() as service, ThreadPoolExecutor(1) as pool:
        request = pool.submit(service.get, "/faulty/sleep/?seconds=3")
        wait_for(
            lambda: "http_server_active_requests 1.0" in service.probe("metrics").body,
            "the request",
        )
        statuses = set()

        def draining():
            with contextlib.suppress(OSError):
                statuses.add(service.probe("readyz").status)
            return 503 in statuses

        service.process.terminate()
        wait_for(draining, "readiness to fail")
        assert request.result().status == 200


def queries(project):
    """Return the expressions of the alert rules and of the dashboard."""
    files = project.path / "helm/web/files"
    rules = yaml.safe_load((files / "alerts.yaml").read_text())["groups"]
    panels = json.loads((files / "dashboard.json").read_text())["panels"]
    return [rule["expr"] for group in rules for rule in group["rules"]] + [
        target["expr"] for panel in panels for target in panel["targets"]
    ]


def test_every_alert_and_panel_queries_existing_metrics_and_labels(start, faulty):
    with start(THROTTLE_BLOG_LIMIT="2/hour") as service:
        for path in ["/api/blogs/"] * 3 + ["/faulty/fail/"]:
            service.get(path)
        samples = [
            sample
            for family in text_string_to_metric_families(service.probe("metrics").body)
            for sample in family.samples
        ]

    labels = {sample.name: set(sample.labels) for sample in samples}
    found = queries(faulty)
    assert len(found) > 15
    for query in found:
        promql_parser.parse(query)
        names = set(re.findall(r"\b(?:http_server|throttle|cache|redis|log)_[a-z_]+", query))
        assert names
        assert names <= set(labels), query
        used = set(re.findall(r"(\w+)(?:=~|!=|!~|=)\"", query))
        used |= {
            name for group in re.findall(r"by \(([^)]*)\)", query) for name in group.split(", ")
        }
        for name in names:
            # Prometheus adds these labels of the target.
            assert used - {"namespace", "job", "pod"} <= labels[name], (query, name)


def test_every_alert_has_a_runbook(faulty):
    rules = yaml.safe_load((faulty.path / "helm/web/files/alerts.yaml").read_text())["groups"]
    headings = re.findall(r"^### (.*)$", (faulty.path / "docs/logging.md").read_text(), re.M)
    for rule in rules[0]["rules"]:
        path, _, anchor = rule["annotations"]["runbook_url"].partition("#")
        assert path == "docs/logging.md"
        assert anchor in {heading.lower() for heading in headings}
