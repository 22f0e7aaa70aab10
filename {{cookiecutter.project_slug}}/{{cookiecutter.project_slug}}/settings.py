"""Settings: the environment first (docs/configuration.md), then what follows from it."""

import tomllib
from datetime import timedelta
from pathlib import Path
from typing import Any

from csp.constants import NONE, SELF
from service_runtime import conf
from service_runtime.database import database_settings
from service_runtime.environment import Environment
from service_runtime.rates import rates_from_environment
from service_runtime.variables import environment_settings

BASE_DIR = Path(__file__).resolve().parent.parent
_pyproject = tomllib.loads((BASE_DIR / "pyproject.toml").read_text(encoding="utf-8"))
_project = _pyproject["project"]
SERVICE_TITLE: str = _pyproject["tool"]["service"]["title"]
SERVICE_DESCRIPTION: str = _project["description"]

env = Environment()
env.read_file(BASE_DIR / ".env")
DEBUG = env.bool("DEBUG", False)
# SECRET_KEY, REDIS_URL, LOG_LEVEL and others become settings of the same name.
runtime = environment_settings(
    env, service=_project["name"], version=_project["version"], debug=DEBUG
)
globals().update(vars(runtime))
_database: Any = env.database("DATABASE_URL", default=BASE_DIR / "db.sqlite3")
# THROTTLE_<SCOPE> overrides a rate or adds a scope.
THROTTLE_RATES = rates_from_environment(
    env,
    defaults={
        # Against password guessing: per address, and per username from any number of addresses.
        "login": "10/minute",
        "login_username": "20/hour;100/day",
{%- if cookiecutter.example_app == "yes" %}
        # Views that name the same scope share its limit: here the list and the detail of blogs.
        "blog_limit": "100/hour",
        "author_limit": "100/hour",
{%- endif %}
    },
)
env.seal()

# --- Applications -----------------------------------------------------------------------------
INSTALLED_APPS = [
    "service_runtime",
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
    # Outermost, so that every response and every log line has the request ID.
    "service_runtime.logging.middleware.RequestContextMiddleware",
    "service_runtime.metrics.MetricsMiddleware",
    # Skips the middleware below where it serves a public cached response (docs/caching.md).
    "service_runtime.fast_path.FastPathMiddleware",
    "service_runtime.http.security_headers.SecurityHeadersMiddleware",
    "service_runtime.api.problems.DebugPageMiddleware",  # active in development only
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "corsheaders.middleware.CorsMiddleware",
    "service_runtime.http.security_headers.CSPMiddleware",
    "service_runtime.throttling.headers.ThrottlingMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "service_runtime.http.requests.CommonMiddleware",
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
DATABASES = {"default": database_settings(_database, runtime)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- Caching (docs/caching.md) ----------------------------------------------------------------
CACHES: dict[str, dict[str, Any]] = {
    "default": {
        "BACKEND": "service_runtime.caching.backend.RedisCache",
        "LOCATION": runtime.REDIS_URL,
        "KEY_PREFIX": runtime.CACHE_KEY_PREFIX,
    }
}
if not runtime.REDIS_URL:  # one process, for development only
    CACHES["default"] = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}

CACHEOPS_ENABLED = bool(runtime.CACHEOPS_REDIS_URL)
CACHEOPS_REDIS = runtime.CACHEOPS_REDIS_URL or "redis://localhost"
CACHEOPS_CLIENT_CLASS = "service_runtime.caching.cacheops.CacheopsClient"
CACHEOPS_PREFIX = "service_runtime.caching.keys.cacheops_prefix"
CACHEOPS_SERIALIZER = "service_runtime.caching.querysets.Serializer"
CACHEOPS_DEGRADE_ON_FAILURE = True
# Invalidation then survives the eviction of any key.
CACHEOPS_INSIDEOUT = True
CACHEOPS_SKIP_FIELDS = conf.CACHEOPS_SKIP_FIELDS
CACHEOPS = {
    # Any User.objects.get() for 15 minutes. That includes .first(), .last(), request.user and
    # access through a foreign key to a user.
    "users.user": {"ops": "get", "timeout": 60 * 15},
    # All gets and fetches of the other django.contrib.auth models for an hour.
    "auth.*": {"ops": {"fetch", "get"}, "timeout": 60 * 60},
{%- if cookiecutter.example_app == "yes" %}
    # No automatic caching: the views cache their responses (cached_response).
    "blog.*": {"ops": (), "timeout": 60 * 10},
{%- endif %}
}

# --- The API ----------------------------------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "{{ cookiecutter.project_slug }}.users.authentication.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": [
        "rest_framework.permissions.DjangoModelPermissionsOrAnonReadOnly"
    ],
    "DEFAULT_RENDERER_CLASSES": [
        "rest_framework.renderers.JSONRenderer",
        # For browsers, in development only.
        *(["service_runtime.api.renderers.BrowsableAPIRenderer"] if DEBUG else []),
    ],
    "DEFAULT_PARSER_CLASSES": ["service_runtime.api.parsers.JSONParser"],
    "DEFAULT_PAGINATION_CLASS": "rest_framework.pagination.PageNumberPagination",
    "PAGE_SIZE": 20,
    "EXCEPTION_HANDLER": "service_runtime.api.problems.exception_handler",
    "DEFAULT_METADATA_CLASS": "service_runtime.api.renderers.Metadata",
    "DEFAULT_SCHEMA_CLASS": "service_runtime.api.schema.AutoSchema",
    "DEFAULT_THROTTLE_RATES": THROTTLE_RATES,
    "NUM_PROXIES": runtime.NUM_PROXIES,
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
REST_KNOX = {"TOKEN_TTL": timedelta(hours=10), "TOKEN_LIMIT_PER_USER": None}
SPECTACULAR_SETTINGS = {
    "TITLE": SERVICE_TITLE,
    "DESCRIPTION": SERVICE_DESCRIPTION,
    "VERSION": runtime.SERVICE_VERSION,
    "SERVE_INCLUDE_SCHEMA": False,
    "ENFORCE_NON_BLANK_FIELDS": True,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
}

