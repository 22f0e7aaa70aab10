"""What the Redis chart allows the service's user: all that the service does, and no more."""

import re
import subprocess
import sys

import pytest
import redis

from ..charts import tools
from ..charts.conftest import documents
from ..support import ROOT, run
from .conftest import RedisServer

pytestmark = [pytest.mark.network, pytest.mark.server]
CHART = ROOT / "{{cookiecutter.project_slug}}" / "helm" / "redis"
# Prints a reply as redis-cli does where its output is no terminal, and like it exits 0 on an error.
CLIENT = """#!{python}
import os, socket, sys
_, _, _, _, _, *words = sys.argv[1:]  # --no-auth-warning -h HOST -p PORT
server = socket.create_connection(("127.0.0.1", {port}))
def ask(*words):
    parts = [f"${{len(word.encode())}}\\r\\n{{word}}\\r\\n" for word in words]
    server.sendall(f"*{{len(words)}}\\r\\n{{''.join(parts)}}".encode())
    return server.recv(65536).decode()
if words[0] == "--user":
    ask("AUTH", words[1], os.environ["REDISCLI_AUTH"])
    del words[:2]
print(ask(*words))
"""


@pytest.fixture(scope="module")
def chart():
    """Return what the chart renders for the prefix of the service's own tests."""
    command = [tools.helm(), "template", "release", CHART, "--kube-version", "1.34.0"]
    rendered = run([*command, "--set", "auth.keyPrefix=tests"], cwd=ROOT)
    return {(item["kind"], item["metadata"]["name"]): item for item in documents(rendered)}


@pytest.fixture(scope="module")
def server(chart, tmp_path_factory):
    """Run a Redis with the chart's ACL file, and an operator besides."""
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
    """Return a client that may do everything; what the service was denied before is forgotten."""
    options = {"username": "operator", "password": "secret", "decode_responses": True}
    with redis.Redis(port=server.port, **options) as client:
        client.acl_log_reset()
        yield client


@pytest.fixture
def user(server):
    """Return a client with the rights of the service."""
    with redis.Redis(port=server.port, username="service", password="secret") as client:
        yield client


@pytest.mark.parametrize("folder", [".", "packages/service-runtime"])
def test_the_tests_pass_with_the_rights_of_the_service_s_user(project, server, operator, folder):
    script = f"cd {folder} && {project.path}/.venv/bin/python -m pytest -m redis"
    environment = {
        "REDIS_URL": f"redis://service:secret@127.0.0.1:{server.port}/0",
        "REDIS_OPERATOR_URL": f"redis://operator:secret@127.0.0.1:{server.port}/0",
    }
    output = project.run("sh", "-c", script, **environment)
    assert re.search(r"= [0-9]+ passed, [0-9]+ deselected in ", output), output
    # Much of what is denied costs speed only, and fails no test.
    denied = [(entry["context"], entry["object"]) for entry in operator.acl_log()]
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
        # An option that would stop nothing if it were allowed.
        ["SHUTDOWN", "ABORT"],
    ],
    ids=" ".join,
)
def test_what_the_service_does_not_need_is_denied(user, command):
    with pytest.raises(redis.ResponseError, match=r"(?i)no permissions|not allowed"):
        user.execute_command(*command)


@pytest.fixture
def helm_test(chart, server, operator, tmp_path):
    """Return a function that runs the script of `helm test` on the server, with further rights."""
    (container,) = chart["Pod", "release-redis-test"]["spec"]["containers"]
    client = tmp_path / "redis-cli"
    client.write_text(CLIENT.format(python=sys.executable, port=server.port))
    client.chmod(0o755)

    def run(*rights):
        operator.execute_command("ACL", "SETUSER", "service", *rights)
        return subprocess.run(
            container["command"],
            env={"PATH": f"{tmp_path}:/usr/bin:/bin", "REDISCLI_AUTH": "secret"},
            capture_output=True,
            text=True,
            check=False,
        )

    yield run
    operator.acl_load()


def test_helm_test_passes(helm_test):
    done = helm_test()
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    "right", ["~*", "+script|flush", "+function", "+flushall", "+keys", "+config", "+acl"]
)
def test_helm_test_fails_where_more_is_allowed(helm_test, right):
    done = helm_test(right)
    assert done.returncode == 1
