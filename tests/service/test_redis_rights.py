"""The Redis chart grants the service's user exactly the permissions that the service needs."""

import re
import subprocess
import sys

import pytest
import redis

from ..charts import tools
from ..charts.conftest import documents
from ..support import ROOT, run
from .servers import RedisServer

pytestmark = [pytest.mark.network, pytest.mark.server]
CHART = ROOT / "{{cookiecutter.project_slug}}" / "helm" / "redis"
# Prints replies like redis-cli without a terminal, and like it exits with 0 after an error reply.
CLIENT = """#!{python}
import os, socket, sys
_, _, _, _, _, *words = sys.argv[1:]  # --no-auth-warning -h HOST -p PORT
server = socket.create_connection(("127.0.0.1", {port}))
def execute(*words):
    parts = [f"${{len(word.encode())}}\\r\\n{{word}}\\r\\n" for word in words]
    server.sendall(f"*{{len(words)}}\\r\\n{{''.join(parts)}}".encode())
    return server.recv(65536).decode()
if words[0] == "--user":
    execute("AUTH", words[1], os.environ["REDISCLI_AUTH"])
    del words[:2]
print(execute(*words))
"""


@pytest.fixture(scope="module")
def chart():
    """Return the chart's objects, rendered with the key prefix of the service's own tests."""
    options = ["--kube-version", "1.34.0", "--set", "auth.keyPrefix=tests"]
    rendered = run([tools.helm(), "template", "release", CHART, *options], cwd=ROOT)
    return {(item["kind"], item["metadata"]["name"]): item for item in documents(rendered)}


@pytest.fixture(scope="module")
def server(chart, tmp_path_factory):
    """Run a Redis with the chart's ACL file and an additional user, the operator."""
    folder = tmp_path_factory.mktemp("redis")
    rules = chart["ConfigMap", "release-redis"]["data"]["users.acl"]
    rules = rules.replace("@HASHES@", ">secret") + "user operator on >secret ~* &* +@all\n"
    (folder / "users.acl").write_text(rules)
    server = RedisServer(folder)
    server.start("--aclfile", str(folder / "users.acl"))
    yield server
    server.stop()


@pytest.fixture
def operator(server):
    """Return a client with all permissions and an empty ACL log."""
    with redis.Redis(
        port=server.port, username="operator", password="secret", decode_responses=True
    ) as client:
        client.acl_log_reset()
        yield client


@pytest.fixture
def user(server):
    """Return a client with the permissions of the service."""
    with redis.Redis(port=server.port, username="service", password="secret") as client:
        yield client


@pytest.mark.parametrize("folder", [".", "packages/service-runtime"])
def test_all_tests_pass_with_the_permissions_of_the_service_user(project, server, operator, folder):
    script = f"cd {folder} && {project.path}/.venv/bin/python -m pytest -m redis"
    environment = {
        "REDIS_URL": f"redis://service:secret@127.0.0.1:{server.port}/0",
        "REDIS_OPERATOR_URL": f"redis://operator:secret@127.0.0.1:{server.port}/0",
    }
    output = project.run("sh", "-c", script, **environment)
    assert re.search(r"= [0-9]+ passed, [0-9]+ deselected in ", output), output
    # A denied command often makes a request slower but fails no test.
    denied = [
        (entry["context"], entry["object"])
        for entry in operator.acl_log()
        if entry["username"] == "service"  # tests create users with fewer permissions
    ]
    assert [entry for entry in denied if "other:readyz" not in entry] == []


@pytest.mark.parametrize(
    "command",
    [
        ["SET", "other:key", "1"],
        ["GET", "other:key"],
        ["GET", "tests"],
        ["GET", "testsuite:key"],
        ["UNLINK", "tests:key", "other:key"],
        ["EVAL", "return redis.call('GET', KEYS[1])", "1", "other:key"],
        ["EVAL", "return redis.call('SET', 'other:key', 1)", "0"],
        ["EVAL", "return redis.call('FLUSHALL')", "0"],
        ["SCRIPT", "FLUSH"],
        ["SCRIPT", "KILL"],
        ["FUNCTION", "LOAD", "#!lua name=test\nredis.register_function('test', function() end)"],
        ["FUNCTION", "FLUSH"],
        ["FUNCTION", "LIST"],
        ["FCALL", "test", "0"],
        ["FLUSHALL"],
        ["FLUSHDB"],
        ["SWAPDB", "0", "1"],
        ["KEYS", "*"],
        ["RENAME", "tests:key", "other:key"],
        ["CONFIG", "GET", "maxmemory"],
        ["CONFIG", "SET", "maxmemory", "0"],
        ["ACL", "LIST"],
        ["ACL", "WHOAMI"],
        ["DEBUG", "SLEEP", "0"],
        ["MODULE", "LIST"],
        ["CLIENT", "LIST"],
        ["CLIENT", "KILL", "TYPE", "normal"],
        ["CLIENT", "PAUSE", "1"],
        ["MONITOR"],
        ["PUBLISH", "channel", "message"],
        ["SUBSCRIBE", "channel"],
        ["REPLICAOF", "NO", "ONE"],
        ["SAVE"],
        # ABORT does not stop the server, even if it is allowed.
        ["SHUTDOWN", "ABORT"],
    ],
    ids=" ".join,
)
def test_commands_that_the_service_does_not_need_are_denied(user, command):
    with pytest.raises(redis.ResponseError, match=r"(?i)no permissions|not allowed"):
        user.execute_command(*command)


@pytest.fixture
def helm_test(chart, server, operator, tmp_path):
    """Return a function that runs the script of `helm test` with additional permissions."""
    (container,) = chart["Pod", "release-redis-test"]["spec"]["containers"]
    client = tmp_path / "redis-cli"
    client.write_text(CLIENT.format(python=sys.executable, port=server.port))
    client.chmod(0o755)

    def run(*permissions):
        operator.execute_command("ACL", "SETUSER", "service", *permissions)
        settings = {item["name"]: item["value"] for item in container["env"] if "value" in item}
        return subprocess.run(
            container["command"],
            env={**settings, "PATH": f"{tmp_path}:/usr/bin:/bin", "REDISCLI_AUTH": "secret"},
            capture_output=True,
            text=True,
            check=False,
        )

    yield run
    operator.acl_load()


def test_helm_test_passes(helm_test):
    result = helm_test()
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize(
    "permission", ["~*", "+script|flush", "+function", "+flushall", "+keys", "+config", "+acl"]
)
def test_helm_test_fails_when_more_is_allowed(helm_test, permission):
    result = helm_test(permission)
    assert result.returncode == 1
