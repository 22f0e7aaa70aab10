"""`with-redis` runs a command with a server; the tests run it as a subprocess."""

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import redis

from tests.waiting import wait_for

WITH_REDIS = [sys.executable, "-m", "service_runtime.local_redis"]
PRINT_URL = "import os; print(os.environ.get('REDIS_URL'), flush=True)"
# Prints a line, and exits with status 5 on SIGTERM.
WAIT = "import signal, sys; signal.signal(15, lambda *_: sys.exit(5)); print(1, flush=True)"
WAIT += "; signal.pause()"


@pytest.fixture
def environ(tmp_path, monkeypatch):
    """Return an environment without Redis, for commands that run in a folder without .env."""
    monkeypatch.chdir(tmp_path)
    names = ("REDIS_URL", "REDIS_URL_FILE", "ENV_FILE")
    return {name: value for name, value in os.environ.items() if name not in names}


def run(command, environ):
    """Return the output and the exit status of a command."""
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60)
    return done.stdout, done.stderr, done.returncode


def install_server(environ, script):
    """Put a program that is named redis-server first on PATH."""
    program = Path("bin/redis-server").absolute()
    program.parent.mkdir()
    program.write_text(f"#!{sys.executable}\n{script}\n")
    program.chmod(stat.S_IRWXU)
    environ["PATH"] = f"{program.parent}{os.pathsep}{environ['PATH']}"


def test_the_command_finds_an_empty_server_that_ends_with_it(environ):
    code = f"{PRINT_URL}; import redis; r = redis.Redis.from_url(os.environ['REDIS_URL'])"

    output, _, status = run(
        [*WITH_REDIS, sys.executable, "-c", f"{code}; print(r.dbsize())"], environ
    )

    url, size = output.split()
    assert (size, status) == ("0", 0)
    assert url.startswith("redis://:")
    with pytest.raises(redis.ConnectionError), redis.Redis.from_url(url) as client:
        client.ping()


def test_the_server_needs_a_password(environ):
    code = f"{PRINT_URL}; import redis; url = 'redis://' + os.environ['REDIS_URL'].split('@')[1]"

    _, error, status = run(
        [*WITH_REDIS, sys.executable, "-c", f"{code}; redis.Redis.from_url(url).ping()"], environ
    )

    assert status == 1
    assert "AuthenticationError" in error


@pytest.mark.parametrize(
    ("code", "status"),
    [("raise SystemExit(7)", 7), ("import os; os.kill(os.getpid(), 9)", 128 + signal.SIGKILL)],
)
def test_the_exit_status_is_that_of_the_command(environ, code, status):
    assert run([*WITH_REDIS, sys.executable, "-c", code], environ)[2] == status


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_a_signal_terminates_the_command_and_the_server(environ, number):
    command = [*WITH_REDIS, sys.executable, "-c", f"{PRINT_URL}; {WAIT}"]
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        url = process.stdout.readline().strip()
        process.stdout.readline()
        process.send_signal(number)

        assert process.wait(timeout=20) == 5
    with pytest.raises(redis.ConnectionError), redis.Redis.from_url(url) as client:
        client.ping()


def test_ctrl_c_is_left_to_the_command(environ):
    command = [*WITH_REDIS, sys.executable, "-c", f"{PRINT_URL}; {WAIT}"]
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        url = process.stdout.readline().strip()
        process.stdout.readline()
        process.send_signal(signal.SIGINT)

        with redis.Redis.from_url(url) as client:
            assert client.ping()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 5


@pytest.mark.parametrize("name", ["REDIS_URL", "REDIS_URL_FILE"])
def test_an_existing_setting_is_left_alone(environ, name):
    install_server(environ, "raise SystemExit('started')")
    environ[name] = "redis://elsewhere"
    printed = PRINT_URL.replace("'REDIS_URL'", repr(name))

    assert run([*WITH_REDIS, sys.executable, "-c", printed], environ) == (
        "redis://elsewhere\n",
        "",
        0,
    )


@pytest.mark.parametrize("file", [".env", "other.env"])
def test_a_setting_in_the_env_file_is_left_alone(environ, file):
    Path(file).write_text("REDIS_URL=redis://elsewhere\n")
    if file != ".env":
        environ["ENV_FILE"] = file

    assert run([*WITH_REDIS, sys.executable, "-c", PRINT_URL], environ) == ("None\n", "", 0)


def test_without_a_server_the_command_runs_and_a_message_says_so(environ):
    environ["PATH"] = ""
    code = "from service_runtime import local_redis as m; m.find_spec = lambda name: None; m.main()"

    output, error, status = run(
        [sys.executable, "-c", code, sys.executable, "-c", PRINT_URL], environ
    )

    assert (output, status) == ("None\n", 0)
    assert error.startswith("Found no redis-server: running without Redis. Install one (")
    assert error.endswith("), or set REDIS_URL.\n")


def test_a_server_that_does_not_start_is_an_error_with_its_log(environ):
    install_server(environ, "raise SystemExit('Bad directive')")

    output, error, status = run([*WITH_REDIS, sys.executable, "-c", PRINT_URL], environ)

    assert (output, status) == ("", 1)
    assert "redis-server did not start." in error
    assert "Bad directive" in error


def test_a_signal_during_the_start_stops_the_server(environ):
    install_server(
        environ, "import os, signal; open('pid', 'w').write(str(os.getpid())); signal.pause()"
    )
    with subprocess.Popen([*WITH_REDIS, "true"], env=environ) as process:
        wait_for(lambda: Path("pid").exists() and Path("pid").read_text())
        process.terminate()

        assert process.wait(timeout=20) == 128 + signal.SIGTERM
    with pytest.raises(ProcessLookupError):
        os.kill(int(Path("pid").read_text()), 0)
