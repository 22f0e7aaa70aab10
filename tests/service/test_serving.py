"""The service under real gunicorn, with and without a real Redis and PostgreSQL."""

import json
import signal
import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from ..running import Service, wait_for

pytestmark = [pytest.mark.network, pytest.mark.server]


@pytest.fixture
def redis(redis_url, request):
    """Return the environment for a Redis that tests share, with a separate key prefix."""
    return {"REDIS_URL": redis_url, "CACHE_KEY_PREFIX": request.node.name}


def assert_only_json(service):
    """Fail unless every line is a JSON object with the fields that all lines have."""
    lines = service.log.read_text().splitlines()
    assert lines
    for line in lines:
        assert json.loads(line).keys() >= {"timestamp", "severity", "logger", "message"}


def test_cache_throttles_and_logs(serve, redis):
    with serve(**redis, THROTTLE_BLOG_LIMIT="4/hour") as service:
        first, second = service.get("/api/blogs/"), service.get("/api/blogs/")
        detail = [service.get("/api/blogs/1/").status for _ in range(3)]
        listed = service.get("/api/blogs/")
        independent = service.get("/api/authors/")
        wait_for(
            lambda: [line for line in service.lines() if line.get("url.path") == "/api/authors/"],
            "the access line",
        )

    assert first.headers["Cache-Status"].endswith("; fwd=miss")
    assert "; hit" in second.headers["Cache-Status"]
    assert second.body == first.body
    assert detail == [200, 200, 429]
    assert listed.status == 429
    # A slot becomes free up to a twentieth of the period late.
    assert 3600 <= int(listed.headers["Retry-After"]) <= 3780
    assert independent.status == 200
    assert_only_json(service)
    access = next(
        line
        for line in service.lines()
        if line.get("request_id") == listed.headers["X-Request-ID"] and "duration_ms" in line
    )
    assert access["http.response.status_code"] == 429
    assert service.process.returncode == 0
    assert not service.left_behind()


@pytest.mark.parametrize("path", ["/", "/nowhere", "/static/index.css"])
def test_responses_have_security_headers_and_do_not_name_the_server(serve, path):
    with serve() as service:
        responses = [service.get(path), service.get(path, Range="bytes=0-1")]
        probe = service.probe("livez")

    for response in responses:
        assert response.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert "camera=()" in response.headers["Permissions-Policy"]
        assert response.headers["Date"]
        assert "Server" not in response.headers
    assert "Server" not in probe.headers


def test_concurrent_first_requests_for_the_schema_succeed(serve):
    with serve() as service, ThreadPoolExecutor(16) as clients:
        requests = [clients.submit(service.get, "/api/schema/") for _ in range(16)]

    assert {request.result().status for request in requests} == {200}


def test_postgresql_tokens_and_writes(serve, redis, postgres_url):
    with serve(**redis, DATABASE_URL=postgres_url) as service:
        header = serve.sign_in(service)
        service.get("/api/blogs/")
        blog = {"author": 1, "title": "New", "body": "Text"}
        created = service.request("/api/blogs/", "POST", blog, **header)
        listed = service.get("/api/blogs/").json()
        revoked = service.request("/api/token/", "DELETE", **header)
        rejected = service.request("/api/blogs/", "POST", blog, **header)

    assert created.status == 201
    assert listed["results"][0]["title"] == "New"
    assert revoked.status == 204
    assert rejected.status == 401
    assert_only_json(service)


def test_a_request_in_flight_completes_after_sigterm(serve, redis):
    body = json.dumps({"username": "unknown", "password": "invalid"}).encode()
    head = (
        "POST /api/token/ HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )

    with serve(**redis) as service:
        with socket.create_connection(("127.0.0.1", service.port)) as client:
            client.sendall(b"HEAD / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert client.recv(65536).startswith(b"HTTP/1.1 200")  # a worker has the connection
            client.sendall(head.encode() + body[:5])
            service.process.terminate()
            wait_for(lambda: "Handling signal: term" in service.log.read_text(), "SIGTERM's line")
            client.sendall(body[5:])
            response = client.makefile("rb").read().decode()
        status = service.process.wait(30)

    assert response.startswith("HTTP/1.1 400 ")
    assert "Unable to log in" in response
    assert status == 0
    assert not service.left_behind()


def test_without_redis_the_service_runs_in_one_process_and_logs_one_warning(serve):
    with serve(THROTTLE_BLOG_LIMIT="2/hour") as service:
        responses = [service.get("/api/blogs/") for _ in range(3)]
        health = service.probe("readyz").json()

    assert [response.status for response in responses] == [200, 200, 429]
    assert responses[0].headers["Cache-Status"].endswith("; fwd=bypass")
    assert health["redis"] == "not configured"
    warnings = [line for line in service.lines() if line["severity"] == "WARNING"]
    assert [line["message"][:21] for line in warnings if line["logger"] == "gunicorn.error"] == [
        "REDIS_URL is not set:"
    ]
    booted = [line for line in service.lines() if line["message"].startswith("Booting worker")]
    assert len(booted) == 1
    assert_only_json(service)


def test_the_service_survives_an_outage_of_redis(serve, project, tmp_path):
    unreachable = {"REDIS_URL": "redis://127.0.0.1:1/0"}
    with serve(**unreachable) as service:
        statuses = [service.get("/api/blogs/").status for _ in range(3)]
        health = service.probe("readyz").json()

    assert statuses == [200, 200, 200]
    assert health["redis"] == "unreachable"
    assert_only_json(service)


def test_only_a_proxy_can_declare_https_and_probes_are_exempt(serve, redis):
    with serve(**redis, NUM_PROXIES="1") as service:
        plain = service.get("/api/blogs/")
        proxied = service.get("/api/blogs/", X_Forwarded_Proto="https")
        other_host = service.get("/api/blogs/", Host="other.example.com")
        probe = service.probe("livez")

    assert plain.status == 301
    assert plain.headers["Location"].startswith("https://")
    assert proxied.status == 200
    assert "max-age=31536000" in proxied.headers["Strict-Transport-Security"]
    assert other_host.status == 400
    assert probe.status == 200


def test_a_busy_ops_port_stops_the_start(serve, redis, project):
    with socket.create_server(("0.0.0.0", 0)) as taken:
        port = str(taken.getsockname()[1])
        service = serve(**redis, OPS_PORT=port)
        status = service.process.wait(30)

    assert status == 1
    assert f"OPS_PORT: {port} is not free" in service.log.read_text()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_make_run_stops_with_all_its_processes(project, tmp_path, number):
    project = project.copy(tmp_path)
    with Service(["make", "run"], project.path, tmp_path / "run.log", ENV_FILE=".env") as service:
        hit = [service.get("/api/blogs/").headers["Cache-Status"] for _ in range(2)][1]
        service.stop(number)

    assert "; hit" in hit
    assert not service.left_behind()
