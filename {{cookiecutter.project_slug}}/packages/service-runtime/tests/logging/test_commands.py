"""Lines of one run of a management command share an id; the last one has the outcome."""

import re

import pytest
from django.utils.autoreload import DJANGO_AUTORELOAD_ENV

from service_runtime.logging import log_event
from service_runtime.logging.commands import RELOAD, command_context
from service_runtime.logging.context import NONE, current


@pytest.mark.parametrize(
    ("error", "outcome", "severity"),
    [
        (None, "succeeded", "INFO"),
        (SystemExit(), "succeeded", "INFO"),
        (SystemExit(0), "succeeded", "INFO"),
        (SystemExit(2), "failed", "ERROR"),
        (SystemExit("message"), "failed", "ERROR"),
        (SystemExit(RELOAD), "failed", "ERROR"),
        (ValueError("of the command"), "failed", "ERROR"),
        (KeyboardInterrupt(), "interrupted", "INFO"),
    ],
    ids=repr,
)
def test_outcome_of_a_command_is_logged(lines, error, outcome, severity):
    def run():
        with command_context("migrate"):
            if error:
                raise error

    if error:
        with pytest.raises(type(error)) as raised:
            run()
        assert raised.value is error
    else:
        run()

    (line,) = lines()
    assert (line["ev"], line["severity"]) == ("command_finished", severity)
    assert line["data"].pop("duration_ms") >= 0
    assert line["data"] == {"command": "migrate", "outcome": outcome}


def test_restart_by_the_autoreloader_is_no_failure(lines, monkeypatch):
    monkeypatch.setenv(DJANGO_AUTORELOAD_ENV, "true")

    with pytest.raises(SystemExit), command_context("runserver"):
        raise SystemExit(RELOAD)

    assert lines()[0]["data"]["outcome"] == "reloading"
    assert lines()[0]["severity"] == "INFO"


def test_lines_of_a_run_share_an_id_and_runs_differ(lines):
    for _ in range(2):
        with command_context("report"):
            log_event("working", {})

    first, first_end, second, second_end = [line["run_id"] for line in lines()]
    assert re.fullmatch("[0-9a-f]{32}", first)
    assert (first, second) == (first_end, second_end)
    assert first != second
    assert current.get() is NONE
