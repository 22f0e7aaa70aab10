"""gunicorn's logger writes with the handlers of Django's LOGGING."""

import logging
from datetime import timedelta
from types import SimpleNamespace

import pytest

from service_runtime.logging.context import NONE, Context, current
from service_runtime.serving.logger import Logger
from tests.logging.conftest import parsed

ENVIRON = {
    "REQUEST_METHOD": "GET",
    "PATH_INFO": "/api/blogs/",
    "REMOTE_ADDR": "192.0.2.7",
    "HTTP_USER_AGENT": "curl/8 token=hush",
    "log.context": Context("abcdefgh", None, "1" * 32, "2" * 16),
    "log.uid": 7,
}
RESPONSE = SimpleNamespace(status_code=200, sent=512)


@pytest.fixture
def logger():
    """Yield gunicorn's logger; the loggers are restored afterwards."""
    root, error, access = (
        logging.getLogger(name) for name in ("", "gunicorn.error", "gunicorn.access")
    )
    before = [(one, one.handlers[:], one.level, one.propagate) for one in (root, error, access)]
    error.addHandler(logging.NullHandler())
    yield Logger(SimpleNamespace())
    for one, handlers, level, propagate in before:
        one.handlers[:], one.propagate = handlers, propagate
        one.setLevel(level)


def test_access_line_has_opentelemetry_names_and_the_context(logger, capfd):
    logger.access(RESPONSE, None, ENVIRON, timedelta(milliseconds=12.34))

    line = parsed(capfd.readouterr().out.rstrip())
    assert line.pop("timestamp")
    assert line == {
        "severity": "INFO",
        "logger": "gunicorn.access",
        "message": "GET /api/blogs/ 200",
        "service": "tests",
        "version": "1.0",
        "request_id": "abcdefgh",
        "trace_id": "1" * 32,
        "span_id": "2" * 16,
        "http.request.method": "GET",
        "url.path": "/api/blogs/",
        "http.response.status_code": 200,
        "duration_ms": 12.3,
        "http.response.body.size": 512,
        "client.address": "192.0.2.7",
        "user_agent.original": "curl/8 token=[redacted]",
        "uid": 7,
    }
    assert current.get() is NONE


def test_access_line_of_a_malformed_request_omits_what_is_unknown(logger, capfd):
    logger.access(SimpleNamespace(), None, {}, timedelta())

    line = parsed(capfd.readouterr().out.rstrip())
    assert line["http.response.status_code"] == 0
    assert line["client.address"] == ""
    assert not line.keys() & {"user_agent.original", "uid", "request_id"}


def test_level_of_the_logger_omits_access_lines(logger, capfd):
    logger.access_log.setLevel(logging.WARNING)

    logger.access(RESPONSE, None, ENVIRON, timedelta())

    assert capfd.readouterr().out == ""


def test_errors_of_gunicorn_are_json_too(logger, capfd):
    logger.reopen_files()  # at SIGUSR1
    logger.error("Worker (pid:%s) was sent SIGKILL!", 7)

    line = parsed(capfd.readouterr().out.rstrip())
    assert (line["logger"], line["severity"]) == ("gunicorn.error", "ERROR")
    assert line["message"] == "Worker (pid:7) was sent SIGKILL!"
