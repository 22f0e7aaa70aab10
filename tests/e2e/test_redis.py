"""Redis goes away, hangs, and gets another password, while requests come in."""

import json
import shlex

import pytest

from ..running import wait_for
from .cluster import restarts
from .web import AUTHOR_LIMIT

pytestmark = pytest.mark.cluster
# The client of either image, as the service's user.
CLIENT = "$(command -v redis-cli || command -v valkey-cli) --no-auth-warning --user service"
# Processes of the pod by name; the image may have neither ps nor pkill.
SIGNAL = """
for process in /proc/[0-9]*; do
    read -r name <$process/comm || continue
    case $name in redis-server|valkey-server) kill -{number} ${{process#/proc/}} ;; esac
done
"""


def assert_limit_holds(web):
    """Check that as many requests are let through as the limit says, and no more."""
    answers = web.admitted(3 * AUTHOR_LIMIT)
    assert answers.outcomes == {"200": AUTHOR_LIMIT, "429": 2 * AUTHOR_LIMIT}


def uid(cluster):
    """Return what tells Redis' pod from its successor, and how often it was started."""
    pod = cluster.wait_ready("redis-0")
    return pod.metadata.uid, restarts([pod])


def test_redis_killed_with_its_pod_causes_no_error(cluster, web, record):
    assert_limit_holds(web)
    before = uid(cluster)
    with web.load() as load:
        load.more(100)
        cluster.kubectl("delete", "pod", "redis-0", "--grace-period=0", "--force")
        after = uid(cluster)
        web.wait_for_redis()
        load.more(100)

    record("Redis' pod deleted, 50 requests a second", **load.answers.figures())
    assert after[0] != before[0]
    assert load.answers.failed == []
    assert_limit_holds(web)


@pytest.fixture
def reachable_redis(cluster, redis_chart):
    """Let a command in Redis' container send Redis a signal, which a container's first process
    does not get: with the processes of the pod in one namespace, Redis is not the first."""

    def share(value):
        patch = {"spec": {"template": {"spec": {"shareProcessNamespace": value}}}}
        cluster.kubectl("patch", "statefulset", "redis", f"--patch={json.dumps(patch)}")
        cluster.kubectl("rollout", "status", "statefulset/redis", "--timeout=120s")

    share(True)
    yield
    share(None)


def test_redis_that_hangs_until_it_is_restarted_causes_no_error(
    cluster, web, reachable_redis, record
):
    web.wait_for_redis()
    assert_limit_holds(web)
    (_, before) = uid(cluster)
    with web.load() as load:
        load.more(100)
        cluster.execute("redis-0", "sh", "-c", SIGNAL.format(number="STOP"))
        # Its liveness probe has it killed, after about a minute.
        wait_for(lambda: uid_or_none(cluster, before), "Redis to be restarted", 180)
        web.wait_for_redis()
        load.more(100)

    record("Redis hangs until it is restarted, 50 requests a second", **load.answers.figures())
    assert load.answers.failed == []
    assert_limit_holds(web)


def uid_or_none(cluster, before):
    """Return how often Redis was started, if that is more often than before and it is ready."""
    now = restarts([cluster.core.read_namespaced_pod("redis-0", cluster.namespace)])
    return now != before and uid(cluster)


@pytest.fixture
def passwords(cluster, redis_chart):
    """Return a function that sets Redis' password, or none, and one that tries a password."""

    def upgrade(*options):
        keep = "--reset-then-reuse-values"
        cluster.helm("upgrade", "redis", redis_chart, "--wait", keep, *options)

    def accepts(password):
        command = f"REDISCLI_AUTH={shlex.quote(password)} {CLIENT} ping"
        return "PONG" in cluster.kubectl("exec", "redis-0", "--", "sh", "-c", f"{command} 2>&1")

    return upgrade, accepts


def test_a_password_is_replaced_without_a_failed_request(cluster, web, passwords, record):
    upgrade, accepts = passwords

    def current():
        output = "--output=go-template={{.data.password | base64decode}}"
        return cluster.kubectl("get", "secret", "redis", output)

    old = current()
    new = "another p@ssword/+:%"
    before = uid(cluster)
    with web.load() as load:
        load.more(100)
        upgrade("--set-string", f"auth.password={new}")
        wait_for(
            lambda: cluster.helm("test", "redis", check=False).returncode == 0,
            "Redis to know both passwords",
            180,
        )
        assert accepts(old)
        assert accepts(new)
        # Pods read the Secret when they start.
        web.restart()
        web.settle()
        upgrade()
        wait_for(lambda: not accepts(old), "the old password to be refused", 180)
        web.wait_for_redis()
        load.more(100)

    record("Redis' password replaced, 50 requests a second", **load.answers.figures())
    assert current() == new
    assert accepts(new)
    # Redis itself was not restarted, and has kept what it had.
    assert uid(cluster) == before
    assert load.answers.failed == []
    assert_limit_holds(web)
