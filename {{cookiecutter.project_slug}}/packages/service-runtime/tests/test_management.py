"""manage.py keeps stdout for the command's output and logs on stderr."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.logging.conftest import parsed

MANAGE = "from service_runtime.management import execute; execute('acme')"
SETTINGS = """
from tests.settings import *
LOGGING["handlers"]["stream"]["stream"] = runtime.LOG_STREAM
"""


@pytest.fixture
def manage(tmp_path):
    """Return a function that runs a management command."""
    (tmp_path / "command_settings.py").write_text(SETTINGS)

    def manage(*arguments, **environment):
        names = {k: v for k, v in os.environ.items() if not k.startswith("LOG_")}
        names["DJANGO_SETTINGS_MODULE"] = "command_settings"
        names["PYTHONPATH"] = str(Path(__file__).parents[1])
        return subprocess.run(
            [sys.executable, "-c", MANAGE, *arguments],
            cwd=tmp_path,
            env=names | environment,
            capture_output=True,
            text=True,
            check=False,
        )

    return manage


@pytest.mark.parametrize(("arguments", "name"), [(["check"], "check"), ([], "help")])
def test_output_is_on_stdout_and_the_outcome_on_stderr(manage, arguments, name):
    done = manage(*arguments)

    line = parsed(done.stderr.splitlines()[-1])
    assert done.returncode == 0
    assert done.stdout
    assert "{" not in done.stdout
    assert (line["ev"], line["data"]["command"]) == ("command_finished", name)
    assert line["data"]["outcome"] == "succeeded"


def test_unknown_command_fails_and_says_so_in_json(manage):
    done = manage("no_such_command")

    *lines, last = [parsed(line) for line in done.stderr.splitlines()]
    assert done.returncode == 1
    assert any("no_such_command" in line["message"] for line in lines)
    assert (last["severity"], last["data"]["outcome"]) == ("ERROR", "failed")
    assert {line["run_id"] for line in lines} == {last["run_id"]}


def test_invalid_settings_end_a_command_before_it_starts(manage):
    done = manage("check", NUM_PROXIES="-1", PORT="many")

    lines = [parsed(line) for line in done.stderr.splitlines()]
    assert (done.returncode, done.stdout) == (1, "")
    assert [line["message"].partition(":")[0] for line in lines] == ["PORT", "NUM_PROXIES"]


def test_migrations_use_their_own_url(manage):
    unreachable = "postgres://localhost:1/none"

    assert manage("migrate", "--plan", DATABASE_URL=unreachable).returncode == 1
    urls = {"DATABASE_URL": unreachable, "MIGRATE_DATABASE_URL": "sqlite:///migrated"}
    assert manage("migrate", "--plan", **urls).returncode == 0
    assert manage("showmigrations", **urls).returncode == 1


@pytest.mark.parametrize(
    ("name", "url", "reason"),
    [
        ("DATABASE_URL", "postgres://u:hush@127.0.0.1:1/n", "Connection refused. Start the server"),
        ("MIGRATE_DATABASE_URL", "postgres://u:hush@missing.invalid/n", "failed to resolve host"),
    ],
)
def test_a_database_that_cannot_be_reached_is_one_line(manage, name, url, reason):
    done = manage("migrate", **{name: url})

    lines = [parsed(line) for line in done.stderr.splitlines()]
    (line,) = [line for line in lines if line["logger"] == "boot"]
    assert done.returncode == 1
    assert line["message"].startswith(f"{name}: Cannot connect to the database: ")
    assert reason in line["message"]
    assert line["message"].endswith(f". Start the server, or correct {name}.")
    assert "Traceback" not in done.stderr
    assert "hush" not in done.stderr


def test_another_error_of_the_database_keeps_its_traceback(manage):
    done = manage("create_admin", DJANGO_SUPERUSER_USERNAME="ada")

    assert done.returncode == 1
    assert "no such table" in done.stderr
    assert "Cannot connect" not in done.stderr
