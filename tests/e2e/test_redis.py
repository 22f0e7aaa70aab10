"""Redis is killed, hangs, and changes its password under load."""

import json
import shlex

import pytest

from ..running import wait_for
from .cluster import restarts
from .web import AUTHOR_LIMIT

pytestmark = pytest.mark.cluster
# The command-line client of either image, as the service's user.
CLIENT = "$(command -v redis-cli || command -v valkey-cli) --no-auth-warning --user service"
# Signal a process of the pod by name; the image can lack ps and pkill.
SIGNAL = """
for process in /proc/[0-9]*; do
    read -r name <$process/comm || continue
    case $name in redis-server|valkey-server) kill -{number} ${{process#/proc/}} ;; esac
done
"""


def assert_limit_holds(web):
    """Check that exactly as many requests are allowed as the limit permits."""
    outcomes = web.admitted(3 * AUTHOR_LIMIT).outcomes
    late = outcomes.pop("503", 0)  # no thread was free in time; they are not counted
    assert outcomes == {"200": AUTHOR_LIMIT, "429": 2 * AUTHOR_LIMIT - late}
    assert late <= 2


def identity(cluster):
    """Return the UID of Redis' pod and its number of restarts."""
    pod = cluster.wait_ready("redis-0")
    return pod.metadata.uid, restarts([pod])


def test_a_killed_redis_pod_causes_no_error(cluster, web, record):
    assert_limit_holds(web)
    before = identity(cluster)
    with web.load() as load:
        load.more(100)
        cluster.kubectl("delete", "pod", "redis-0", "--grace-period=0", "--force")
        after = identity(cluster)
        web.wait_for_redis()
        load.more(100)

    record("Redis' pod deleted, 50 requests per second", **load.results.figures())
    assert after[0] != before[0]
    assert load.results.is_served, load.results.outcomes
    assert_limit_holds(web)


@pytest.fixture
def signalable_redis(cluster, redis_chart):
    """Let a command in Redis' container signal Redis.

    The first process of a container ignores signals. In a process namespace shared by the pod's
    containers, Redis is not the first process.
    """

    def share(value):
        patch = {"spec": {"template": {"spec": {"shareProcessNamespace": value}}}}
        cluster.kubectl("patch", "statefulset", "redis", f"--patch={json.dumps(patch)}")
        cluster.kubectl("rollout", "status", "statefulset/redis", "--timeout=120s")

    share(True)
    yield
    share(None)


def test_a_hung_redis_causes_no_error_until_it_is_restarted(cluster, web, signalable_redis, record):
    web.wait_for_redis()
    assert_limit_holds(web)
    (_, before) = identity(cluster)
    with web.load() as load:
        load.more(100)
        cluster.execute("redis-0", "sh", "-c", SIGNAL.format(number="STOP"))
        # The liveness probe restarts it after about a minute.
        wait_for(lambda: identity_after_restart(cluster, before), "Redis to be restarted", 180)
        web.wait_for_redis()
        load.more(100)

    record("Redis hangs until it is restarted, 50 requests per second", **load.results.figures())
    assert load.results.is_served, load.results.outcomes
    assert_limit_holds(web)


def identity_after_restart(cluster, before):
    """Return the UID and the restarts of Redis' pod once it has restarted and is ready."""
    now = restarts([cluster.core.read_namespaced_pod("redis-0", cluster.namespace)])
    return now != before and identity(cluster)


@pytest.fixture
def passwords(cluster, redis_chart):
    """Return a function that upgrades Redis, and one that tries a password."""

    def upgrade(*options):
        reuse = "--reset-then-reuse-values"
        cluster.helm("upgrade", "redis", redis_chart, "--wait", reuse, *options)

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
    before = identity(cluster)
    with web.load() as load:
        load.more(100)
        upgrade("--set-string", f"auth.password={new}")
        wait_for(
            lambda: cluster.helm("test", "redis", check=False).returncode == 0,
            "Redis to accept both passwords",
            180,
        )
        assert accepts(old)
        assert accepts(new)
        # Pods read the Secret at startup.
        web.restart()
        web.settle()
        upgrade()
        wait_for(lambda: not accepts(old), "Redis to reject the old password", 180)
        web.wait_for_redis()
        load.more(100)

    record("Redis' password replaced, 50 requests per second", **load.results.figures())
    assert current() == new
    assert accepts(new)
    # Redis did not restart, so its data is still there.
    assert identity(cluster) == before
    assert load.results.is_served, load.results.outcomes
    assert_limit_holds(web)
