"""Settings, top to bottom: what the environment says, then what follows from it.

README.md has the table of variables. A wrong value stops the start with one line per variable.
"""

import os
import tomllib
from datetime import timedelta
from pathlib import Path
from typing import Any

from csp.constants import NONE, SELF
from environs import validate

from .runtime.environment import (
    Environment,
    parse_field_names,
    parse_host,
    parse_network,
    parse_origin,
    validate_file,
    validate_redis_url,
)
from .runtime.throttling.rates import rates_from_environment

BASE_DIR = Path(__file__).resolve().parent.parent
_pyproject = tomllib.loads((BASE_DIR / "pyproject.toml").read_text(encoding="utf-8"))
SERVICE_NAME: str = _pyproject["project"]["name"]
SERVICE_VERSION: str = _pyproject["project"]["version"]
SERVICE_TITLE: str = _pyproject["tool"]["service"]["title"]
SERVICE_DESCRIPTION: str = _pyproject["project"]["description"]

# --- The environment --------------------------------------------------------------------------

env = Environment()
_env_file = BASE_DIR / env.str("ENV_FILE", ".env")
if _env_file.exists() and not _env_file.is_dir():
    env.read_env(_env_file, recurse=False)
elif "ENV_FILE" in os.environ:
    env.reject("ENV_FILE", "Must be the path of a file.")

DEVELOPMENT_SECRET_KEY = "only-for-development-and-refused-when-debug-is-off"  # noqa: S105
_log_level = validate.OneOf(
    ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"], error="Must be one of: {choices}."
)
_port = validate.Range(1, 65535)
_positive = validate.Range(min=1)

DEBUG = env.bool("DEBUG", False)
SECRET_KEY = env.str("SECRET_KEY", DEVELOPMENT_SECRET_KEY if DEBUG else "")
# Former keys, whose signatures are accepted while SECRET_KEY is rotated.
SECRET_KEY_FALLBACKS = env.items("SECRET_KEY_FALLBACKS", str)
ALLOWED_HOSTS = env.items("ALLOWED_HOSTS", parse_host)
CSRF_TRUSTED_ORIGINS = env.items("CSRF_TRUSTED_ORIGINS", parse_origin)
CORS_ALLOWED_ORIGINS = env.items("CORS_ALLOWED_ORIGINS", parse_origin)
NUM_PROXIES = env.int("NUM_PROXIES", 0, validate=validate.Range(min=0))
SECURE_SSL_REDIRECT = env.bool("SECURE_SSL_REDIRECT", not DEBUG and bool(NUM_PROXIES))
SECURE_HSTS_SECONDS = env.int(
    "SECURE_HSTS_SECONDS", 0 if DEBUG else 31_536_000, validate=validate.Range(min=0)
)
SECURE_HSTS_INCLUDE_SUBDOMAINS = env.bool("SECURE_HSTS_INCLUDE_SUBDOMAINS", False)
SECURE_HSTS_PRELOAD = env.bool("SECURE_HSTS_PRELOAD", False)

SQLITE, POSTGRESQL = "django.db.backends.sqlite3", "django.db.backends.postgresql"
_database: Any = {"ENGINE": SQLITE, "NAME": BASE_DIR / "db.sqlite3"}
if env.names("DATABASE_URL"):
    _database = env.dj_db_url("DATABASE_URL")
if _database and not (_database["ENGINE"] in {SQLITE, POSTGRESQL} and _database["NAME"]):
    env.reject(
        "DATABASE_URL", "Must look like postgres://user:password@host:5432/name or sqlite:///path."
    )

REDIS_URL = env.str("REDIS_URL", "", validate=validate_redis_url)
CACHEOPS_REDIS_URL = env.str("CACHEOPS_REDIS_URL", REDIS_URL, validate=validate_redis_url)
THROTTLING_REDIS_URL = env.str("THROTTLING_REDIS_URL", REDIS_URL, validate=validate_redis_url)
REDIS_SOCKET_TIMEOUT = env.float(
    "REDIS_SOCKET_TIMEOUT", 0.05, validate=validate.Range(min=0, min_inclusive=False)
)
REDIS_CA_CERT = env.str("REDIS_CA_CERT", "", validate=validate_file)
CACHE_KEY_PREFIX = env.str(
    "CACHE_KEY_PREFIX",
    SERVICE_NAME,
    validate=validate.Regexp(r"[\w.:-]+\Z", error="Must be of letters, digits and . : _ -"),
)

