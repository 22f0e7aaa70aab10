"""`manage.py settings`, with valid and with invalid settings."""

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
from django.core.management import CommandError, call_command

from service_runtime.environment import Environment
from service_runtime.management.commands import settings as command
from tests.logging.conftest import parsed
from tests.test_management import MANAGE, SETTINGS
from tests.test_service_start import INVALID, PRODUCTION, SERVICE


@pytest.fixture
def manage(tmp_path):
    """Return a function that runs a service's command in a process with this environment."""
    for name, text in {**SERVICE, "valid.py": f"{SETTINGS}SLOW_QUERY_SECONDS = 7.0\n"}.items():
        (tmp_path / name).write_text(text)

    def manage(*command, **environment):
        names = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{os.getcwd()}:{tmp_path}"}
        return subprocess.run(
            [sys.executable, *command],
            cwd=tmp_path,
            env={**names, **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    return manage


@pytest.fixture
def output(monkeypatch, capsys, read):
    """Return a function that runs the command here, for an environment."""

    monkeypatch.setattr(command, "settings", SimpleNamespace())  # not those of the tests

    def output(*arguments, own=lambda env: None, **environment):
        monkeypatch.setattr(Environment, "in_force", read(own, **environment))
        call_command("settings", *arguments)
        return capsys.readouterr().out

    return output


def values(text):
    groups = json.loads(text)["groups"]
    return {row["name"]: row["value"] for group in groups.values() for row in group}


def test_invalid_settings_are_printed_with_all_errors(manage):
    done = manage("manage.py", "settings", "--json", **INVALID, PORT="8000", REDIS_ULR="x")

    found = json.loads(done.stdout)
    assert done.returncode == 1
    assert sorted(line.partition(":")[0] for line in found["errors"]) == sorted(INVALID)
    assert found["warnings"] == ["REDIS_ULR has no effect: did you mean REDIS_URL?"]
    rows = {row["name"]: row for group in found["groups"].values() for row in group}
    assert (rows["PORT"]["value"], rows["PORT"]["source"]) == (8000, "environment")
    assert {name for name, row in rows.items() if row["error"]} == set(INVALID)
    assert {row["value"] for row in rows.values() if row["error"]} == {None}
    assert "short" not in done.stdout + done.stderr
    lines = [parsed(line)["message"] for line in done.stderr.splitlines()]
    assert sorted(lines) == sorted(found["errors"])


def test_settings_that_fail_after_the_environment_was_read_are_printed(manage, tmp_path):
    with (tmp_path / "started.py").open("a") as file:
        file.write("from django.core.exceptions import ImproperlyConfigured\n")
        file.write("raise ImproperlyConfigured('no')\n")

    done = manage("manage.py", "settings", "PORT", **PRODUCTION)

    assert done.returncode == 1
    assert "PORT  8000  [default]" in done.stdout
    assert parsed(done.stderr.strip())["message"] == "no"


def test_settings_that_fail_before_are_an_error(manage, tmp_path):
    (tmp_path / "started.py").write_text(
        "from django.core.exceptions import ImproperlyConfigured\nraise ImproperlyConfigured('no')"
    )

    done = manage("manage.py", "settings")

    assert (done.returncode, done.stdout) == (1, "")
    assert "The settings were not loaded far enough" in done.stderr


def test_valid_settings_are_printed_on_stdout_alone(manage):
    environment = {"DJANGO_SETTINGS_MODULE": "valid", "GRACEFUL_TIMEOUT": "7"}

    done = manage("-c", MANAGE, "settings", "--json", **environment)

    found = values(done.stdout)
    assert done.returncode == 0, done.stderr
    assert (found["GRACEFUL_TIMEOUT"], found["LOG_STREAM"]) == (7, "stderr")
    assert found["SLOW_QUERY_SECONDS"] == 7.0  # as the settings assign it
    assert found["THROTTLE_LOGIN_USERNAME"] == "20/hour;100/day"


def test_groups_are_printed_with_values_and_sources(output):
    text = output(ALLOWED_HOSTS="a.example.com, b.example.com", LOG_FIELDS="uid=user")

    assert "Server\n  HOST " in text
    for line in [
        r"DEBUG  true  [environment]",
        "ALLOWED_HOSTS  a.example.com, b.example.com  [environment]",
        "LOG_FIELDS  uid=user  [environment]",
        "OPS_PORT  8001  [default]",
        "THROTTLE_LOGIN  10/minute  [settings.py]",
    ]:
        name, _, rest = line.partition(" ")
        assert f"\n  {name} " in text
        assert rest.strip() in text


def test_named_variables_are_printed_with_their_meaning(output):
    assert output("REDIS_SOCKET_TIMEOUT", "PORT", PORT="8") == (
        "Redis\n"
        "  REDIS_SOCKET_TIMEOUT  0.05  [default]\n"
        "      limit of a call; then the service continues without Redis\n"
        "      number, seconds; default: `0.05`\n"
        "\n"
        "Server\n"
        "  PORT                  8  [environment]\n"
        "      port of the service\n"
        "      integer; default: `8000`\n"
        "\n"
    )


def test_control_characters_do_not_reach_the_terminal(output):
    assert "\\x1b" in output("TITLE", own=lambda env: env.str("TITLE"), TITLE="\x1b[2J")


def test_unknown_name_is_an_error_with_the_closest(output):
    with pytest.raises(CommandError, match=r"^PROT is not a variable of this service\.$"):
        output("PROT")
    with pytest.raises(CommandError, match=r"Did you mean REDIS_SOCKET_TIMEOUT\?$"):
        output("REDIS_SOCKET_TIMOUT")


def test_messages_of_checks_are_printed(output, settings):
    settings.THROTTLE_VARIABLES = ["THROTTLE_NOWHERE"]

    text = output(REDIS_ULR="redis://host", THROTTLE_NOWHERE="1/s")

    assert "Warnings\n  " in text
    assert "configuration.W001: REDIS_ULR has no effect: did you mean REDIS_URL?" in text
    assert "throttling.W001: THROTTLE_NOWHERE is set, but no view uses its scope." in text


def test_silenced_messages_are_not_printed(output, settings):
    settings.SILENCED_SYSTEM_CHECKS = ["configuration.W001"]

    assert "REDIS_ULR" not in output(REDIS_ULR="redis://host")


def marker(group):
    return f"<!-- variables: {group} -->\n<!-- end -->\n"


def test_tables_of_documents_are_updated(output, tmp_path):
    document = tmp_path / "document.md"
    document.write_text(marker("Redis") + marker("This service"))

    output("--update", str(document), own=lambda env: env.bool("BETA", False), THROTTLE_A="1/s")

    assert "| `REDIS_CA_CERT` | text |  | path of" in document.read_text()
    assert "| `BETA` | boolean | `false` |  |" in document.read_text()


def test_document_with_an_unknown_group_is_not_changed(output, tmp_path):
    document = tmp_path / "document.md"
    document.write_text(marker("Redis") + marker("Old"))

    with pytest.raises(CommandError, match=r"'Old' is not a group\. The groups are Required"):
        output("--update", str(document))

    assert "`" not in document.read_text()
