"""Find the views of the project."""

from collections.abc import Callable, Iterator
from typing import Any

from django.urls import URLPattern, URLResolver, get_resolver


def all_views(resolver: URLResolver | None = None) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Yield the route and the callback of every view in the URL configuration."""
    resolver = resolver or get_resolver()
    for pattern in resolver.url_patterns:
        prefix = str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from ((prefix + route, view) for route, view in all_views(pattern))
        elif isinstance(pattern, URLPattern):
            yield prefix, pattern.callback