THROTTLE_RATES = rates_from_environment(
    env,
    defaults={
        # Signing in, which someone may try to guess their way through: from one address, and with
        # one username from any number of addresses (docs/throttling.md).
        "login": "10/minute",
        "login_username": "20/hour;100/day",
{%- if cookiecutter.example_app == "yes" %}
        # Every view that names a scope shares it: the list and the detail of blogs count together.
        "blog_limit": "100/hour",
        "author_limit": "100/hour",
{%- endif %}
    },
)

# What the environment said, for `manage.py throttles`.
THROTTLE_VARIABLES = env.names("THROTTLE_")
# Scopes that answer 503 rather than let requests through while Redis does not answer.
THROTTLING_FAIL_CLOSED = env.items("THROTTLING_FAIL_CLOSED", str)
# RateLimit and RateLimit-Policy (draft), X-RateLimit-* (legacy), both or none (off).
THROTTLING_HEADERS = env.str(
    "THROTTLING_HEADERS", "draft", validate=validate.OneOf(["draft", "legacy", "both", "off"])
)
THROTTLING_EXEMPT_NETWORKS = env.items("THROTTLING_EXEMPT_NETWORKS", parse_network)

# Errors as application/problem+json to all clients of the API, not only to those that accept it.
API_PROBLEM_DETAILS = env.bool("API_PROBLEM_DETAILS", False)

LOG_LEVEL = env.str("LOG_LEVEL", "INFO", validate=_log_level)
LOG_FORMAT = env.str("LOG_FORMAT", "json", validate=validate.OneOf(["json", "console"]))
# The names that a log service expects: gcp, datadog, ecs, or pairs such as timestamp=time,uid=user.
LOG_FIELDS = env.items("LOG_FIELDS", parse_field_names)
LOG_REDACT = env.items("LOG_REDACT", str)
LOG_QUEUE = env.int("LOG_QUEUE", 0, validate=validate.Range(min=0))
SLOW_REQUEST_SECONDS = env.float("SLOW_REQUEST_SECONDS", 1, validate=validate.Range(min=0))
SLOW_QUERY_SECONDS = env.float("SLOW_QUERY_SECONDS", 0.1, validate=validate.Range(min=0))
LOG_STREAM = env.str("LOG_STREAM", "stdout", validate=validate.OneOf(["stdout", "stderr"]))
# LOG_LEVEL_DJANGO__DB__BACKENDS=DEBUG sets the level of the logger django.db.backends.
_log_levels = {
    name.removeprefix("LOG_LEVEL_").lower().replace("__", "."): env.str(name, validate=_log_level)
    for name in env.names("LOG_LEVEL_")
}

WEB_CONCURRENCY = env.int("WEB_CONCURRENCY", 2, validate=_positive)
WEB_THREADS = env.int("WEB_THREADS", 4, validate=_positive)
STUCK_SECONDS = env.int("STUCK_SECONDS", 300, validate=validate.Range(min=0))
OTEL_EXPORTER_OTLP_ENDPOINT = env.str("OTEL_EXPORTER_OTLP_ENDPOINT", "")
SENTRY_DSN = env.str("SENTRY_DSN", "")
GRACEFUL_TIMEOUT = env.int("GRACEFUL_TIMEOUT", 30, validate=_positive)
# With DEBUG on it shows errors to anyone who asks, so only this machine may.
HOST = env.str("HOST", "127.0.0.1" if DEBUG else "0.0.0.0")  # noqa: S104
PORT = env.int("PORT", 8000, validate=_port)
OPS_PORT = env.int("OPS_PORT", 8001, validate=_port)

if not DEBUG:
    if SECRET_KEY == DEVELOPMENT_SECRET_KEY or len(SECRET_KEY) < 50:
        env.reject("SECRET_KEY", "Must be secret and at least 50 characters while DEBUG is off.")
    if not ALLOWED_HOSTS or "*" in ALLOWED_HOSTS:
        env.reject("ALLOWED_HOSTS", "Must list the host names served, not '*', while DEBUG is off.")
if PORT == OPS_PORT:
    env.reject("OPS_PORT", "Must differ from PORT.")
env.seal()

# --- Applications -----------------------------------------------------------------------------

INSTALLED_APPS = [
    "{{ cookiecutter.project_slug }}.runtime",
    "{{ cookiecutter.project_slug }}.users",
{%- if cookiecutter.example_app == "yes" %}
    "{{ cookiecutter.project_slug }}.blog",
{%- endif %}
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "cacheops",
    "corsheaders",
    "csp",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "knox",
    "rest_framework",
]

