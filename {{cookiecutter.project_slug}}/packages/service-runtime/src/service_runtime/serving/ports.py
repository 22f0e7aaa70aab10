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
    return [line for name in names if (line := _error(name))]


def _error(name: str) -> str | None:
    host, port = settings.HOST, getattr(settings, name)
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                advice = f"Stop the program that uses it, or set {name} to another port."
                return f"{name}: {port} is not free. {advice}"
            advice = f"Set another HOST or {name}."
            return f"{name}: cannot listen on {port} of {host!r}: {error.strerror}. {advice}"
    return None
