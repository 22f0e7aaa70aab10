import json
import logging
import os
import subprocess
import sys
import textwrap
import threading

import pytest

from service_runtime.logging.context import Context, current, in_context
from tests.logging.conftest import parsed

BOOT = """
import logging, os, sys, threading
sys.path.insert(0, {path!r})
from service_runtime.logging import boot
boot.start("acme", stream={stream!r})
log = logging.getLogger("test")
"""


@pytest.fixture
def script(tmp_path):
    """Return a function that makes the command line of a program that logs."""

    def script(code, stream="stdout"):
        path = tmp_path / "script.py"
        head = BOOT.format(path=os.getcwd(), stream=stream)
        path.write_text(head + textwrap.dedent(code))
        return [sys.executable, path]

    return script


def run(command, **options):
    """Return what a program wrote, which has to be JSON on either stream."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    return [parsed(line) for line in done.stdout.splitlines()], [
        parsed(line) for line in done.stderr.splitlines()
    ]


def output(process):
    """Return what a program's standard output can be read from."""
    assert process.stdout
    return process.stdout


def test_whatever_is_printed_is_a_record(script):
    out, err = run(
        script(
            """
            import warnings
            print("printed", "twice")
            print("no end", end="")
            sys.stdout.flush()
            sys.stderr.write("an error\\n")
            warnings.warn("careful")
            thread = threading.Thread(target=lambda: 1 / 0, name="worker")
            thread.start()
            thread.join()

            class Destroyed:
                def __del__(self):
                    raise ValueError("late")

            Destroyed()
            log.warning("logged")
            raise KeyError("end")
            """
        )
    )

    assert err == []
    assert [(line["severity"], line["message"]) for line in out[:3]] == [
        ("INFO", "printed twice"),
        ("INFO", "no end"),
        ("ERROR", "an error"),
    ]
    assert "careful" in out[3]["message"]
    assert (out[4]["message"], out[4]["exception.type"]) == (
        "Uncaught ZeroDivisionError in thread worker",
        "builtins.ZeroDivisionError",
    )
    assert out[5]["exception.message"] == "late"
    assert out[6]["message"] == "logged"
    assert (out[7]["severity"], out[7]["exception.type"]) == ("CRITICAL", "builtins.KeyError")


def test_what_stderr_calls_a_warning_is_none_of_the_errors(script):
    out, _ = run(
        script(
            """
            for written in [
                "careless",
                "views.py:7: Warning [blog]: careful",
                "NOTICE: informed",
                "[warning] careful",
                "Warnings are not listed",
                "System check identified some issues:\\n\\nWARNINGS:\\n?: (security.W1) careful",
                "System check identified some issues:\\n\\nERRORS:\\n?: (a.E1)\\n\\nWARNINGS:\\ny",
            ]:
                sys.stderr.write(f"{written}\\n")
            """
        )
    )

    levels: dict[str, list[str]] = {severity: [] for severity in ("ERROR", "WARNING", "INFO")}
    for line in out:
        levels[line["severity"]].append(line["message"])
    assert levels["WARNING"] == [
        *("views.py:7: Warning [blog]: careful", "[warning] careful"),
        *("System check identified some issues:", "WARNINGS:", "?: (security.W1) careful"),
    ]
    assert levels["INFO"] == ["NOTICE: informed"]
    assert levels["ERROR"][:2] == ["careless", "Warnings are not listed"]
    assert levels["ERROR"][2:] == [
        *("System check identified some issues:", "ERRORS:", "?: (a.E1)", "WARNINGS:", "y"),
    ]


def test_a_handler_of_the_teams_own_does_not_log_for_ever(script):
    out, err = run(
        script(
            """
            logging.getLogger().addHandler(logging.StreamHandler())
            log.warning("once")
            """
        )
    )

    assert [line["message"] for line in out] == ["once", "once"]
    assert err == []


def test_a_thread_that_ends_itself_is_no_failure(script):
    out, err = run(
        script(
            """
            thread = threading.Thread(target=sys.exit)
            thread.start()
            thread.join()
            """
        )
    )

    assert (out, err) == ([], [])


def test_what_is_printed_without_an_end_does_not_pile_up(script):
    out, _ = run(
        script(
            """
            for _ in range(100):
                print("x" * 1000, end="")
            """
        )
    )

    assert len(out) == 12


