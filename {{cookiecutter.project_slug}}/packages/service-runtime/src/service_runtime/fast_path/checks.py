"""System checks of the fast path."""

from typing import Any

from django.core import checks

from ..conf import settings
from ..routes import all_views
from .eligibility import handlers, obstacles, unknown_middleware


@checks.register("caching")
def check_fast_path(**kwargs: Any) -> list[checks.CheckMessage]:
    """Find what the fast path cannot skip: views that are declared public, and middleware."""
    messages: list[checks.CheckMessage] = [
        checks.Warning(
            f"FastPathMiddleware is off, since it would skip {name}, which is below it or may have"
            " a process_view(). Move it above, and process_view() into __call__(). Or add it to"
            " FAST_PATH_MIDDLEWARE if it neither rejects anonymous reads nor changes their"
            " responses.",
            id="caching.W001",
        )
        for name in unknown_middleware()
        if any(each.endswith(".FastPathMiddleware") for each in settings.MIDDLEWARE)
    ]
    for route, view in all_views():
        if is_declared_public(view):
            messages += [
                checks.Error(
                    f"/{route} has a cached_response with public=True, but {obstacle}. Use"
                    " shared=True.",
                    id="caching.E007",
                )
                for obstacle in obstacles(view, "GET")
            ]
    return messages


def is_declared_public(view: Any) -> bool:
    """Return whether a GET can reach a public method.

    A method that overrides a public one is another method: it is called for each request.
    """
    cls: Any = getattr(view, "cls", None)
    return cls is not None and any(
        getattr(getattr(cls, name, None), "public_handler", None)
        for name in handlers(view, cls, "GET")
    )
