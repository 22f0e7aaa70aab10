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
    monkeypatch.setattr(health._database_check, "run", lambda timeout: "ok")
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


def fetch(port, method, path):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request(method, path)
    response = connection.getresponse()
    result = response.status, response.read(), response.headers
    connection.close()
    return result


@pytest.mark.parametrize(
    ("path", "status"),
    [("/livez", 200), ("/startupz?verbose", 200), ("/metrics", 200), ("/", 404), ("/admin", 404)],
)
def test_status_and_length_of_each_path(port, path, status):
    found, body, headers = fetch(port, "GET", path)

    assert found == status
    assert len(body) == int(headers["Content-Length"]) > 0
    assert "Server" not in headers


def test_unknown_method_does_not_reveal_the_server(port):
    status, body, headers = fetch(port, "BREW", "/livez")

    assert status == 501
    assert "Server" not in headers
    assert b"Python" not in body


def test_head_response_has_no_body(port):
    status, body, headers = fetch(port, "HEAD", "/metrics")

    assert (status, body) == (200, b"")
    assert int(headers["Content-Length"]) > 0


def test_connection_reset_leaves_no_traceback(port, capfd, caplog):
    with caplog.at_level(logging.INFO):
        for _ in range(20):
            client = socket.create_connection(("127.0.0.1", port))
            client.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
            # With this option, closing sends a reset.
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
        assert fetch(port, "GET", "/livez")[0] == 200

    assert capfd.readouterr().err == ""
    assert caplog.records == []
