"""A misspelt variable is reported with the name that was probably meant; others are not."""

import logging
import re

import pytest

from service_runtime.configuration.checks import check_names, misspelt
from service_runtime.environment import Environment

MISSPELT = {
    "REDIS_SOCKET_TIMOUT": "REDIS_SOCKET_TIMEOUT",
    "REDIS_ULR": "REDIS_URL",
    "DATABSE_URL": "DATABASE_URL",
    "ALLOWED_HOST": "ALLOWED_HOSTS",
    "SERCET_KEY": "SECRET_KEY",
    "LOGLEVEL": "LOG_LEVEL",
    "OPS_PROT": "OPS_PORT",
    "CORS_ALLOWED_ORIGIN": "CORS_ALLOWED_ORIGINS",
    "THROTLE_LOGIN": "THROTTLE_LOGIN",
    "THROTTLING_FAILED_CLOSED": "THROTTLING_FAIL_CLOSED",
}
# Variables of other programs: shells, Kubernetes' links to the services redis, web, ops-web and
# log, platforms, CI and libraries.
FOREIGN = """
    PATH HOME HOSTNAME SHELL TERM PWD OLDPWD LANG LC_ALL TZ USER LOGNAME TMPDIR EDITOR DISPLAY
    HOSTS PORTS PORT0 PORT1 HOST_IP POD_IP POD_NAME NODE_NAME DEBUGGER LOG LOGS LOG_DIR LOG_FILE
    KUBERNETES_PORT KUBERNETES_SERVICE_HOST KUBERNETES_SERVICE_PORT KUBERNETES_PORT_443_TCP_PROTO
    REDIS_SERVICE_HOST REDIS_SERVICE_PORT REDIS_PORT REDIS_PORT_6379_TCP REDIS_PORT_6379_TCP_ADDR
    WEB_SERVICE_HOST WEB_SERVICE_PORT WEB_PORT WEB_PORT_80_TCP OPS_WEB_PORT OPS_WEB_SERVICE_PORT
    LOG_SERVICE_HOST LOG_PORT LOG_PORT_80_TCP SERVICE_HOST SERVICE_PORT SERVICE_NAME APPS_PORT
    DATABASE_SERVICE_HOST DATABASE_PORT DATABASE_PORT_5432_TCP DATABASE_HOST DATABASE_NAME
    DJANGO_SETTINGS_MODULE DJANGO_SUPERUSER_PASSWORD PYTHONPATH PYTHONUNBUFFERED VIRTUAL_ENV
    GUNICORN_CMD_ARGS PROMETHEUS_MULTIPROC_DIR REDIS_TLS_URL REDIS_OPERATOR_URL DYNO
    AWS_SECRET_ACCESS_KEY AWS_ACCESS_KEY_ID SECRET_KEY_BASE DJANGO_SECRET_KEY SENTRY_ENVIRONMENT
    SENTRY_RELEASE SENTRY_DEBUG GITHUB_ACTIONS GITHUB_TOKEN CI RUNNER_TEMP POSTGRES_PASSWORD
    TEST_DATABASE_URL PGHOST PGPASSWORD OTEL_EXPORTER_OTLP_TRACES_ENDPOINT OTEL_SERVICE_NAME
    UV_DEFAULT_INDEX HTTPS_PROXY NO_PROXY SSL_CERT_FILE REQUESTS_CA_BUNDLE
"""


@pytest.mark.parametrize(("name", "meant"), MISSPELT.items())
@pytest.mark.parametrize("suffix", ["", "_FILE"])
def test_misspelt_variable_is_reported(read, name, meant, suffix):
    env = read(**{name + suffix: "1"})

    assert list(misspelt(env)) == [f"{name} has no effect: did you mean {meant}?"]


def test_misspelt_variable_in_the_file_is_reported(read):
    env = read(file="WEB_CONCURENCY=3\n")

    assert list(misspelt(env)) == ["WEB_CONCURENCY has no effect: did you mean WEB_CONCURRENCY?"]


def test_variables_of_others_are_not_reported(read):
    env = read(**dict.fromkeys(FOREIGN.split(), "x"))

    assert list(misspelt(env)) == []


def test_variable_that_is_close_to_another_but_read_is_not_reported(read):
    env = read(lambda env: env.str("REDIS_URL2"), REDIS_URL2="x", LOG_LEVEL_X="INFO")

    assert list(misspelt(env)) == []


def test_check_warns_once(read, monkeypatch):
    monkeypatch.setattr(Environment, "in_force", read(REDIS_ULR="redis://host"))

    (warning,) = check_names()

    assert (warning.id, warning.is_serious()) == ("configuration.W001", False)
    assert warning.msg == "REDIS_ULR has no effect: did you mean REDIS_URL?"


def test_level_of_a_misspelt_logger_is_reported(settings, monkeypatch):
    monkeypatch.setattr(Environment, "in_force", None)
    settings.LOG_LEVELS = {"djago.db": "DEBUG", "django.db.backends": "DEBUG", "shop": "DEBUG"}
    for name in settings.LOG_LEVELS:  # as LOGGING does
        logging.getLogger(name)

    assert [warning.msg for warning in check_names()] == [
        "LOG_LEVEL_DJAGO__DB has no effect: did you mean LOG_LEVEL_DJANGO__DB?"
    ]


@pytest.mark.parametrize(
    ("environment", "line"),
    [
        (
            {"ALOWED_HOSTS": "a.example.com"},
            "ALLOWED_HOSTS: Must list the host names served.*"
            r" ALOWED_HOSTS is set: did you mean ALLOWED_HOSTS\?",
        ),
        (
            {"SECRETKEY": "hush"},
            "SECRET_KEY: Must be secret.* SECRETKEY is set: did you mean SECRET_KEY",
        ),
    ],
)
def test_error_of_a_variable_that_is_not_set_names_the_misspelt_one(read, environment, line):
    errors = "\n".join(read(DEBUG="false", **environment).errors.values())

    assert re.search(line, errors)
    assert "hush" not in errors


def test_error_of_a_variable_that_is_set_has_no_hint(read):
    assert "did you mean" not in str(read(WEB_THREADS="0", WEB_THREAD="1").errors)
