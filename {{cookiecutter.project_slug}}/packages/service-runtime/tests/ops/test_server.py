import http.client
import logging
import socket
import struct
import threading

import pytest

from service_runtime.ops import health
from service_runtime.ops import server as ops


@pytest.fixture
def port(monkeypatch):
    """Return the port of an operations server in this process."""
    monkeypatch.setattr(health._database_check, "run", lambda: "ok")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number = probe.getsockname()[1]
    server = ops._Server("127.0.0.1", number, lambda: False)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield number
    server.shutdown()
    thread.join()
    server.server_close()


def ask(port, method, path):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request(method, path)
    answer = connection.getresponse()
    result = answer.status, answer.read(), answer.headers
    connection.close()
    return result


@pytest.mark.parametrize(
    ("path", "status"),
    [("/livez", 200), ("/startupz?verbose", 200), ("/metrics", 200), ("/", 404), ("/admin", 404)],
)
def test_what_it_answers(port, path, status):
    found, body, headers = ask(port, "GET", path)

    assert found == status
    assert len(body) == int(headers["Content-Length"]) > 0
    assert "Server" not in headers


def test_an_unknown_method_does_not_name_the_server_either(port):
    status, body, headers = ask(port, "BREW", "/livez")

    assert status == 501
    assert "Server" not in headers
    assert b"Python" not in body


def test_head_has_no_body(port):
    status, body, headers = ask(port, "HEAD", "/metrics")

    assert (status, body) == (200, b"")
    assert int(headers["Content-Length"]) > 0


def test_a_client_that_resets_its_connection_leaves_no_traceback(port, capfd, caplog):
    with caplog.at_level(logging.INFO):
        for _ in range(20):
            client = socket.create_connection(("127.0.0.1", port))
            client.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
            # Closing with this option sends a reset.
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
        assert ask(port, "GET", "/livez")[0] == 200

    assert capfd.readouterr().err == ""
    assert caplog.records == []