MIDDLEWARE = [
    # The outermost, so that every answer and every log line has the request's id.
    "{{ cookiecutter.project_slug }}.runtime.logging.middleware.RequestContextMiddleware",
    "{{ cookiecutter.project_slug }}.runtime.metrics.MetricsMiddleware",
    "{{ cookiecutter.project_slug }}.runtime.security_headers.SecurityHeadersMiddleware",
    # For development only; it removes itself otherwise.
    "{{ cookiecutter.project_slug }}.runtime.problems.DebugPageMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "corsheaders.middleware.CorsMiddleware",
    "{{ cookiecutter.project_slug }}.runtime.security_headers.CSPMiddleware",
    "{{ cookiecutter.project_slug }}.runtime.throttling.headers.ThrottlingMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "{{ cookiecutter.project_slug }}.runtime.requests.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "{{ cookiecutter.project_slug }}.urls"
WSGI_APPLICATION = "{{ cookiecutter.project_slug }}.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [Path(__file__).parent / "templates"],
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

# --- Database ---------------------------------------------------------------------------------

DATABASES = {"default": _database}
if _database["ENGINE"] == SQLITE:
    _database["OPTIONS"] = {
        # Writers queue instead of failing, and readers never wait for them.
        "transaction_mode": "IMMEDIATE",
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        "timeout": 20,
        **_database.get("OPTIONS", {}),
    }
else:
    # Each process opens its own pool after the fork: a connection for each request thread and one
    # for the probes. A database that is away is known to be after seconds, not minutes.
    _database["OPTIONS"] = {
        "connect_timeout": 3,
        "pool": {"min_size": 0, "max_size": WEB_THREADS + 1, "timeout": 3},
        **_database.get("OPTIONS", {}),
    }
    _database["CONN_MAX_AGE"] = 0  # which is the pool's business
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- Caching (docs/caching.md) ----------------------------------------------------------------

if REDIS_URL:
    CACHES: dict[str, dict[str, Any]] = {
        "default": {
            "BACKEND": f"{__package__}.runtime.caching.backend.RedisCache",
            "LOCATION": REDIS_URL,
            "KEY_PREFIX": CACHE_KEY_PREFIX,
        }
    }
else:
    CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}

CACHEOPS_ENABLED = bool(CACHEOPS_REDIS_URL)
CACHEOPS_REDIS = CACHEOPS_REDIS_URL or "redis://localhost"
CACHEOPS_CLIENT_CLASS = f"{__package__}.runtime.caching.cacheops.CacheopsClient"
CACHEOPS_PREFIX = f"{__package__}.runtime.caching.keys.cacheops_prefix"
CACHEOPS_SERIALIZER = f"{__package__}.runtime.caching.querysets.Serializer"
CACHEOPS_DEGRADE_ON_FAILURE = True
# Without it, a key that Redis evicts takes the invalidation of others with it.
CACHEOPS_INSIDEOUT = True
# Fields by whose value no result is found: it is long, or equal values are written differently.
CACHEOPS_SKIP_FIELDS = [
    *("FileField", "TextField", "BinaryField", "JSONField", "ArrayField"),
    *("DecimalField", "FloatField", "DateTimeField", "TimeField", "DurationField"),
    *("IntegerRangeField", "BigIntegerRangeField", "DecimalRangeField", "DateRangeField"),
    "DateTimeRangeField",
]
CACHEOPS = {
    # Any User.objects.get() for 15 minutes, which includes .first(), .last(), request.user and
    # following a foreign key to a user.
    "users.user": {"ops": "get", "timeout": 60 * 15},
    # All gets and fetches of django.contrib.auth's other models for an hour.
    "auth.*": {"ops": {"fetch", "get"}, "timeout": 60 * 60},
{%- if cookiecutter.example_app == "yes" %}
    # Nothing by itself: the views cache their answers (cached_response).
    "blog.*": {"ops": (), "timeout": 60 * 10},
{%- endif %}
}

# --- The API ----------------------------------------------------------------------------------

