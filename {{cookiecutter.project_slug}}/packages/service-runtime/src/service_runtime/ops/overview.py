"""The landing page: for developers and staff, with the state of the process that serves it."""

from typing import Any, NamedTuple
from urllib.parse import urlsplit

from django.conf import settings as django_settings
from django.db import connection
from django.http import HttpRequest
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from django.views.generic import TemplateView

from ..api.root import absolute_url, sample_path
from ..conf import settings
from ..redis import is_cluster
from ..throttling.operations import ScopeInfo, list_scopes
from .health import is_reachable

_REDIS_USES = {
    "cached responses": "REDIS_URL",
    "cached querysets": "CACHEOPS_REDIS_URL",
    "throttles": "THROTTLING_REDIS_URL",
}


class Feature(NamedTuple):
    """A feature, its state, and the environment variable that controls it."""

    name: str
    state: str
    variable: str


class Server(NamedTuple):
    """A Redis server or cluster: its address without credentials, its uses, its state."""

    address: str
    uses: list[str]
    is_reachable: bool


class Overview(NamedTuple):
    """The state of this process. It contains no secret."""

    features: list[Feature]
    servers: list[Server]
    scopes: list[ScopeInfo]


@method_decorator(never_cache, name="dispatch")
class LandingPage(TemplateView):
    """A page with `sample_url` for everyone, and `overview` while DEBUG is on or for staff.

    It runs no query for a client without a session.
    """

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Return the context of the template."""
        context = super().get_context_data(**kwargs)
        context["sample_url"] = absolute_url(self.request, sample_path())
        # Django's own settings: the test runner changes DEBUG without a signal.
        if django_settings.DEBUG or _is_staff(self.request):
            context["overview"] = Overview(features(), redis_servers(), list_scopes())
        return context


def _is_staff(request: HttpRequest) -> bool:
    user: Any = request.user
    return bool(user.is_active and user.is_staff)


def features() -> list[Feature]:
    """Return the features that environment variables control, with their state."""
    closed = ", ".join(settings.THROTTLING_FAIL_CLOSED)
    return [
        Feature("Version", settings.SERVICE_VERSION, "SERVICE_VERSION"),
        Feature("Debug mode", _switch(django_settings.DEBUG), "DEBUG"),
        Feature("Database", connection.display_name, "DATABASE_URL"),
        Feature("Cached responses", _store(settings.REDIS_URL), "REDIS_URL"),
        Feature("Cached querysets", _switch(settings.CACHEOPS_REDIS_URL), "CACHEOPS_REDIS_URL"),
        Feature("Throttle counters", _store(settings.THROTTLING_REDIS_URL), "THROTTLING_REDIS_URL"),
        Feature("Scopes that fail closed", closed or "none", "THROTTLING_FAIL_CLOSED"),
        Feature("Redirect to HTTPS", _switch(settings.SECURE_SSL_REDIRECT), "SECURE_SSL_REDIRECT"),
        Feature("Logs", f"{settings.LOG_FORMAT}, {settings.LOG_LEVEL}", "LOG_FORMAT, LOG_LEVEL"),
        Feature(
            "Traces",
            _switch(settings.OTEL_EXPORTER_OTLP_ENDPOINT),
            "OTEL_EXPORTER_OTLP_ENDPOINT",
        ),
        Feature("Error reports", _switch(settings.SENTRY_DSN), "SENTRY_DSN"),
    ]


def redis_servers() -> list[Server]:
    """Return the state of each Redis server that the settings name."""
    uses: dict[str, list[str]] = {}
    for use, name in _REDIS_USES.items():
        if url := getattr(settings, name):
            uses.setdefault(url, []).append(use)
    return [Server(_address(url), found, is_reachable(url)) for url, found in uses.items()]


def _address(url: str) -> str:
    parts = urlsplit(url)
    return parts.netloc.rpartition("@")[2] or parts.path


def _switch(value: object) -> str:
    return "on" if value else "off"


def _store(url: str) -> str:
    if not url:
        return "in the memory of one process"
    return "in a Redis Cluster" if is_cluster(url) else "in Redis"
