"""Settings from environment variables. Each variable becomes the setting of its name.

Types and defaults are those of `conf.Defaults`; the tables below have the rules for values.
"""

from collections.abc import Callable
from typing import Any

from environs import validate

from .conf import Defaults
from .environment import (
    Environment,
    parse_field_names,
    parse_host,
    parse_network,
    parse_origin,
    validate_file,
    validate_redis_url,
    validate_throttling_redis_url,
)

DEVELOPMENT_SECRET_KEY = "only-for-development-and-rejected-while-debug-is-off"  # noqa: S105
_log_level = validate.OneOf(
    ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"], error="Must be one of: {choices}."
)
_port = validate.Range(1, 65535)
_positive = validate.Range(min=1)
_not_negative = validate.Range(min=0)
_above_zero = validate.Range(min=0, min_inclusive=False)
_RULES: dict[str, Callable[[Any], Any] | None] = {
    "SERVICE_VERSION": None,
    "HOST": None,
    "PORT": _port,
    "OPS_PORT": _port,
    "WEB_CONCURRENCY": _positive,
    "WEB_THREADS": _positive,
    "GRACEFUL_TIMEOUT": _positive,
    "STUCK_SECONDS": _not_negative,
    "WORKER_MEMORY_MAX_BYTES": _not_negative,
    "REQUEST_HEAD_SECONDS": _above_zero,
    "REQUEST_BODY_SECONDS": _above_zero,
    "REQUEST_BODY_MAX_BYTES": _not_negative,
    "REQUEST_SECONDS": _above_zero,
    "QUEUE_SECONDS": _above_zero,
    "NUM_PROXIES": _not_negative,
    "DATABASE_CONNECT_TIMEOUT": _positive,
    "DATABASE_POOL_TIMEOUT": _above_zero,
    "DATABASE_MAX_IDLE": _positive,
    "DATABASE_STATEMENT_TIMEOUT": _not_negative,
    "DATABASE_LOCK_TIMEOUT": _not_negative,
    "DATABASE_IDLE_TRANSACTION_TIMEOUT": _not_negative,
    "DATABASE_PGBOUNCER": None,
    "SECRET_KEY": None,
    "SECURE_HSTS_SECONDS": _not_negative,
    "SECURE_HSTS_INCLUDE_SUBDOMAINS": None,
    "SECURE_HSTS_PRELOAD": None,
    "REDIS_URL": validate_redis_url,
    "REDIS_SOCKET_TIMEOUT": _above_zero,
    "REDIS_CA_CERT": validate_file,
    "CACHE_KEY_PREFIX": validate.Regexp(
        r"[\w.:-]+\Z", error="Must be of letters, digits and . : _ -"
    ),
    "THROTTLING_HEADERS": validate.OneOf(["draft", "legacy", "both", "off"]),
    "API_PROBLEM_DETAILS": None,
    "LOG_LEVEL": _log_level,
    "LOG_FORMAT": validate.OneOf(["json", "console"]),
    "LOG_STREAM": validate.OneOf(["stdout", "stderr"]),
    "LOG_QUEUE": _not_negative,
    "SLOW_REQUEST_SECONDS": _not_negative,
    "SLOW_QUERY_SECONDS": _not_negative,
    "OTEL_EXPORTER_OTLP_ENDPOINT": None,
    "SENTRY_DSN": None,
}
# Comma-separated lists, and what parses an item.
_LISTS: dict[str, Callable[[str], Any]] = {
    "SECRET_KEY_FALLBACKS": str,
    "ALLOWED_HOSTS": parse_host,
    "CSRF_TRUSTED_ORIGINS": parse_origin,
    "CORS_ALLOWED_ORIGINS": parse_origin,
    "THROTTLING_FAIL_CLOSED": str,
    "THROTTLING_EXEMPT_NETWORKS": parse_network,
    "LOG_REDACT": str,
}


