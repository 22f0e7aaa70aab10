"""The settings of a new process, as a deployment starts it."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import call_command

from {{ cookiecutter.project_slug }} import settings as settings_module

ROOT = Path(__file__).parent.parent
PRODUCTION = {"ALLOWED_HOSTS": "api.example.com", "SECRET_KEY": "0123456789-abcdefghij" * 3}
MODULE = "{{ cookiecutter.project_slug }}.settings"


def run(*arguments, **environment):
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "ENV_FILE": os.devnull, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def values(*names, **environment):
    """Return the values of settings in a process with this environment."""
    script = "import json; from django.conf import settings as s; print(json.dumps(["
    script += ", ".join(f"getattr(s, {name!r}, None)" for name in names) + "]))"
    result = run("-c", script, DJANGO_SETTINGS_MODULE=MODULE, **environment)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_production_does_not_start_without_an_environment():
    result = run("manage.py", "check")

    assert result.returncode == 1
    lines = [json.loads(line) for line in result.stderr.splitlines()]
    assert {line["severity"] for line in lines} == {"CRITICAL"}
    assert [line["message"].split(":")[0] for line in lines] == ["SECRET_KEY", "ALLOWED_HOSTS"]


def test_production_behind_a_proxy_requires_https():
    assert values(
        "SECURE_SSL_REDIRECT",
        "SECURE_PROXY_SSL_HEADER",
        "SESSION_COOKIE_SECURE",
        "SECURE_HSTS_SECONDS",
        NUM_PROXIES="1",
        **PRODUCTION,
    ) == [True, ["HTTP_X_FORWARDED_PROTO", "https"], True, 31_536_000]


def test_only_development_has_the_browsable_api():
    names = [
        [renderer.rpartition(".")[2] for renderer in rest_framework["DEFAULT_RENDERER_CLASSES"]]
        for environment in (PRODUCTION, {"DEBUG": "true"})
        for rest_framework in values("REST_FRAMEWORK", **environment)
    ]

    assert names == [["JSONRenderer"], ["JSONRenderer", "BrowsableAPIRenderer"]]


def test_the_level_of_a_logger_leaves_its_other_settings():
    levels = {"LOG_LEVEL_DJANGO__DB__BACKENDS": "DEBUG", "LOG_LEVEL_DJANGO__SERVER": "DEBUG"}
    (logging,) = values("LOGGING", **levels, **PRODUCTION)

    server = {"handlers": [], "level": "DEBUG", "propagate": True}
    assert logging["loggers"]["django.db.backends"] == {"level": "DEBUG"}
    assert logging["loggers"]["django.server"] == server


@pytest.mark.parametrize("name", ["README.md", "docs/configuration.md"])
def test_tables_of_variables_are_up_to_date(tmp_path, name):
    """`make variables` writes them."""
    text = (ROOT / name).read_text(encoding="utf-8")
    (tmp_path / "copy.md").write_text(text, encoding="utf-8")

    call_command("settings", update=[tmp_path / "copy.md"])

    assert (tmp_path / "copy.md").read_text(encoding="utf-8") == text


def test_every_variable_has_a_meaning_in_the_document():
    text = (ROOT / "docs/configuration.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\S+)` \| .* \| .* \| (.*) \|$", text, re.MULTILINE))

    names = {name for name in settings_module.env.fields if not name.startswith("LOG_LEVEL_")}
    assert names <= rows.keys()
    assert [name for name, meaning in rows.items() if not meaning] == []
