"""The ports of the service and of its probes."""

import errno
import os
import socket

from ..conf import settings


def bind() -> str:
    """Return HOST and PORT as gunicorn's setting `bind`."""
    host = f"[{settings.HOST}]" if ":" in settings.HOST else settings.HOST
    return f"{host}:{settings.PORT}"


def errors(bound: list[str]) -> list[str]:
    """Return a line for each port that cannot be used.

    gunicorn would try for five seconds, and workers would share a port in use without an error.

    Args:
        bound: gunicorn's `bind`. Its --bind replaces PORT, and so does an inherited socket.
    """
    names = ["OPS_PORT"]
    if bound == [bind()] and "LISTEN_FDS" not in os.environ:
        names.insert(0, "PORT")
    checked = [error(name, settings.HOST, getattr(settings, name)) for name in names]
    return [line for line in checked if line]


def error(
    name: str, host: str, port: int, example: str = "PORT=8010 OPS_PORT=8011 make run"
) -> str | None:
    """Return why no program can listen on a port and what to do, or None if one can.

    Args:
        name: the variable that sets the port.
        host: the address to listen on.
        port: the port.
        example: a command with other ports.
    """
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as failure:
            if failure.errno == errno.EADDRINUSE:
                advice = f"Stop the program that uses it, or set {name} to another port: {example}"
                return f"{name}: {port} is not free. {advice}"
            advice = f"Set another HOST or {name}."
            return f"{name}: cannot listen on {port} of {host!r}: {failure.strerror}. {advice}"
    return None