class EnvironmentSettings(Defaults):
    """The settings of the runtime, and those of Django that depend on the environment."""

    SECRET_KEY: str = ""
    SECRET_KEY_FALLBACKS: list[str]  # former keys, accepted while SECRET_KEY is rotated
    ALLOWED_HOSTS: list[str]
    CSRF_TRUSTED_ORIGINS: list[str]
    CORS_ALLOWED_ORIGINS: list[str]
    SECURE_SSL_REDIRECT: bool
    SECURE_HSTS_SECONDS: int = 31_536_000
    SECURE_HSTS_INCLUDE_SUBDOMAINS: bool = False
    SECURE_HSTS_PRELOAD: bool = False
    SECURE_PROXY_SSL_HEADER: tuple[str, str] | None


def environment_settings(
    env: Environment, *, service: str, version: str, debug: bool
) -> EnvironmentSettings:
    """Return the settings from the environment; `env.seal()` reports invalid values.

    Args:
        env: the reader.
        service: the service's name, which also starts the keys in Redis.
        version: the service's version, unless SERVICE_VERSION is set.
        debug: whether DEBUG is on.
    """
    found = EnvironmentSettings()
    found.SERVICE_NAME, found.SERVICE_VERSION = service, version
    found.CACHE_KEY_PREFIX = service
    if debug:
        found.SECRET_KEY, found.SECURE_HSTS_SECONDS = DEVELOPMENT_SECRET_KEY, 0
    else:
        # With DEBUG on, errors are shown to any client, so only this machine can connect.
        found.HOST = "0.0.0.0"  # noqa: S104
    for name, rule in _RULES.items():
        default = getattr(found, name)
        read = getattr(env, type(default).__name__)  # env.str, env.int, env.float or env.bool
        setattr(found, name, read(name, default, validate=rule))
    for name, parse in _LISTS.items():
        setattr(found, name, env.items(name, parse))
    for name, rule in (
        ("CACHEOPS_REDIS_URL", validate_redis_url),
        ("THROTTLING_REDIS_URL", validate_throttling_redis_url),
    ):
        setattr(found, name, env.str(name, found.REDIS_URL, validate=rule))
    found.THROTTLE_VARIABLES = env.names("THROTTLE_")
    _read_names(env, found)
    found.SECURE_SSL_REDIRECT = env.bool(
        "SECURE_SSL_REDIRECT", not debug and bool(found.NUM_PROXIES)
    )
    # Without a proxy, the client itself sends the header.
    proxy_header = ("HTTP_X_FORWARDED_PROTO", "https")
    found.SECURE_PROXY_SSL_HEADER = proxy_header if found.NUM_PROXIES else None
    _reject_unsafe(env, found, debug)
    return found


def _read_names(env: Environment, found: EnvironmentSettings) -> None:
    """Read the variables that name loggers and log fields."""
    # LOG_LEVEL_DJANGO__DB__BACKENDS=DEBUG sets the level of the logger django.db.backends.
    found.LOG_LEVELS = {
        name.removeprefix("LOG_LEVEL_").lower().replace("__", "."): env.str(
            name, validate=_log_level
        )
        for name in env.names("LOG_LEVEL_")
    }
    # The names of a log service (gcp, datadog, ecs), or pairs such as timestamp=time,uid=user.
    found.LOG_FIELDS = {
        name: other
        for names in env.items("LOG_FIELDS", parse_field_names)
        for name, other in names.items()
    }


def _reject_unsafe(env: Environment, found: EnvironmentSettings, debug: bool) -> None:
    if found.PORT == found.OPS_PORT:
        env.reject("OPS_PORT", "Must differ from PORT.")
    if debug:
        return
    if found.SECRET_KEY == DEVELOPMENT_SECRET_KEY or len(found.SECRET_KEY) < 50:
        env.reject(
            "SECRET_KEY",
            "Must be secret and at least 50 characters while DEBUG is off. `openssl rand -hex 32`"
            " prints one. For development, set DEBUG=true instead.",
        )
    if not found.ALLOWED_HOSTS or "*" in found.ALLOWED_HOSTS:
        env.reject(
            "ALLOWED_HOSTS",
            "Must list the host names served, such as api.example.com, not '*', while DEBUG is"
            " off.",
        )
