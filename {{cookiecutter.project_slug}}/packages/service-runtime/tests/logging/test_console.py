"""Human-readable lines for development."""

import logging
import re
import sys

import pytest

from service_runtime.logging.console import ConsoleFormatter


@pytest.fixture
def line_of(monkeypatch):
    """Return a function that formats a record, for a terminal or not."""

    def line_of(level, message="paid", *, terminal=False, **extra):
        monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal, raising=False)
        record = logging.LogRecord("shop", level, "", 1, message, (), None)
        record.__dict__.update(extra)
        return ConsoleFormatter().format(record)

    return line_of


def test_line_has_time_severity_logger_message_and_data(line_of):
    line = line_of(logging.INFO, data={"order": 17, "token": "hush"})

    assert re.fullmatch(
        r"\d\d:\d\d:\d\d INFO     shop: paid \{'order': 17, 'token': '\[redacted\]'\}", line
    )


@pytest.mark.parametrize(
    ("level", "colour"), [(logging.DEBUG, 90), (logging.WARNING, 33), (logging.ERROR, 31)]
)
def test_severities_differ_in_colour_on_a_terminal_only(line_of, level, colour):
    assert line_of(level, terminal=True).startswith(f"\033[{colour}m")
    assert line_of(level, terminal=True).endswith("\033[0m")
    assert "\033" not in line_of(level)


def test_info_has_no_colour(line_of):
    assert "\033" not in line_of(logging.INFO, terminal=True)


def test_secrets_in_text_are_redacted(line_of):
    assert "hush" not in line_of(logging.INFO, "password='hush'")
