"""The environment variables of every service. Each becomes the setting of the same name."""

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
)

DEVELOPMENT_SECRET_KEY = "only-for-development-and-rejected-while-debug-is-off"  # noqa: S105
_log_level = validate.OneOf(
    ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"], error="Must be one of: {choices}."
)
_port = validate.Range(1, 65535)
_positive = validate.Range(min=1)
_not_negative = validate.Range(min=0)


class EnvironmentSettings(Defaults):
    """The settings of the runtime, and those of Django that follow from the environment."""

    SECRET_KEY: str
    SECRET_KEY_FALLBACKS: list[str]
    ALLOWED_HOSTS: list[str]
    CSRF_TRUSTED_ORIGINS: list[str]
    CORS_ALLOWED_ORIGINS: list[str]
    SECURE_SSL_REDIRECT: bool
    SECURE_HSTS_SECONDS: int
    SECURE_HSTS_INCLUDE_SUBDOMAINS: bool
    SECURE_HSTS_PRELOAD: bool
    SECURE_PROXY_SSL_HEADER: tuple[str, str] | None


def environment_settings(
    env: Environment, *, service: str, version: str, debug: bool
) -> EnvironmentSettings:
    """Return the settings that the environment has; `env.seal()` reports invalid values.

    Args:
        env: the reader.
        service: the service's name, which also starts the keys in Redis.
        version: its version.
        debug: whether DEBUG is on.
    """
    found = EnvironmentSettings()
    found.SERVICE_NAME, found.SERVICE_VERSION = service, version
    _read_serving(env, found, debug)
    _read_security(env, found, debug)
    _read_redis(env, found)
    _read_throttling(env, found)
    found.API_PROBLEM_DETAILS = env.bool("API_PROBLEM_DETAILS", found.API_PROBLEM_DETAILS)
    _read_logging(env, found)
    found.OTEL_EXPORTER_OTLP_ENDPOINT = env.str("OTEL_EXPORTER_OTLP_ENDPOINT", "")
    found.SENTRY_DSN = env.str("SENTRY_DSN", "")
    return found


def _read_security(env: Environment, found: EnvironmentSettings, debug: bool) -> None:
    found.SECRET_KEY = env.str("SECRET_KEY", DEVELOPMENT_SECRET_KEY if debug else "")
    # Former keys, whose signatures are accepted while SECRET_KEY is rotated.
    found.SECRET_KEY_FALLBACKS = env.items("SECRET_KEY_FALLBACKS", str)
    found.ALLOWED_HOSTS = env.items("ALLOWED_HOSTS", parse_host)
    found.CSRF_TRUSTED_ORIGINS = env.items("CSRF_TRUSTED_ORIGINS", parse_origin)
    found.CORS_ALLOWED_ORIGINS = env.items("CORS_ALLOWED_ORIGINS", parse_origin)
    found.SECURE_SSL_REDIRECT = env.bool(
        "SECURE_SSL_REDIRECT", not debug and bool(found.NUM_PROXIES)
    )
    found.SECURE_HSTS_SECONDS = env.int(
        "SECURE_HSTS_SECONDS", 0 if debug else 31_536_000, validate=_not_negative
    )
    found.SECURE_HSTS_INCLUDE_SUBDOMAINS = env.bool("SECURE_HSTS_INCLUDE_SUBDOMAINS", False)
    found.SECURE_HSTS_PRELOAD = env.bool("SECURE_HSTS_PRELOAD", False)
    # Without a proxy the header is the client's own.
    proxy_header = ("HTTP_X_FORWARDED_PROTO", "https")
    found.SECURE_PROXY_SSL_HEADER = proxy_header if found.NUM_PROXIES else None
    if debug:
        return
    if found.SECRET_KEY == DEVELOPMENT_SECRET_KEY or len(found.SECRET_KEY) < 50:
        env.reject("SECRET_KEY", "Must be secret and at least 50 characters while DEBUG is off.")
    if not found.ALLOWED_HOSTS or "*" in found.ALLOWED_HOSTS:
        env.reject("ALLOWED_HOSTS", "Must list the host names served, not '*', while DEBUG is off.")


