"""From its start to its exit, a process writes JSON, unless LOG_FORMAT or a terminal says no."""

import os
import pty
import subprocess
import sys
import textwrap

import pytest

from service_runtime.logging import boot
from tests.logging.conftest import parsed

SETTINGS = "SECRET_KEY = 'x'\n"
INVALID = """
from django.core.exceptions import ImproperlyConfigured
raise ImproperlyConfigured("PORT: invalid\\nREDIS_URL: at redis://:hush@host")
"""


@pytest.fixture
def run(tmp_path):
    """Return a function that runs a program after `load_settings`."""

    def run(code="", settings=SETTINGS, stream="stdout", stderr=subprocess.PIPE, **environment):
        (tmp_path / "boot_settings.py").write_text(settings)
        path = tmp_path / "program.py"
        path.write_text(
            "import logging, sys\nfrom service_runtime.logging import boot\n"
            f"boot.load_settings('acme', stream={stream!r})\n{textwrap.dedent(code)}"
        )
        names = {k: v for k, v in os.environ.items() if k not in {"LOG_FORMAT", "LOG_STREAM"}}
        names |= {"DJANGO_SETTINGS_MODULE": "boot_settings", "PYTHONDONTWRITEBYTECODE": "1"}
        return subprocess.run(
            [sys.executable, path],
            env=names | environment,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            check=False,
        )

    return run


def test_output_of_a_server_is_json_on_stdout(run):
    done = run("print('printed'); sys.stderr.write('failed\\n')")

    lines = [parsed(line) for line in done.stdout.splitlines()]
    assert [(line["service"], line["severity"], line["message"]) for line in lines] == [
        ("acme", "INFO", "printed"),
        ("acme", "ERROR", "failed"),
    ]
    assert done.stderr == ""


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_invalid_settings_end_the_process_with_one_line_for_each(run, stream):
    done = run(settings=INVALID, stream=stream)

    outputs = {"stdout": done.stdout, "stderr": done.stderr}
    lines = [parsed(line) for line in outputs.pop(stream).splitlines()]
    assert done.returncode == 1
    assert [(line["logger"], line["severity"]) for line in lines] == [("boot", "CRITICAL")] * 2
    assert [line["message"] for line in lines] == [
        "PORT: invalid",
        "REDIS_URL: at redis://:[redacted]@host",
    ]
    assert outputs.popitem()[1] == ""


def test_console_format_leaves_output_as_it_is(run):
    done = run("print('printed')", LOG_FORMAT="console")
    assert (done.stdout, done.stderr) == ("printed\n", "")

    failed = run(settings=INVALID, LOG_FORMAT="console")
    assert failed.returncode == 1
    assert failed.stderr.startswith("PORT: invalid\nREDIS_URL: ")


def test_console_format_of_the_settings_restores_output_and_hooks(run):
    done = run(
        "print('printed'); sys.stderr.write('warned\\n'); 1 / 0",
        settings=f"{SETTINGS}LOG_FORMAT = 'console'",
    )

    assert done.stdout == "printed\n"
    assert done.stderr.startswith("warned\nTraceback (most recent call last):\n")


def test_command_on_a_terminal_is_human_readable_unless_json_is_chosen(run):
    """The terminal is stderr, where a command's log would go."""
    controller, terminal = pty.openpty()
    code = "logging.getLogger().setLevel('INFO'); sys.stderr.write('warned\\n')"
    run(code, settings=f"{SETTINGS}LOG_FORMAT = 'console'", stream="stderr", stderr=terminal)
    run(code, stream="stderr", stderr=terminal, LOG_FORMAT="json")

    written = os.read(controller, 10_000).decode().splitlines()
    for descriptor in (controller, terminal):
        os.close(descriptor)
    assert written[0] == "warned"
    assert parsed(written[1])["message"] == "warned"


def test_failure_without_captured_output_is_the_exit_message(monkeypatch):
    monkeypatch.setattr(sys, "stderr", sys.__stderr__)

    with pytest.raises(SystemExit, match=r"^PORT: invalid$"):
        boot.fail("PORT: invalid")
