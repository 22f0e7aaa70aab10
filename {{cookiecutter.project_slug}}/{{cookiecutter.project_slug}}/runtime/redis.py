"""How every Redis client of the service is set up."""

import logging
import threading
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from environs import ValidationError
from redis.backoff import NoBackoff
from redis.retry import Retry

logger = logging.getLogger(__name__)


def validate_redis_url(url: str) -> None:
    """Accept `redis://`, `rediss://` (TLS) and `unix://` URLs, and the empty string for none.

    Raises:
        environs.ValidationError: a sentence with the rule; it never repeats the URL's password.
    """
    if not url:
        return
    try:
        parts = urlsplit(url)
        well_formed = bool(parts.hostname) and parts.port != 0
    except ValueError:
        well_formed = False
    else:
        well_formed = well_formed or (parts.scheme == "unix" and bool(parts.path))
    if not well_formed or parts.scheme not in {"redis", "rediss", "unix"}:
        raise ValidationError(
            "Must look like redis://user:password@host:6379/0 (rediss:// for TLS),"
            " with special characters of the password percent-encoded."
        )


def connection_options(url: str) -> dict[str, Any]:
    """Return the keyword arguments with which redis-py must connect to `url`.

    redis-py's defaults wait for seconds and try again ten times; a cache that is slower than the
    database is worse than none, so both are always set (seconds: REDIS_SOCKET_TIMEOUT).
    """
    options: dict[str, Any] = {
        "socket_timeout": settings.REDIS_SOCKET_TIMEOUT,
        "retry": Retry(NoBackoff(), 0),
        "client_name": settings.SERVICE_NAME,
    }
    if not url.startswith("unix:"):
        options["socket_connect_timeout"] = settings.REDIS_SOCKET_TIMEOUT
    if url.startswith("rediss:") and settings.REDIS_CA_CERT:
        options["ssl_ca_certs"] = settings.REDIS_CA_CERT
    return options


class OutageLog:
    """Logs when a server stops answering and when it answers again, once each."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._down = False
        self._lock = threading.Lock()

    def failed(self, error: Exception) -> None:
        """Note a failed call; the first of an outage is logged."""
        if self._switch(down=True):
            logger.warning("%s is unreachable: %s", self._name, error)

    def succeeded(self) -> None:
        """Note an answered call; the first after an outage is logged."""
        if self._down and self._switch(down=False):
            logger.warning("%s answers again", self._name)

    def _switch(self, *, down: bool) -> bool:
        with self._lock:
            changed = self._down is not down
            self._down = down
        return changed
