"""The environment of a service, from an empty directory to settings or a failed startup."""

import json
import os
import subprocess
import sys

import pytest
from django.core.exceptions import ImproperlyConfigured

from service_runtime.environment import Environment
from service_runtime.rates import rates_from_environment
from service_runtime.variables import environment_settings

PRODUCTION = {"ALLOWED_HOSTS": "api.example.com", "SECRET_KEY": "0123456789-abcdefghij" * 3}
INVALID = {
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
SERVICE = {
    "started.py": """
from pathlib import Path
from tests.test_service_start import load
globals().update(load(Path(__file__).parent))
""",
    "manage.py": """
import os
from service_runtime.management import execute
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "started")
execute("started")
""",
    "gunicorn.conf.py": """
import os
from service_runtime.serving import gunicorn
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "started")
globals().update(gunicorn.configuration("started"))
wsgi_app = "started:application"
""",
}


def load(folder):
    """Return the settings of a service in a folder, as its settings.py reads them."""
    env = Environment()
    env.read_file(folder / ".env")
    found = dict(vars(environment_settings(env, service="started", version="1", debug=False)))
    found["DATABASES"] = {"default": env.database("DATABASE_URL", folder / "db.sqlite3")}
    found["THROTTLE_RATES"] = rates_from_environment(env, defaults={"login": "10/minute"})
    env.seal()
    return found


@pytest.fixture
def settings_of(monkeypatch, tmp_path):
    """Return a function that loads the settings of a service with exactly this environment."""

    def settings_of(**environment):
        for name in os.environ:
            monkeypatch.delenv(name)
        for name, value in {"ENV_FILE": os.devnull, **environment}.items():
            monkeypatch.setenv(name, str(value))
        return load(tmp_path)

    return settings_of


@pytest.mark.parametrize(
    ("command", "stream"), [(["manage.py", "check"], "stderr"), (["-m", "gunicorn"], "stdout")]
)
@pytest.mark.parametrize("log_format", ["xml", "console"])
def test_every_invalid_value_is_reported_at_once(tmp_path, command, stream, log_format):
    for name, text in SERVICE.items():
        (tmp_path / name).write_text(text)
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{os.getcwd()}:{tmp_path}"}
    result = subprocess.run(
        [sys.executable, *command],
        cwd=tmp_path,
        env={**environment, "ENV_FILE": os.devnull, **INVALID, "LOG_FORMAT": log_format},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    invalid = set(INVALID)
    if log_format == "console":  # human-readable
        invalid.remove("LOG_FORMAT")
        found, nothing = result.stderr.splitlines(), result.stdout
    else:
        outputs = {"stderr": result.stderr, "stdout": result.stdout}
        lines = [json.loads(line) for line in outputs.pop(stream).splitlines()]
        found, nothing = [line["message"] for line in lines], outputs.popitem()[1]
        assert {line["severity"] for line in lines} == {"CRITICAL"}
    assert result.returncode == 1
    assert nothing == ""
    assert sorted(line.split(":")[0] for line in found) == sorted(invalid)
    assert any("THROTTLE_LOGIN: '10/parsec' is not a rate" in line for line in found)
    assert not any("short" in line for line in found)


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
def test_values_that_would_fail_at_the_first_request_stop_startup(settings_of, name, value):
    with pytest.raises(ImproperlyConfigured) as error:
        settings_of(**{**PRODUCTION, name: value})

    assert [line.split(":")[0] for line in str(error.value).splitlines()] == [name]
    assert "hush" not in str(error.value)


def test_https_by_header_needs_a_proxy(settings_of):
    found = settings_of(**PRODUCTION)

    assert found["SECURE_SSL_REDIRECT"] is False
    assert found["SECURE_PROXY_SSL_HEADER"] is None


def test_secrets_can_be_files(settings_of, tmp_path):
    for name, value in PRODUCTION.items():
        (tmp_path / name).write_text(value + "\n")

    found = settings_of(**{f"{name}_FILE": tmp_path / name for name in PRODUCTION})

    assert found["SECRET_KEY"] == PRODUCTION["SECRET_KEY"]
    assert found["ALLOWED_HOSTS"] == ["api.example.com"]


def test_rates_and_levels_can_be_files(settings_of, tmp_path):
    (tmp_path / "rate").write_text("3/min\n")
    (tmp_path / "level").write_text("ERROR\n")

    found = settings_of(
        THROTTLE_LOGIN_FILE=tmp_path / "rate", LOG_LEVEL_FILE=tmp_path / "level", **PRODUCTION
    )

    assert found["THROTTLE_RATES"]["login"] == "3/min"
    assert found["LOG_LEVEL"] == "ERROR"


def test_lists_can_have_spaces_and_a_trailing_comma(settings_of):
    found = settings_of(**{**PRODUCTION, "ALLOWED_HOSTS": " api.example.com , .example.net,"})

    assert found["ALLOWED_HOSTS"] == ["api.example.com", ".example.net"]
