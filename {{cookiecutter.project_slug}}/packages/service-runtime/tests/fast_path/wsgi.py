"""Call a WSGI application as a server does."""

import io
from typing import Any


def environ_of(path, **more):
    """Return the WSGI environment of a GET request."""
    return {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "SCRIPT_NAME": "",
        "SERVER_NAME": "testserver",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "203.0.113.7",
        "wsgi.url_scheme": "http",
        "wsgi.errors": io.StringIO(),
        "wsgi.input": io.BytesIO(b"{}"),
    } | more


def call(application, environ):
    """Return the status line, the headers as pairs, and the body of a response."""
    found: list[tuple[str, list[tuple[str, str]]]] = []
    chunks: Any = application(environ, lambda *args: found.append(args))
    body = b"".join(chunks)
    if hasattr(chunks, "close"):
        chunks.close()
    [(status, headers)] = found
    return status, headers, body