# Errors of all paths under it are JSON.
API_PREFIX = "/api/"
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "{{ cookiecutter.project_slug }}.users.authentication.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": [
        "rest_framework.permissions.DjangoModelPermissionsOrAnonReadOnly",
    ],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": [
        "{{ cookiecutter.project_slug }}.runtime.parsers.JSONParser",
    ],
    "DEFAULT_PAGINATION_CLASS": "rest_framework.pagination.PageNumberPagination",
    "PAGE_SIZE": 20,
    "EXCEPTION_HANDLER": f"{__package__}.runtime.problems.exception_handler",
    "DEFAULT_METADATA_CLASS": f"{__package__}.runtime.renderers.Metadata",
    "DEFAULT_SCHEMA_CLASS": f"{__package__}.runtime.schema.AutoSchema",
    "DEFAULT_THROTTLE_RATES": THROTTLE_RATES,
    "NUM_PROXIES": NUM_PROXIES,
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
# Dotted paths of functions of yours that take a request and return whom it is counted for, such as
# "key:…" for an API key, and the tier of the caller; None for the default (docs/throttling.md).
THROTTLING_GET_CLIENT = None
THROTTLING_GET_TIER = None
REST_KNOX = {"TOKEN_TTL": timedelta(hours=10), "TOKEN_LIMIT_PER_USER": None}
SPECTACULAR_SETTINGS = {
    "TITLE": SERVICE_TITLE,
    "DESCRIPTION": SERVICE_DESCRIPTION,
    "VERSION": SERVICE_VERSION,
    "SERVE_INCLUDE_SCHEMA": False,
    "ENFORCE_NON_BLANK_FIELDS": True,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
}

# --- Users ------------------------------------------------------------------------------------

AUTH_USER_MODEL = "users.User"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]

# --- Security ---------------------------------------------------------------------------------

if NUM_PROXIES:
    # Only a proxy may say that the client came by HTTPS; without one, the header is the client's.
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SESSION_ENGINE = f"{__package__}.runtime.sessions"
CSRF_FAILURE_VIEW = f"{__package__}.runtime.problems.csrf_failure"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = LANGUAGE_COOKIE_SECURE = not DEBUG
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
DEFAULT_EXCEPTION_REPORTER_FILTER = f"{__package__}.runtime.reporting.ExceptionReporterFilter"
# Subdomains and the browsers' preload list bind hosts that this service knows nothing of, so both
# are for their owner to switch on (SECURE_HSTS_INCLUDE_SUBDOMAINS, SECURE_HSTS_PRELOAD).
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "img-src": [SELF, "data:"],
        "object-src": [NONE],
        "base-uri": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    }
}
# Features of browsers that no page here needs, nor a script that got into one.
_unused_features = """
    accelerometer camera display-capture geolocation gyroscope magnetometer microphone midi payment
    screen-wake-lock serial usb xr-spatial-tracking
""".split()  # noqa: SIM905
SECURITY_HEADERS = {
    # Other sites cannot load responses as images, scripts and the like. CORS_ALLOWED_ORIGINS can
    # still call the API: this does not apply to requests with CORS. A view can set its own value.
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": ", ".join(f"{feature}=()" for feature in _unused_features),
}
CORS_EXPOSE_HEADERS = [
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "X-RateLimit-Limit",
    "X-RateLimit-Remaining",
    "X-RateLimit-Reset",
    "X-Request-ID",
]

# --- Static files and languages ---------------------------------------------------------------

STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
STATICFILES_DIRS = [Path(__file__).parent / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    # In production collectstatic has made compressed copies under names that browsers may keep.
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEBUG
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}
WHITENOISE_USE_FINDERS = WHITENOISE_AUTOREFRESH = DEBUG
LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_I18N = False
USE_TZ = True

# --- Logging (docs/logging.md) ----------------------------------------------------------------

LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "json": {
            "()": f"{__package__}.runtime.logging.JsonFormatter",
            "service": SERVICE_NAME,
            "version": SERVICE_VERSION,
            "names": {name: other for names in LOG_FIELDS for name, other in names.items()},
        },
        "console": {"()": f"{__package__}.runtime.logging.console.ConsoleFormatter"},
    },
    "handlers": {
        "stream": {
            "class": f"{__package__}.runtime.logging.handler.LineHandler",
            "stream": LOG_STREAM,
            "capacity": LOG_QUEUE,
            "formatter": LOG_FORMAT,
        },
        "client_errors": {
            "class": f"{__package__}.runtime.logging.security.ClientErrorHandler",
        },
    },
    "root": {"handlers": ["stream"], "level": LOG_LEVEL},
    "loggers": {
        "django": {"handlers": [], "level": LOG_LEVEL},
        # A bad Host, a form with too many fields and the like, which Django logs as errors.
        "django.security": {"handlers": ["client_errors"], "propagate": False},
        # Answers with 4xx are in the access log; what makes a 500 is logged here.
        "django.request": {"level": "ERROR"},
        "django.server": {"handlers": [], "level": LOG_LEVEL, "propagate": True},
        # log_event's default.
        "django_default": {"level": LOG_LEVEL},
    },
}
for _name, _level in _log_levels.items():
    LOGGING["loggers"].setdefault(_name, {})["level"] = _level
