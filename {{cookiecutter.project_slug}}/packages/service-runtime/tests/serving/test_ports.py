"""A port that cannot be used stops startup, with what to do, before gunicorn tries it."""

import errno
import socket
from contextlib import ExitStack

import pytest

from service_runtime.serving import ports


@pytest.fixture(params=["127.0.0.1", "::1"])
def taken(request, settings):
    """Return a function that occupies the port of a setting."""
    settings.HOST = request.param
    family = socket.AF_INET6 if ":" in settings.HOST else socket.AF_INET
    with ExitStack() as stack:

        def taken(name):
            server = socket.create_server((settings.HOST, 0), family=family)
            setattr(settings, name, stack.enter_context(server).getsockname()[1])

        for name in ("PORT", "OPS_PORT"):  # free ones
            with socket.create_server((settings.HOST, 0), family=family) as probe:
                setattr(settings, name, probe.getsockname()[1])
        yield taken


def test_free_ports_can_be_used(taken):
    assert ports.errors([ports.bind()]) == []


def test_every_port_in_use_is_named(taken, settings):
    taken("PORT")
    taken("OPS_PORT")

    assert ports.errors([ports.bind()]) == [
        f"{name}: {getattr(settings, name)} is not free. Stop the program that uses it, or set"
        f" {name} to another port: PORT=8010 OPS_PORT=8011 make run"
        for name in ("PORT", "OPS_PORT")
    ]


@pytest.mark.parametrize("is_inherited", [False, True])
def test_a_port_that_gunicorn_does_not_open_is_not_checked(taken, monkeypatch, is_inherited):
    taken("PORT")
    if is_inherited:
        monkeypatch.setenv("LISTEN_FDS", "1")

    assert ports.errors([ports.bind() if is_inherited else "127.0.0.1:1"]) == []


def test_an_address_of_another_machine_is_named(settings):
    settings.HOST = "192.0.2.1"

    first, second = ports.errors([ports.bind()])

    assert first.startswith("PORT: cannot listen on 8000 of '192.0.2.1': ")
    assert first.endswith(". Set another HOST or PORT.")
    assert second.startswith("OPS_PORT: ")


def test_a_port_without_permission_is_named(settings, monkeypatch):
    def bind(self, address):
        raise PermissionError(errno.EACCES, "Permission denied")

    settings.PORT = 80
    monkeypatch.setattr(socket.socket, "bind", bind)

    assert ports.errors([ports.bind()])[0] == (
        f"PORT: cannot listen on 80 of {settings.HOST!r}: Permission denied. Set another HOST or"
        " PORT."
    )
