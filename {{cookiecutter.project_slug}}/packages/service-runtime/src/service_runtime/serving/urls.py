"""The URLs of a service that has started, for its developer."""

import sys
from collections.abc import Iterator
from contextlib import suppress

from ..conf import settings

PAGES = {"API documentation": "docs", "admin": "admin:index"}  # names in a service's urls.py


def show() -> None:
    """Print the URLs on stderr, past the log: its lines are for programs."""
    if sys.__stderr__:
        lines = [f"{url:<32} {name}\n" for name, url in _urls()]
        sys.__stderr__.write("".join(lines))
        sys.__stderr__.flush()


def _urls() -> Iterator[tuple[str, str]]:
    from django.urls import NoReverseMatch, reverse

    is_local = settings.HOST in {"127.0.0.1", "0.0.0.0", "::", "::1"}  # noqa: S104
    host = "localhost" if is_local else settings.HOST
    yield "service", f"http://{host}:{settings.PORT}/"
    for name, page in PAGES.items():
        with suppress(NoReverseMatch):
            yield name, f"http://{host}:{settings.PORT}{reverse(page)}"
    yield "readiness", f"http://{host}:{settings.OPS_PORT}/readyz"
    yield "metrics", f"http://{host}:{settings.OPS_PORT}/metrics"
