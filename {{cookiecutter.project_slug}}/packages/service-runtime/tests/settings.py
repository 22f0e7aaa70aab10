"""A small Django project for the tests, independent of the machine's environment."""

import os
import tempfile
from typing import Any

from service_runtime import conf
from service_runtime.environment import Environment
from service_runtime.rates import rates_from_environment
from service_runtime.variables import environment_settings

for _name in [name for name in os.environ if name.startswith(("THROTTLE_", "LOG_"))]:
    del os.environ[_name]
# A slow reply on a busy machine must not count as an outage.
os.environ["REDIS_SOCKET_TIMEOUT"] = "2"

DEBUG = True
env = Environment()
runtime = environment_settings(env, service="tests", version="1.0", debug=DEBUG)
globals().update(vars(runtime))
THROTTLE_RATES = rates_from_environment(
    env, defaults={"login": "10/minute", "login_username": "20/hour;100/day"}
)
DATABASES: dict[str, dict[str, Any]] = {"default": {"ENGINE": "django.db.backends.sqlite3"}}
if env.names("DATABASE_URL"):
    DATABASES["default"] = env.dj_db_url("DATABASE_URL")
env.seal()

if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    # In memory, SQLite threads share a cache and fail where they would wait for a file.
    _file = os.path.join(tempfile.gettempdir(), f"tests-{os.getpid()}.sqlite3")
    DATABASES["default"] |= {
        "NAME": _file,
        "TEST": {"NAME": _file},
        "OPTIONS": {
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
            "timeout": 20,
        },
    }
else:
    DATABASES["default"]["OPTIONS"] = {
        "connect_timeout": 3,
        "pool": {"min_size": 0, "max_size": 5, "timeout": 3},
    }
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

INSTALLED_APPS = [
    "service_runtime",
    "tests.shapes",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "cacheops",
    "csp",
    "drf_spectacular",
    "rest_framework",
]
MIDDLEWARE = [
    "service_runtime.logging.middleware.RequestContextMiddleware",
    "service_runtime.metrics.MetricsMiddleware",
    "service_runtime.fast_path.FastPathMiddleware",
    "service_runtime.http.security_headers.SecurityHeadersMiddleware",
    "service_runtime.api.problems.DebugPageMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "service_runtime.http.security_headers.CSPMiddleware",
    "service_runtime.throttling.headers.ThrottlingMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "service_runtime.http.requests.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
ROOT_URLCONF = "tests.urls"
STATIC_URL = "static/"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]
# The default hashers are slow on purpose.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
SESSION_ENGINE = "service_runtime.http.sessions"
CSRF_FAILURE_VIEW = "service_runtime.api.problems.csrf_failure"
DEFAULT_EXCEPTION_REPORTER_FILTER = "service_runtime.logging.reporting.ExceptionReporterFilter"
CONTENT_SECURITY_POLICY = {"DIRECTIVES": {"default-src": ["'self'"]}}

CACHES: dict[str, dict[str, Any]] = {
    "default": {
        "BACKEND": "service_runtime.caching.backend.RedisCache",
        "LOCATION": runtime.REDIS_URL,
        "KEY_PREFIX": runtime.CACHE_KEY_PREFIX,
    }
}
if not runtime.REDIS_URL:
    CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
CACHEOPS_ENABLED = bool(runtime.CACHEOPS_REDIS_URL)
CACHEOPS_REDIS = runtime.CACHEOPS_REDIS_URL or "redis://localhost"
CACHEOPS_CLIENT_CLASS = "service_runtime.caching.cacheops.CacheopsClient"
CACHEOPS_PREFIX = "service_runtime.caching.keys.cacheops_prefix"
CACHEOPS_SERIALIZER = "service_runtime.caching.querysets.Serializer"
CACHEOPS_DEGRADE_ON_FAILURE = True
CACHEOPS_INSIDEOUT = True
CACHEOPS_SKIP_FIELDS = conf.CACHEOPS_SKIP_FIELDS
CACHEOPS: dict[str, dict[str, Any]] = {
    "auth.user": {"ops": "get", "timeout": 60 * 15},
    "auth.*": {"ops": {"fetch", "get"}, "timeout": 60 * 60},
    "shapes.*": {"ops": "all", "timeout": 60},
}

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "rest_framework.authentication.BasicAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": [
        "rest_framework.permissions.DjangoModelPermissionsOrAnonReadOnly"
    ],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["service_runtime.api.parsers.JSONParser"],
    "EXCEPTION_HANDLER": "service_runtime.api.problems.exception_handler",
    "DEFAULT_METADATA_CLASS": "service_runtime.api.renderers.Metadata",
    "DEFAULT_SCHEMA_CLASS": "service_runtime.api.schema.AutoSchema",
    "DEFAULT_THROTTLE_RATES": THROTTLE_RATES,
    "NUM_PROXIES": runtime.NUM_PROXIES,
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
USE_TZ = True

LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "json": {
            "()": "service_runtime.logging.JsonFormatter",
            "service": runtime.SERVICE_NAME,
            "version": runtime.SERVICE_VERSION,
        },
    },
    "handlers": {
        "stream": {
            "class": "service_runtime.logging.handler.LineHandler",
            "stream": "stdout",
            "formatter": "json",
        },
        "client_errors": {"class": "service_runtime.logging.security.ClientErrorHandler"},
    },
    "root": {"handlers": ["stream"], "level": "INFO"},
    "loggers": {
        "django": {"handlers": [], "level": "INFO"},
        "django.security": {"handlers": ["client_errors"], "propagate": False},
        "django.request": {"level": "ERROR"},
        "django.server": {"handlers": [], "level": "INFO", "propagate": True},
        "django_default": {"level": "INFO"},
    },
}
