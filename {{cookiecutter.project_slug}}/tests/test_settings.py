"""What each environment gives, seen from a new process as a deployment starts it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from {{ cookiecutter.project_slug }} import settings as settings_module

ROOT = Path(__file__).parent.parent
PRODUCTION = {"ALLOWED_HOSTS": "api.example.com", "SECRET_KEY": "0123456789-abcdefghij" * 3}
WRONG = {
    "ALLOWED_HOSTS": "*",
    "DATABASE_URL": "mysqlite:///x",
    "LOG_FORMAT": "xml",
    "LOG_LEVEL": "LOUD",
    "NUM_PROXIES": "-1",
    "OPS_PORT": "8000",
    "REDIS_URL": "localhost",
    "SECRET_KEY": "short",
    "THROTTLE_LOGIN": "10/parsec",
    "WEB_THREADS": "0",
}


def run(*command, **environment):
    return subprocess.run(
        command,
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "ENV_FILE": os.devnull, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("command", [[sys.executable, "manage.py", "check"], ["gunicorn"]])
def test_every_wrong_value_is_reported_at_once(command):
    result = run(*command, **WRONG)

    lines = result.stderr.splitlines()
    assert result.returncode == 1
    assert result.stdout == ""
    assert sorted(line.split(":")[0] for line in lines) == sorted(WRONG)
    assert "THROTTLE_LOGIN: '10/parsec' is not a rate" in result.stderr
    assert "short" not in result.stderr


def test_without_an_environment_production_does_not_start():
    result = run(sys.executable, "manage.py", "check")

    assert result.returncode == 1
    assert [line.split(":")[0] for line in result.stderr.splitlines()] == [
        "SECRET_KEY",
        "ALLOWED_HOSTS",
    ]


def values(*names, **environment):
    """Return settings' values as a process with this environment has them."""
    script = "import json; from django.conf import settings as s; print(json.dumps(["
    script += ", ".join(f"getattr(s, {name!r}, None)" for name in names) + "]))"
    result = run(
        sys.executable,
        "-c",
        script,
        DJANGO_SETTINGS_MODULE="{{ cookiecutter.project_slug }}.settings",
        **environment,
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_production_behind_a_proxy_is_strict():
    assert values(
        "SECURE_SSL_REDIRECT",
        "SECURE_PROXY_SSL_HEADER",
        "SESSION_COOKIE_SECURE",
        "SECURE_HSTS_SECONDS",
        NUM_PROXIES="1",
        **PRODUCTION,
    ) == [True, ["HTTP_X_FORWARDED_PROTO", "https"], True, 31_536_000]


def test_without_a_proxy_the_client_s_word_for_https_is_not_taken():
    assert values("SECURE_SSL_REDIRECT", "SECURE_PROXY_SSL_HEADER", **PRODUCTION) == [False, None]


def test_levels_are_set_per_logger():
    (logging,) = values("LOGGING", LOG_LEVEL_DJANGO__DB__BACKENDS="DEBUG", **PRODUCTION)

    assert logging["loggers"]["django.db.backends"] == {"level": "DEBUG"}


def test_secrets_may_be_files(tmp_path):
    for name, value in PRODUCTION.items():
        (tmp_path / name).write_text(value + "\n")

    files = {f"{name}_FILE": str(tmp_path / name) for name in PRODUCTION}
    assert values("SECRET_KEY", "ALLOWED_HOSTS", **files) == [
        PRODUCTION["SECRET_KEY"],
        ["api.example.com"],
    ]


def test_the_readme_documents_every_variable():
    names = {name for name in settings_module.env.dump() if not name.startswith("LOG_LEVEL_")}
    table = (ROOT / "README.md").read_text(encoding="utf-8")

    assert len(names) > 20
    assert [name for name in sorted(names) if f"| `{name}` |" not in table] == []