def test_a_stream_that_does_not_wait_loses_nothing(script):
    command = script(
        """
        os.set_blocking(1, False)
        for number in range(1000):
            log.warning("%d %s", number, "x" * 500)
        """
    )
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        lines = [parsed(line) for line in output(process).read().decode().splitlines()]

    numbers = [int(line["message"].split()[0]) for line in lines]
    assert numbers == list(range(1000))


def test_a_command_keeps_its_output(script):
    command = script('print("output"); log.warning("logged")', stream="stderr")
    done = subprocess.run(command, capture_output=True, text=True, check=True)

    assert done.stdout == "output\n"
    assert parsed(done.stderr.rstrip())["message"] == "logged"


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_closed_stream_breaks_nothing(script, stream):
    code = """
    os.close(1)
    os.close(2) if {both} else None
    log.warning("lost")
    from service_runtime.metrics import LOG_RECORDS_DROPPED
    open({path!r}, "w").write(str(LOG_RECORDS_DROPPED._value.get()))
    """
    path = f"{os.getcwd()}/closed-{os.getpid()}-{stream}"
    command = script(code.format(both=stream == "stderr", path=path))
    done = subprocess.run(command, capture_output=True, text=True, check=True)

    with open(path) as file:
        assert file.read() == "1.0"
    os.unlink(path)
    if stream == "stdout":
        assert "cannot be written" in parsed(done.stderr.rstrip())["message"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="only Linux has a disk that is full")
def test_a_full_disk_breaks_nothing(script):
    with open("/dev/full", "w") as full:
        command = script('log.warning("one"); log.warning("two"); raise SystemExit(3)')
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)

    assert done.returncode == 3
    assert "No space left on device" in parsed(done.stderr.rstrip())["message"]  # once


def test_lines_of_several_processes_stay_whole(script):
    """More than a pipe takes at once, from four processes, to a reader that is slow."""
    command = script(
        """
        for _ in range(3):
            if os.fork() == 0:
                break
        for number in range(150):
            log.warning("small")
            log.warning("x" * 4200 + "%d", number, extra={"more": "y" * 8000})
        """
    )
    with subprocess.Popen(command, stdout=subprocess.PIPE, bufsize=0) as process:
        chunks = []
        while chunk := os.read(output(process).fileno(), 1000):
            chunks.append(chunk)
    lines = b"".join(chunks).decode().splitlines()

    assert len(lines) == 4 * 300
    assert sum(parsed(line)["message"] == "small" for line in lines) == 4 * 150


def test_a_queue_drops_and_counts_and_nothing_else_is_lost(script):
    """The reader comes late; what it gets and what was dropped is all there was."""
    command = script(
        """
        from service_runtime.logging.formatter import JsonFormatter
        from service_runtime.logging.handler import LineHandler
        handler = LineHandler("stdout", capacity=100)
        handler.setFormatter(JsonFormatter("acme", "1"))
        logging.getLogger().handlers = [handler]
        for number in range(5000):
            log.warning("%d", number, extra=dict(filling="x" * 1000))
        os.write(2, b"done")
        """
    )
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert (
            process.stderr and process.stderr.read(4)
        ) == b"done"  # it does not wait for the reader
        lines = [parsed(line) for line in output(process).read().decode().splitlines()]

    dropped = [line for line in lines if "were dropped" in line["message"]]
    written = [int(line["message"]) for line in lines if line not in dropped]
    assert written == sorted(set(written))
    assert len(written) + sum(int(line["message"].split()[0]) for line in dropped) == 5000
    assert dropped


def test_a_reader_that_does_not_read_is_waited_for(script):
    command = script(
        """
        for number in range(500):
            log.warning("%d", number, extra={"x": "x" * 1000})
        """
    )
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1)
        lines = [json.loads(line) for line in output(process).read().splitlines()]

    assert [line["message"] for line in lines] == [str(number) for number in range(500)]


def test_a_thread_can_take_the_context_along(lines):
    token = current.set(Context(request_id="abcdefgh"))
    log = logging.getLogger("django_default")

    def work():
        log.warning("working")

    threads = [threading.Thread(target=in_context(work)), threading.Thread(target=work)]
    current.reset(token)
    for thread in threads:
        thread.start()
        thread.join()

    assert [line.get("request_id") for line in lines()] == ["abcdefgh", None]