# --- Users and security -----------------------------------------------------------------------
AUTH_USER_MODEL = "users.User"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}Validator"}
    for name in ("UserAttributeSimilarity", "MinimumLength", "CommonPassword", "NumericPassword")
]
SESSION_ENGINE = "service_runtime.http.sessions"
CSRF_FAILURE_VIEW = "service_runtime.api.problems.csrf_failure"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = LANGUAGE_COOKIE_SECURE = not DEBUG
DEFAULT_EXCEPTION_REPORTER_FILTER = "service_runtime.logging.reporting.ExceptionReporterFilter"
# HSTS for subdomains and preloading affect other hosts too: variables enable them.
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
CORS_EXPOSE_HEADERS = conf.EXPOSED_HEADERS

# --- Static files and languages ---------------------------------------------------------------
STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
STATICFILES_DIRS = [Path(__file__).parent / "static"]
# In production, collectstatic creates compressed copies whose names contain a hash.
_storage = "whitenoise.storage.CompressedManifestStaticFilesStorage"
_storage = "django.contrib.staticfiles.storage.StaticFilesStorage" if DEBUG else _storage
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": _storage},
}
WHITENOISE_USE_FINDERS = WHITENOISE_AUTOREFRESH = DEBUG
TIME_ZONE = "UTC"
USE_I18N = False

# --- Logging (docs/logging.md) ----------------------------------------------------------------
LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "json": {
            "()": "service_runtime.logging.JsonFormatter",
            "service": runtime.SERVICE_NAME,
            "version": runtime.SERVICE_VERSION,
            "rename_fields": runtime.LOG_FIELDS,
        },
        "console": {"()": "service_runtime.logging.console.ConsoleFormatter"},
    },
    "handlers": {
        "stream": {
            "class": "service_runtime.logging.handler.LineHandler",
            "stream": runtime.LOG_STREAM,
            "capacity": runtime.LOG_QUEUE,
            "formatter": runtime.LOG_FORMAT,
        },
        "client_errors": {"class": "service_runtime.logging.security.ClientErrorHandler"},
    },
    "root": {"handlers": ["stream"], "level": runtime.LOG_LEVEL},
    "loggers": {
        "django": {"handlers": [], "level": runtime.LOG_LEVEL},
        # Client errors that Django logs as its own, such as a bad Host header.
        "django.security": {"handlers": ["client_errors"], "propagate": False},
        # The cause of a 500. Responses with 4xx are in the access log.
        "django.request": {"level": "ERROR"},
        "django.server": {"handlers": [], "level": runtime.LOG_LEVEL, "propagate": True},
        "django_default": {"level": runtime.LOG_LEVEL},  # the default of log_event
    },
}
for _name, _level in runtime.LOG_LEVELS.items():
    LOGGING["loggers"].setdefault(_name, {})["level"] = _level
