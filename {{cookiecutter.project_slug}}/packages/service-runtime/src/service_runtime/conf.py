"""All settings of the runtime, with their defaults.

A Django setting of the same name overrides a default. `variables.environment_settings` reads most
of them from the environment.
"""

from ipaddress import IPv4Network, IPv6Network
from typing import TYPE_CHECKING, Any, cast

from django.conf import settings as django_settings
from django.core.signals import setting_changed


class Defaults:
    """The settings of the runtime with their defaults."""

    # The service, in log lines, metrics and error reports.
    SERVICE_NAME: str = "service"
    SERVICE_VERSION: str = ""

    # Serving (gunicorn).
    HOST: str = "127.0.0.1"
    PORT: int = 8000
    OPS_PORT: int = 8001
    WEB_CONCURRENCY: int = 2
    WEB_THREADS: int = 4
    GRACEFUL_TIMEOUT: int = 30  # seconds
    STUCK_SECONDS: int = 300  # 0: never
    # Private memory of a worker above which it is replaced. 0: 60 % of the container's limit,
    # divided by the workers.
    WORKER_MEMORY_MAX_BYTES: int = 0
    REQUEST_HEAD_SECONDS: float = 10.0  # until a request's headers have arrived
    REQUEST_BODY_SECONDS: float = 60.0  # until its body has arrived; or a response has been sent
    REQUEST_BODY_MAX_BYTES: int = 10 * 1024 * 1024
    REQUEST_SECONDS: float = 30.0  # then the stack of a request's thread is logged
    QUEUE_SECONDS: float = 0.5  # a request waits for a thread before it receives a 503
    QUEUE_EXEMPT_PATHS: list[str] = ["/admin/"]  # prefixes of paths that wait longer
    # Proxies in front of the service that append to X-Forwarded-For.
    NUM_PROXIES: int = 0

    # The database. Limits of statements apply to requests; 0 is no limit. All are seconds.
    DATABASE_CONNECT_TIMEOUT: int = 3
    DATABASE_POOL_TIMEOUT: float = 0.2  # less than QUEUE_SECONDS
    DATABASE_MAX_IDLE: int = 60
    DATABASE_STATEMENT_TIMEOUT: float = 10.0
    DATABASE_LOCK_TIMEOUT: float = 3.0
    DATABASE_IDLE_TRANSACTION_TIMEOUT: float = 30.0
    # The server is PgBouncer in transaction mode.
    DATABASE_PGBOUNCER: bool = False

    # Further middleware that FastPathMiddleware can skip (docs/caching.md).
    FAST_PATH_MIDDLEWARE: list[str] = []

    # Redis. Without a URL the cache and the throttles are local to the process.
    REDIS_URL: str = ""
    CACHEOPS_REDIS_URL: str = ""
    THROTTLING_REDIS_URL: str = ""  # or a cluster: redis+cluster://host:6379,host:6379
    REDIS_SOCKET_TIMEOUT: float = 0.05  # seconds
    REDIS_CA_CERT: str = ""
    # Starts every key; separates services that share a Redis.
    CACHE_KEY_PREFIX: str = "service"

    # Throttling. The rates are REST_FRAMEWORK["DEFAULT_THROTTLE_RATES"].
    THROTTLE_VARIABLES: list[str] = []  # in the environment, for `manage.py throttles`
    THROTTLING_FAIL_CLOSED: list[str] = []  # scopes that return 503 while Redis is down
    THROTTLING_HEADERS: str = "draft"  # or legacy, both, off
    THROTTLING_EXEMPT_NETWORKS: list[IPv4Network | IPv6Network] = []
    # Dotted paths of functions that take a request (docs/throttling.md).
    THROTTLING_GET_CLIENT: str | None = None
    THROTTLING_GET_TIER: str | None = None

    # The API. Errors under the prefix are JSON.
    API_PREFIX: str = "/api/"
    API_PROBLEM_DETAILS: bool = False  # application/problem+json for all clients

    # Logging.
    LOG_LEVEL: str = "INFO"
    LOG_LEVELS: dict[str, str] = {}  # by logger
    LOG_FORMAT: str = "json"  # or console
    LOG_STREAM: str = "stdout"  # or stderr
    LOG_QUEUE: int = 0  # lines that wait for a slow reader; 0: writers wait instead
    LOG_FIELDS: dict[str, str] = {}  # names of fields, by their usual names
    LOG_REDACT: list[str] = []  # further names whose values are redacted
    SLOW_REQUEST_SECONDS: float = 1.0
    SLOW_QUERY_SECONDS: float = 0.1

    # Traces and error reports, which need the extras `tracing` and `sentry`.
    OTEL_EXPORTER_OTLP_ENDPOINT: str = ""
    SENTRY_DSN: str = ""

    SECURITY_HEADERS: dict[str, str] = {
        # Other sites cannot embed responses as images or scripts. CORS requests are exempt, so
        # CORS_ALLOWED_ORIGINS can still call the API.
        "Cross-Origin-Resource-Policy": "same-origin",
        # Browser features that no page needs, and no injected script gets.
        "Permissions-Policy": ", ".join(
            f"{feature}=()"
            for feature in (
                *("accelerometer", "camera", "display-capture", "geolocation", "gyroscope"),
                *("magnetometer", "microphone", "midi", "payment", "screen-wake-lock", "serial"),
                *("usb", "xr-spatial-tracking"),
            )
        ),
    }


# For CACHEOPS_SKIP_FIELDS: fields whose values do not select cached results, because they are long
# or because equal values have several notations.
CACHEOPS_SKIP_FIELDS = [
    *("FileField", "TextField", "BinaryField", "JSONField", "ArrayField"),
    *("DecimalField", "FloatField", "DateTimeField", "TimeField", "DurationField"),
    *("IntegerRangeField", "BigIntegerRangeField", "DecimalRangeField", "DateRangeField"),
    *("DateTimeRangeField", "HStoreField"),
]
# For CORS_EXPOSE_HEADERS: the headers that throttles and logs add to responses.
EXPOSED_HEADERS = [
    *("RateLimit", "RateLimit-Policy", "Retry-After", "X-Request-ID"),
    *("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"),
]


class Settings(Defaults):
    """Django's settings, with the defaults of the runtime."""

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...


class _Settings:
    """Looks a setting up once, until `override_settings` changes it.

    Not a subclass of `Defaults`, in which the lookup would find the default first.
    """

    def __init__(self) -> None:
        setting_changed.connect(lambda setting, **_: vars(self).pop(setting, None), weak=False)

    def __getattr__(self, name: str) -> Any:
        try:
            value = getattr(django_settings, name)
        except AttributeError:
            value = getattr(Defaults, name)
        vars(self)[name] = value
        return value


settings = cast("Settings", _Settings())
