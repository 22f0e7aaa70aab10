"""The service's WSGI application, and a bare one next to it."""

import importlib
import os

service = importlib.import_module(f"{os.environ['BENCH_PACKAGE']}.wsgi").application


def application(environ, start_response):
    """Respond to /bare/ without Django."""
    if environ["PATH_INFO"] == "/bare/":
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
        return [b"hello"]
    return service(environ, start_response)
