"""The redis chart's scripts, run with fake Redis programs."""

import hashlib
import json
import os
import signal
import subprocess

import pytest

from tests.charts.objects import one
from tests.running import wait_for


def environment(container, programs):
    """Return a container's environment, with a PATH that starts with a folder of fake programs."""
    variables = {item["name"]: item["value"] for item in container["env"]}
    return variables | {"PATH": f"{programs}:/usr/bin:/bin"}


def executable(path, text):
    """Write an executable file."""
    path.write_text(text)
    path.chmod(0o755)


def hashed(password):
    """Return a password as an ACL file stores it."""
    return "#" + hashlib.sha256(password.encode()).hexdigest()


@pytest.mark.parametrize(
    ("reply", "ready", "alive"),
    [
        ("PONG", True, True),
        ("LOADING Redis is loading the dataset in memory", False, True),
        ("BUSY Redis is busy running a script", False, True),
        ("WRONGPASS invalid username-password pair", False, True),
        ("NOAUTH Authentication required.", False, False),
        ("Could not connect to Redis at 127.0.0.1:6379: Connection refused", False, False),
    ],
)
def test_only_pong_is_ready_and_transient_errors_are_alive(render, tmp_path, reply, ready, alive):
    # The script runs for real. Like the real redis-cli, the fake one exits with 0 on any reply.
    objects = render("redis", "default")
    (container,) = one(objects, "StatefulSet")["spec"]["template"]["spec"]["containers"]
    (tmp_path / "password").write_text("secret")
    executable(tmp_path / "redis-cli", f"#!/bin/sh\necho '{reply}'\n")
    script = one(objects, "ConfigMap")["data"]["ping.sh"].replace(
        "/run/secrets/redis", str(tmp_path)
    )
    for probe, healthy in {
        "startupProbe": ready,
        "readinessProbe": ready,
        "livenessProbe": alive,
    }.items():
        shell, path, *arguments = container[probe]["exec"]["command"]
        assert path == "/etc/redis/ping.sh"
        result = subprocess.run(
            [shell, "-c", script, path, *arguments],
            env=environment(container, tmp_path),
            check=False,
        )
        assert (result.returncode == 0) == healthy, probe


def install(data, folder):
    """Set up folders and fake programs for start.sh; return the script with their paths."""
    for name in ("secrets", "run", "exporter"):
        (folder / name).mkdir()
    (folder / "users.acl").write_text(data["users.acl"])
    executable(folder / "redis-server", "#!/bin/sh\nexec sleep 60\n")
    log = folder / "redis-cli.log"
    executable(folder / "redis-cli", f'#!/bin/sh\necho "$REDISCLI_AUTH $@" >>{log}\necho OK\n')
    script = data["start.sh"].replace("/etc/redis/users.acl", f"{folder}/users.acl")
    for path, name in {"secrets/redis": "secrets", "redis": "run", "exporter": "exporter"}.items():
        script = script.replace(f"/run/{path}/", f"{folder}/{name}/")
    return script


def users(folder):
    """Return each user's rules, from the ACL file for the server."""
    path = folder / "run" / "users.acl"
    lines = path.read_text().splitlines() if path.exists() else []
    return {line.split()[1]: line.split()[2:] for line in lines}


@pytest.mark.parametrize("name", ["default", "tls"])
def test_redis_starts_with_hashed_passwords_and_reloads_changed_ones(render, tmp_path, name):
    objects = render("redis", name)
    container = one(objects, "StatefulSet")["spec"]["template"]["spec"]["containers"][0]
    script = install(one(objects, "ConfigMap")["data"], tmp_path)
    (tmp_path / "secrets" / "password").write_text("old")
    log = tmp_path / "redis-cli.log"
    with subprocess.Popen(
        ["sh", "-c", script], env=environment(container, tmp_path), start_new_session=True
    ) as process:
        try:
            wait_for(lambda: users(tmp_path), "the ACL file")
            assert users(tmp_path)["service"][:3] == ["on", hashed("old"), "~acme-blog:*"]
            (tmp_path / "secrets" / "previous-password").write_text("old")
            (tmp_path / "secrets" / "password").write_text("new\n")
            wait_for(lambda: hashed("new") in users(tmp_path)["service"], "the new password")
            wait_for(lambda: log.exists() and log.read_text(), "the reload")
        finally:
            os.killpg(process.pid, signal.SIGKILL)

    assert users(tmp_path)["service"][1:3] == [hashed("new"), hashed("old")]
    password, *options = log.read_text().splitlines()[-1].split()
    assert users(tmp_path)["reloader"] == ["on", hashed(password), "-@all", "+acl|load"]
    assert ("--tls" in options) == (name == "tls")