def _read_serving(env: Environment, found: Defaults, debug: bool) -> None:
    # With DEBUG on, errors are shown to any client, so only this machine can connect.
    found.HOST = env.str("HOST", found.HOST if debug else "0.0.0.0")  # noqa: S104
    found.PORT = env.int("PORT", found.PORT, validate=_port)
    found.OPS_PORT = env.int("OPS_PORT", found.OPS_PORT, validate=_port)
    if found.PORT == found.OPS_PORT:
        env.reject("OPS_PORT", "Must differ from PORT.")
    found.WEB_CONCURRENCY = env.int("WEB_CONCURRENCY", found.WEB_CONCURRENCY, validate=_positive)
    found.WEB_THREADS = env.int("WEB_THREADS", found.WEB_THREADS, validate=_positive)
    found.GRACEFUL_TIMEOUT = env.int("GRACEFUL_TIMEOUT", found.GRACEFUL_TIMEOUT, validate=_positive)
    found.STUCK_SECONDS = env.int("STUCK_SECONDS", found.STUCK_SECONDS, validate=_not_negative)
    found.NUM_PROXIES = env.int("NUM_PROXIES", found.NUM_PROXIES, validate=_not_negative)


def _read_redis(env: Environment, found: Defaults) -> None:
    found.REDIS_URL = env.str("REDIS_URL", "", validate=validate_redis_url)
    for name in ("CACHEOPS_REDIS_URL", "THROTTLING_REDIS_URL"):
        setattr(found, name, env.str(name, found.REDIS_URL, validate=validate_redis_url))
    found.REDIS_SOCKET_TIMEOUT = env.float(
        "REDIS_SOCKET_TIMEOUT",
        found.REDIS_SOCKET_TIMEOUT,
        validate=validate.Range(min=0, min_inclusive=False),
    )
    found.REDIS_CA_CERT = env.str("REDIS_CA_CERT", "", validate=validate_file)
    found.CACHE_KEY_PREFIX = env.str(
        "CACHE_KEY_PREFIX",
        found.SERVICE_NAME,
        validate=validate.Regexp(r"[\w.:-]+\Z", error="Must be of letters, digits and . : _ -"),
    )


def _read_throttling(env: Environment, found: Defaults) -> None:
    found.THROTTLE_VARIABLES = env.names("THROTTLE_")
    found.THROTTLING_FAIL_CLOSED = env.items("THROTTLING_FAIL_CLOSED", str)
    found.THROTTLING_HEADERS = env.str(
        "THROTTLING_HEADERS",
        found.THROTTLING_HEADERS,
        validate=validate.OneOf(["draft", "legacy", "both", "off"]),
    )
    found.THROTTLING_EXEMPT_NETWORKS = env.items("THROTTLING_EXEMPT_NETWORKS", parse_network)


def _read_logging(env: Environment, found: Defaults) -> None:
    found.LOG_LEVEL = env.str("LOG_LEVEL", found.LOG_LEVEL, validate=_log_level)
    # LOG_LEVEL_DJANGO__DB__BACKENDS=DEBUG sets the level of the logger django.db.backends.
    found.LOG_LEVELS = {
        name.removeprefix("LOG_LEVEL_").lower().replace("__", "."): env.str(
            name, validate=_log_level
        )
        for name in env.names("LOG_LEVEL_")
    }
    found.LOG_FORMAT = env.str(
        "LOG_FORMAT", found.LOG_FORMAT, validate=validate.OneOf(["json", "console"])
    )
    found.LOG_STREAM = env.str(
        "LOG_STREAM", found.LOG_STREAM, validate=validate.OneOf(["stdout", "stderr"])
    )
    found.LOG_QUEUE = env.int("LOG_QUEUE", found.LOG_QUEUE, validate=_not_negative)
    # The names of a log service (gcp, datadog, ecs), or pairs such as timestamp=time,uid=user.
    found.LOG_FIELDS = {
        name: other
        for names in env.items("LOG_FIELDS", parse_field_names)
        for name, other in names.items()
    }
    found.LOG_REDACT = env.items("LOG_REDACT", str)
    found.SLOW_REQUEST_SECONDS = env.float(
        "SLOW_REQUEST_SECONDS", found.SLOW_REQUEST_SECONDS, validate=_not_negative
    )
    found.SLOW_QUERY_SECONDS = env.float(
        "SLOW_QUERY_SECONDS", found.SLOW_QUERY_SECONDS, validate=_not_negative
    )
