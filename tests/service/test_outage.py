"""Redis hangs or dies while requests are coming in."""

import collections
import signal
import time

import pytest
import redis

from ..running import Service, wait_for
from .load import Load

pytestmark = [pytest.mark.network, pytest.mark.server]

# Long enough that a second one would show beside everything else that a request may wait for.
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
            assert {answer.status for answer in load.answers} == {200}
            load.answers.clear()
            redis_server.process.send_signal(number)
            load.more(200)
            during = list(load.answers)

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
            load.answers.clear()
            load.more(50)

        statuses = collections.Counter(answer.status for answer in during)
        assert set(statuses) <= ({200, 503} if closed else {200})
        assert statuses[503] > 100 if closed else statuses[200] == len(during)
        assert max(answer.duration for answer in during) < 2 * TIMEOUT
        # As the service sees it: a client may also wait behind others, once for each worker.
        durations = [line["duration_ms"] for line in service.lines() if "duration_ms" in line]
        stalled = [duration for duration in durations if duration > TIMEOUT * 900]
        assert len(stalled) <= WORKERS * THREADS
        assert stalled or number == signal.SIGKILL
        # What was under way when the circuits closed may still be the outage's.
        after = [answer.status for answer in load.answers if answer.started > closed_at]
        assert len(after) > 40
        assert set(after) == {200}


def test_a_denied_service_of_503_says_when_to_come_back(serve):
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
    assert "throttling.E001: AuthorApiView (api/authors/) names the throttle" in log.read_text()
    assert "THROTTLE_FORGOTTEN" in log.read_text()
    assert "Listening" not in log.read_text()


def test_readiness_outlives_the_database(serve, postgres_server):
    with serve(DATABASE_URL=postgres_server.url) as service:
        assert service.probe("readyz").json()["database"] == "ok"
        postgres_server.stop()

        # The first may still find pooled connections; none may take as long as the probes wait.
        for _ in range(4):
            started = time.monotonic()
            answer = service.probe("readyz")
            assert time.monotonic() - started < 5
            assert answer.status == 200
        assert answer.json() | {"redis": ""} == {
            "status": "ready",
            "migrated": True,
            "database": "unreachable",
            "redis": "",
        }


@pytest.fixture
def editor(serve, redis_server):
    """Serve, and return the service with a function that changes the first blog's title."""
    environment = {"REDIS_URL": redis_server.url, "THROTTLE_BLOG_LIMIT": "off"}
    with serve(**environment) as service:
        header = serve.sign_in(service)

        def change(title):
            answer = service.request("/api/blogs/1/", "PATCH", {"title": title}, **header)
            assert answer.status == 200, answer

        yield service, change


def titles(service, times=50):
    """Return the titles that several requests for the first blog show."""
    return {service.get("/api/blogs/1/").json()["title"] for _ in range(times)}


def is_hit(service):
    """Tell whether the first blog comes from the cache."""
    return service.get("/api/blogs/1/").headers["Cache-Status"].endswith("; hit")


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL])
def test_a_write_while_redis_is_away_is_seen_when_it_is_back(editor, redis_server, number):
    service, change = editor
    change("Before")
    wait_for(lambda: is_hit(service), "a hit")
    with redis.Redis.from_url(redis_server.url) as client:
        client.save()  # what a restart begins with
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
        return 0 < log.count("is unavailable") == log.count("is available again")

    # A worker that the machine has not let run may replay after another one has closed its circuit.
    wait_for(all_recovered, "every worker to recover")
    wait_for(lambda: is_hit(service), "the cache to be used again")
    assert titles(service) == {"After"}
    assert is_hit(service)


def test_a_snapshot_from_before_a_write_is_not_served(editor, redis_server):
    service, change = editor
    change("Before")
    wait_for(lambda: is_hit(service), "a hit")
    with redis.Redis.from_url(redis_server.url) as client:
        client.save()
    change("After")

    redis_server.stop(signal.SIGKILL)
    redis_server.start()

    assert titles(service) == {"After"}
    wait_for(lambda: is_hit(service), "the cache to be used again")
    assert titles(service) == {"After"}
