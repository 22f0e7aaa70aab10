"""Redis hangs or is killed under load."""

import collections
import signal
import time

import pytest
import redis

from ..running import Service, wait_for
from .load import Load

pytestmark = [pytest.mark.network, pytest.mark.server]

# Much longer than all other delays of a request, so that a second timeout is noticeable.
TIMEOUT = 1.0
WORKERS, THREADS = 2, 4


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL])
@pytest.mark.parametrize("closed", ["", "blog_limit"])
def test_an_outage_costs_at_most_one_timeout(serve, redis_server, number, closed):
    environment = {
        "REDIS_URL": redis_server.url,
        "REDIS_SOCKET_TIMEOUT": str(TIMEOUT),
        "THROTTLE_BLOG_LIMIT": "1000000/hour",
        "THROTTLING_FAIL_CLOSED": closed,
        "WEB_CONCURRENCY": str(WORKERS),
        "WEB_THREADS": str(THREADS),
    }
    with serve(**environment) as service:
        with Load(service, "/api/blogs/") as load:
            load.more(50)
            assert {response.status for response in load.responses} == {200}
            load.responses.clear()
            redis_server.process.send_signal(number)
            load.more(200)
            during = list(load.responses)

            if number == signal.SIGSTOP:
                redis_server.process.send_signal(signal.SIGCONT)
            else:
                redis_server.process.wait()
                redis_server.start()
            wait_for(
                lambda: str(service.log.read_text()).count("is available again") == WORKERS,
                "the circuits to close",
            )
            closed_at = time.monotonic()
            load.responses.clear()
            load.more(50)

        statuses = collections.Counter(response.status for response in during)
        assert set(statuses) <= ({200, 503} if closed else {200})
        assert statuses[503] > 100 if closed else statuses[200] == len(during)
        assert max(response.duration for response in during) < 2 * TIMEOUT
        # Measured in the service, without the time in its queue.
        durations = [line["duration_ms"] for line in service.lines() if "duration_ms" in line]
        stalled = [duration for duration in durations if duration > TIMEOUT * 900]
        assert len(stalled) <= WORKERS * THREADS
        assert stalled or number == signal.SIGKILL
        # Requests that started before the circuits closed can still fail.
        after = [response.status for response in load.responses if response.started > closed_at]
        assert len(after) > 40
        assert set(after) == {200}


def test_a_scope_that_fails_closed_returns_503_with_retry_after(serve):
    with serve(REDIS_URL="redis://127.0.0.1:1/0", THROTTLING_FAIL_CLOSED="blog_limit") as service:
        denied = service.get("/api/blogs/")
        other = service.get("/api/authors/")
        metrics = service.probe("metrics").body

    assert (denied.status, denied.headers["Retry-After"]) == (503, "1")
    assert other.status == 200
    assert 'throttle_requests_total{outcome="failed_closed",scope="blog_limit"} 1.0' in metrics
    assert 'throttle_requests_total{outcome="failed_open",scope="author_limit"} 1.0' in metrics


@pytest.mark.parametrize("rate", ["10/parsec", "0/hour", "-1/h"])
def test_a_malformed_rate_stops_gunicorn_before_it_binds(serve, project, rate, tmp_path):
    environment = {"DEBUG": "true", "ENV_FILE": "/dev/null", "THROTTLE_BLOG_LIMIT": rate}
    log = tmp_path / "gunicorn.log"
    service = Service([project.path / ".venv/bin/gunicorn"], project.path, log, **environment)

    assert service.process.wait(60) == 1
    assert service.lines()[0]["message"].startswith(f"THROTTLE_BLOG_LIMIT: '{rate}' ")
    assert "Listening" not in log.read_text()


def test_a_scope_without_a_rate_stops_gunicorn_before_it_binds(project, tmp_path):
    project = project.copy(tmp_path, shares_packages=True)
    views = project.path / project.slug / "blog" / "views.py"
    views.write_text(views.read_text().replace('"author_limit"', '"forgotten"'))
    log = tmp_path / "gunicorn.log"
    environment = {"DEBUG": "true", "ENV_FILE": "/dev/null", "THROTTLE_UNUSED": "1/h"}
    command = [project.path / ".venv/bin/python", "-m", "gunicorn"]
    service = Service(command, project.path, log, **environment)

    assert service.process.wait(60) == 1
    assert "throttling.E001: AuthorApiView /api/authors/ uses the throttle scope" in log.read_text()
    assert "THROTTLE_FORGOTTEN" in log.read_text()
    assert "Listening" not in log.read_text()


def test_readiness_does_not_depend_on_the_database(serve, postgres_server):
    with serve(DATABASE_URL=postgres_server.url) as service:
        assert service.probe("readyz").json()["database"] == "ok"
        postgres_server.stop()

        # The first can find pooled connections; none can take as long as the probes' timeout.
        for _ in range(4):
            started = time.monotonic()
            response = service.probe("readyz")
            assert time.monotonic() - started < 5
            assert response.status == 200
        assert response.json() | {"redis": ""} == {
            "status": "ready",
            "migrated": True,
            "database": "unreachable",
            "redis": "",
        }


@pytest.fixture
def editor(serve, redis_server):
    """Return a running service and a function that changes the first blog's title."""
    environment = {"REDIS_URL": redis_server.url, "THROTTLE_BLOG_LIMIT": "off"}
    with serve(**environment) as service:
        header = serve.sign_in(service)

        def change(title):
            response = service.request("/api/blogs/1/", "PATCH", {"title": title}, **header)
            assert response.status == 200, response

        yield service, change


def titles(service, times=50):
    """Return the titles of the first blog in several responses."""
    return {service.get("/api/blogs/1/").json()["title"] for _ in range(times)}


def is_hit(service):
    """Return whether a response for the first blog is a cache hit."""
    return "; hit" in service.get("/api/blogs/1/").headers["Cache-Status"]


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL])
def test_a_write_during_an_outage_is_visible_after_it(editor, redis_server, number):
    service, change = editor
    change("Before")
    wait_for(lambda: is_hit(service), "a hit")
    with redis.Redis.from_url(redis_server.url) as client:
        client.save()  # loaded by a restart
    redis_server.process.send_signal(number)

    change("After")
    assert titles(service) == {"After"}
    if number == signal.SIGSTOP:
        redis_server.process.send_signal(signal.SIGCONT)
        wait_for(lambda: "is available again" in service.log.read_text(), "the recovery")
    else:
        redis_server.process.wait()
        redis_server.start()

    def all_recovered():
        log = service.log.read_text()
        return 0 < log.count("is unavailable: ") == log.count("is available again")

    # A worker that gets no CPU time can replay after another one has closed its circuit.
    wait_for(all_recovered, "every worker to recover")
    wait_for(lambda: is_hit(service), "a hit after the outage")
    assert titles(service) == {"After"}
    assert is_hit(service)


def test_a_snapshot_older_than_a_write_is_not_served(editor, redis_server):
    service, change = editor
    change("Before")
    wait_for(lambda: is_hit(service), "a hit")
    with redis.Redis.from_url(redis_server.url) as client:
        client.save()
    change("After")

    redis_server.stop(signal.SIGKILL)
    redis_server.start()

    assert titles(service) == {"After"}
    wait_for(lambda: is_hit(service), "a hit after the outage")
    assert titles(service) == {"After"}