def start_and_end(script, container, folder):
    """Run start.sh with a server that exits at once and ends the watcher; return the result."""
    executable(folder / "redis-server", "#!/bin/sh\nkill 0\n")
    return subprocess.run(
        ["sh", "-c", script],
        env=environment(container, folder),
        start_new_session=True,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_exporter_s_password_is_hashed_and_survives_a_restart(render, tmp_path):
    objects = render("redis", "tls")
    container = one(objects, "StatefulSet")["spec"]["template"]["spec"]["containers"][0]
    script = install(one(objects, "ConfigMap")["data"], tmp_path)
    (tmp_path / "secrets" / "password").write_text("secret")
    passwords = tmp_path / "exporter" / "passwords.json"
    start_and_end(script, container, tmp_path)
    first = json.loads(passwords.read_text())
    start_and_end(script, container, tmp_path)
    assert json.loads(passwords.read_text()) == first
    ((url, password),) = first.items()
    assert url == "rediss://exporter@localhost:6379"
    assert users(tmp_path)["exporter"][:3] == ["on", hashed(password), "-@all"]


def test_redis_does_not_start_without_a_password(render, tmp_path):
    objects = render("redis", "default")
    container = one(objects, "StatefulSet")["spec"]["template"]["spec"]["containers"][0]
    script = install(one(objects, "ConfigMap")["data"], tmp_path)
    result = start_and_end(script, container, tmp_path)
    assert result.returncode == 1
    assert "set its key 'password'" in result.stdout


CLIENT = """#!/bin/sh
case "$*" in
  {granted}) echo granted ;;
  *" ping") echo "${{REDISCLI_AUTH:+PONG}}${{REDISCLI_AUTH:-NOAUTH}}" ;;
  *" set acme-blog:helm-test "*) echo OK ;;
  *" 1 acme-blog:helm-test") echo 1 ;;
  *" info server") echo run_id:0 ;;
  *"call('set', 'other', 1)"*) echo "ERR No permissions to access a key" ;;
  *) echo "NOPERM" ;;
esac
"""


@pytest.mark.parametrize("name", ["default", "tls"])
@pytest.mark.parametrize(
    ("granted", "passes"),
    [
        ("nothing", True),
        ('*" flushall"', False),
        ('*" get other:acme-blog:helm-test"', False),
        ('*" acl list"', False),
        ('*" set acme-blog:helm-test "*', False),
    ],
)
def test_helm_test_checks_what_the_service_s_user_can_do(render, tmp_path, name, granted, passes):
    (container,) = one(render("redis", name), "Pod")["spec"]["containers"]
    log = tmp_path / "log"
    client = CLIENT.format(granted=granted).replace("case", f'echo "$*" >>{log}\ncase', 1)
    executable(tmp_path / "redis-cli", client)
    variables = {item["name"]: item.get("value", "secret") for item in container["env"]}
    result = subprocess.run(
        container["command"],
        env=variables | {"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode == 0) == passes, result.stdout
    assert all("-h release-redis.apps.svc -p 6379" in line for line in log.read_text().splitlines())
    assert ("--tls" in log.read_text()) == (name == "tls")


def test_a_changed_test_does_not_restart_redis(render):
    assert set(one(render("redis", "default"), "ConfigMap")["data"]) == {
        "redis.conf",
        "users.acl",
        "ping.sh",
        "start.sh",
    }
