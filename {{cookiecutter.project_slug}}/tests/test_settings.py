"""What each environment gives, seen from a new process as a deployment starts it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from service_runtime.logging import reporting

from {{ cookiecutter.project_slug }} import settings as settings_module

ROOT = Path(__file__).parent.parent
PRODUCTION = {"ALLOWED_HOSTS": "api.example.com", "SECRET_KEY": "0123456789-abcdefghij" * 3}
WRONG = {
    "ALLOWED_HOSTS": "*",
    "CORS_ALLOWED_ORIGINS": "www.example.com",
    "CSRF_TRUSTED_ORIGINS": "https://api.example.com/path",
    "DATABASE_URL": "mysqlite:///x",
    "LOG_FORMAT": "xml",
    "LOG_LEVEL": "LOUD",
    "NUM_PROXIES": "-1",
    "OPS_PORT": "8000",
    "REDIS_CA_CERT": "/nowhere",
    "REDIS_URL": "localhost",
    "SECRET_KEY": "short",
    "SECURE_HSTS_SECONDS": "-5",
    "THROTTLE_LOGIN": "10/parsec",
    "THROTTLING_EXEMPT_NETWORKS": "10.0.0.0/8, everyone",
    "THROTTLING_HEADERS": "none",
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


def messages(output):
    """Return what the lines of a process that could not start say, each a JSON object."""
    lines = [json.loads(line) for line in output.splitlines()]
    assert {line["severity"] for line in lines} == {"CRITICAL"}
    return [line["message"] for line in lines]


@pytest.mark.parametrize(
    ("command", "stream"), [(["manage.py", "check"], "stderr"), (["-m", "gunicorn"], "stdout")]
)
@pytest.mark.parametrize("log_format", ["xml", "console"])
def test_every_wrong_value_is_reported_at_once(command, stream, log_format):
    result = run(sys.executable, *command, **{**WRONG, "LOG_FORMAT": log_format})

    if log_format == "console":  # for people
        found, nothing = result.stderr.splitlines(), result.stdout
    else:
        outputs = {"stderr": result.stderr, "stdout": result.stdout}
        found, nothing = messages(outputs.pop(stream)), outputs.popitem()[1]
    wrong = set(WRONG) - ({"LOG_FORMAT"} if log_format == "console" else set())
    assert result.returncode == 1
    assert nothing == ""
    assert sorted(line.split(":")[0] for line in found) == sorted(wrong)
    assert any("THROTTLE_LOGIN: '10/parsec' is not a rate" in line for line in found)
    assert not any("short" in line for line in found)


def test_without_an_environment_production_does_not_start():
    result = run(sys.executable, "manage.py", "check")

    assert result.returncode == 1
    assert [line.split(":")[0] for line in messages(result.stderr)] == [
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


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "mysql://user:hush@host/name"),
        ("DATABASE_URL", "postgres://"),
        ("REDIS_URL", "redis://:hush@host/0?foo=bar"),
        ("REDIS_URL", "redis://:hush@host/notadb"),
        ("ALLOWED_HOSTS", "https://api.example.com"),
        ("ENV_FILE", "/nowhere"),
        ("ENV_FILE", "/"),
    ],
)
def test_what_would_fail_at_the_first_request_stops_the_start(name, value):
    result = run(sys.executable, "manage.py", "check", **{**PRODUCTION, name: value})

    assert result.returncode == 1
    assert [line.split(":")[0] for line in messages(result.stderr)] == [name]
    assert "hush" not in result.stderr


def test_lists_may_have_spaces_and_a_comma_at_the_end():
    hosts = {**PRODUCTION, "ALLOWED_HOSTS": " api.example.com , .example.net,"}

    assert values("ALLOWED_HOSTS", **hosts) == [["api.example.com", ".example.net"]]


def test_rates_and_levels_may_be_files(tmp_path):
    (tmp_path / "rate").write_text("3/min\n")
    (tmp_path / "level").write_text("ERROR\n")
    files = {"THROTTLE_LOGIN_FILE": tmp_path / "rate", "LOG_LEVEL_FILE": tmp_path / "level"}

    rates, level = values(
        "THROTTLE_RATES", "LOG_LEVEL", **PRODUCTION, **{k: str(v) for k, v in files.items()}
    )

    assert rates["login"] == "3/min"
    assert level == "ERROR"


def test_a_level_of_a_logger_leaves_its_other_settings():
    (logging,) = values("LOGGING", LOG_LEVEL_DJANGO__SERVER="DEBUG", **PRODUCTION)

    assert logging["loggers"]["django.server"] == {
        "handlers": [],
        "level": "DEBUG",
        "propagate": True,
    }


def test_error_pages_hide_what_urls_hide():
    safe = reporting.ExceptionReporterFilter().get_safe_settings()

    for name in ("REDIS_URL", "CACHEOPS_REDIS", "SECRET_KEY", "THROTTLING_REDIS_URL"):
        assert set(safe[name]) == {"*"}, name


def test_the_readme_documents_every_variable():
    names = {name for name in settings_module.env.dump() if not name.startswith("LOG_LEVEL_")}
    table = (ROOT / "README.md").read_text(encoding="utf-8")

    assert len(names) > 20
    assert [name for name in sorted(names) if f"| `{name}` |" not in table] == []
