"""Lines are written atomically, or counted as lost."""

import fcntl
import json
import os
import struct
import subprocess
import termios

import pytest

from tests.logging.conftest import parsed
from tests.waiting import wait_for


def output(process):
    """Return the reading end of a program's stdout."""
    assert process.stdout
    return process.stdout


def waiting_bytes(process):
    """Return how many bytes the pipe of a program's stdout holds."""
    size = fcntl.ioctl(output(process), termios.FIONREAD, struct.pack("i", 0))
    return struct.unpack("i", size)[0]


def test_nonblocking_output_loses_no_line(script):
    command = script(
        """
        os.set_blocking(1, False)
        for number in range(1000):
            log.warning("%d %s", number, "x" * 500)
        """
    )
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        wait_for(lambda: waiting_bytes(process) > 60_000, seconds=60)  # the pipe is full
        lines = [parsed(line) for line in output(process).read().decode().splitlines()]

    numbers = [int(line["message"].split()[0]) for line in lines]
    assert numbers == list(range(1000))


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_closed_output_is_counted_and_reported(script, stream):
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


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="only Linux has /dev/full")
def test_full_disk_is_reported_once(script):
    with open("/dev/full", "w") as full:
        command = script('log.warning("one"); log.warning("two"); raise SystemExit(3)')
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)

    assert done.returncode == 3
    assert "No space left on device" in parsed(done.stderr.rstrip())["message"]  # once


def test_lines_of_several_processes_are_atomic(script):
    """Four processes write lines longer than PIPE_BUF to a slow reader."""
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


def test_full_queue_drops_and_counts_lines(script):
    """The reader starts late; the lines that it gets and the dropped ones are all there are."""
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
        ) == b"done"  # without waiting for the reader
        lines = [parsed(line) for line in output(process).read().decode().splitlines()]

    dropped = [line for line in lines if "were dropped" in line["message"]]
    written = [int(line["message"]) for line in lines if line not in dropped]
    assert written == sorted(set(written))
    assert len(written) + sum(int(line["message"].split()[0]) for line in dropped) == 5000
    assert dropped


def test_writer_waits_for_a_slow_reader(script):
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


def test_line_after_a_partial_one_starts_on_a_new_line(script, tmp_path):
    """The disk is full in the middle of a line, and later it is not."""
    command = script(
        f"""
        import resource
        from service_runtime.metrics import LOG_RECORDS_DROPPED
        import signal
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
        log.warning("lost %s", "x" * 500)
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        log.warning("written")
        open({str(tmp_path / "dropped")!r}, "w").write(str(LOG_RECORDS_DROPPED._value.get()))
        """
    )
    with open(tmp_path / "log", "w") as log:
        subprocess.run(command, stdout=log, stderr=subprocess.DEVNULL, check=True)

    partial, whole = (tmp_path / "log").read_text().splitlines()
    assert len(partial) == 100
    assert parsed(whole)["message"] == "written"
    assert (tmp_path / "dropped").read_text() == "1.0"


def test_forked_process_writes_its_own_queue(script):
    """A fork inherits neither the thread that writes nor the lines that wait for it."""
    command = script(
        """
        from service_runtime.logging.formatter import JsonFormatter
        from service_runtime.logging.handler import LineHandler, drain
        handler = LineHandler("stdout", capacity=100)
        handler.setFormatter(JsonFormatter("acme", "1"))
        logging.getLogger().handlers = [handler]
        log.warning("of the parent")
        if child := os.fork():
            os.waitpid(child, 0)
        else:
            log.warning("of the child")
            drain()
            os._exit(0)
        """
    )
    done = subprocess.run(command, capture_output=True, text=True, check=True)

    messages = sorted(parsed(line)["message"] for line in done.stdout.splitlines())
    assert messages == ["of the child", "of the parent"]
