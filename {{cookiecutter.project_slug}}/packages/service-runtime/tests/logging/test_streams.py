"""Printed text, warnings and uncaught exceptions become records."""

import subprocess

from tests.logging.conftest import parsed


def run(command, **options):
    """Return the lines of a program on stdout and stderr, which must be JSON."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    return [parsed(line) for line in done.stdout.splitlines()], [
        parsed(line) for line in done.stderr.splitlines()
    ]


def test_printed_text_warnings_and_uncaught_exceptions_are_records(script):
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


def test_line_of_stderr_has_the_level_that_it_names(script):
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


def test_handler_that_writes_to_stderr_does_not_log_its_own_output(script):
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


def test_thread_that_exits_is_not_an_error(script):
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


def test_long_text_without_a_newline_is_split(script):
    out, _ = run(
        script(
            """
            for _ in range(100):
                print("x" * 1000, end="")
            """
        )
    )

    assert len(out) == 12


def test_command_keeps_stdout_for_its_output(script):
    command = script('print("output"); log.warning("logged")', stream="stderr")
    done = subprocess.run(command, capture_output=True, text=True, check=True)

    assert done.stdout == "output\n"
    assert parsed(done.stderr.rstrip())["message"] == "logged"
