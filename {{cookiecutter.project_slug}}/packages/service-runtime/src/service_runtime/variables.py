"""Settings from environment variables. Each variable becomes the setting of its name.

`configuration.table` describes the variables; types and defaults are those of the settings.
"""

from typing import Any

from .configuration import VARIABLES, EnvironmentSettings
from .configuration.rules import log_level
from .environment import Environment

DEVELOPMENT_SECRET_KEY = "only-for-development-and-rejected-while-debug-is-off"  # noqa: S105


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
    for variable in VARIABLES:
        name = variable.name
        if variable.parse:
            setattr(found, name, env.items(name, variable.parse))
        elif hasattr(found, name):
            default = getattr(found, name)
            if name in {"CACHEOPS_REDIS_URL", "THROTTLING_REDIS_URL"}:
                default = found.REDIS_URL or ""  # which is None if it is invalid
            read = getattr(env, type(default).__name__)  # env.str, env.int, env.float or env.bool
            setattr(found, name, read(name, default, validate=variable.rule))
    env.str("MIGRATE_DATABASE_URL", "")  # for `manage.py settings`
    found.THROTTLE_VARIABLES = env.names("THROTTLE_")
    _read_names(env, found)
    found.SECURE_SSL_REDIRECT = env.bool(
        "SECURE_SSL_REDIRECT", not debug and bool(found.NUM_PROXIES)
    )
    # Without a proxy, the client itself sends the header.
    proxy_header = ("HTTP_X_FORWARDED_PROTO", "https")
    found.SECURE_PROXY_SSL_HEADER = proxy_header if found.NUM_PROXIES else None
    _reject_unsafe(env, found, debug)
    names = [variable.name for variable in VARIABLES]
    env.record({name: getattr(found, name) for name in names if hasattr(found, name)})
    return found


def _read_names(env: Environment, found: EnvironmentSettings) -> None:
    """Read the variables that name loggers and log fields."""
    # LOG_LEVEL_DJANGO__DB__BACKENDS=DEBUG sets the level of the logger django.db.backends.
    found.LOG_LEVELS = {
        name.removeprefix("LOG_LEVEL_").lower().replace("__", "."): env.str(
            name, validate=log_level
        )
        for name in env.names("LOG_LEVEL_")
    }
    # The names of a log service (gcp, datadog, ecs), or pairs such as timestamp=time,uid=user.
    parsed: Any = found.LOG_FIELDS
    found.LOG_FIELDS = {name: other for names in parsed for name, other in names.items()}


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
