"""All environment variables, by group; the tables of the documents are generated from `GROUPS`."""

from environs import validate

from ..environment import validate_file, validate_redis_url, validate_throttling_redis_url
from .rules import (
    above_zero,
    key_prefix,
    log_level,
    not_negative,
    parse_field_names,
    parse_host,
    parse_network,
    parse_origin,
    port,
    positive,
)
from .variable import Variable

GROUPS = {
    "Required in production": [
        Variable("DEBUG", "for development only; `.env` sets it to `true`", default=False),
        Variable("SECRET_KEY", "at least 50 random characters", secret=True),
        Variable(
            "SECRET_KEY_FALLBACKS",
            "previous values of `SECRET_KEY` whose signatures are still accepted",
            parse=str,
            secret=True,
        ),
        Variable("ALLOWED_HOSTS", "host names to serve; never `*`", parse=parse_host),
        Variable(
            "DATABASE_URL",
            "such as `postgres://user:password@host:5432/name`",
            derived="a SQLite file",
        ),
        Variable(
            "REDIS_URL",
            "such as `redis://user:password@host:6379/0`, or `rediss://` for TLS; without it, the"
            " cache and the counters are in the memory of one process, for development only",
            validate_redis_url,
        ),
    ],
    "Database": [
        Variable("DATABASE_CONNECT_TIMEOUT", "limit of connecting", positive),
        Variable(
            "DATABASE_POOL_TIMEOUT",
            "time that a request waits for a connection; more than connecting takes",
            above_zero,
        ),
        Variable(
            "DATABASE_MAX_IDLE",
            "time until an unused connection is closed",
            positive,
            unit="seconds",
        ),
        Variable("DATABASE_STATEMENT_TIMEOUT", "limit of a statement", not_negative),
        Variable("DATABASE_LOCK_TIMEOUT", "time that a statement waits for a lock", not_negative),
        Variable(
            "DATABASE_IDLE_TRANSACTION_TIMEOUT", "time that a transaction can be idle", not_negative
        ),
        Variable("DATABASE_PGBOUNCER", "the server is PgBouncer in transaction mode"),
        Variable(
            "MIGRATE_DATABASE_URL",
            "database of `manage.py migrate`, such as PostgreSQL behind PgBouncer; not read from"
            " `.env`",
            derived="`DATABASE_URL`",
        ),
    ],
    "Redis": [
        Variable(
            "CACHEOPS_REDIS_URL",
            "a separate Redis for cacheops",
            validate_redis_url,
            derived="`REDIS_URL`",
        ),
        Variable(
            "THROTTLING_REDIS_URL",
            "a separate Redis for the throttles' counters, or a Redis Cluster",
            validate_throttling_redis_url,
            derived="`REDIS_URL`",
        ),
        Variable(
            "REDIS_SOCKET_TIMEOUT",
            "limit of a call; then the service continues without Redis",
            above_zero,
        ),
        Variable("REDIS_CA_CERT", "path of the CA certificate for `rediss://`", validate_file),
        Variable(
            "CACHE_KEY_PREFIX",
            "prefix of all keys in Redis; `deploy/redis.yaml` limits the Redis user to it",
            key_prefix,
            derived="the service's name",
        ),
    ],
    "Throttling": [
        Variable(
            "THROTTLE_<SCOPE>",
            "rate of a scope: `100/hour`, `10/s;1000/h`, `100/h;shadow`, `off` or `block`; the name"
            " `THROTTLE_<SCOPE>__<TIER>` sets the rate of clients in a tier",
            type="rate",
            derived="see `settings.py`",
        ),
        Variable(
            "THROTTLING_FAIL_CLOSED",
            "scopes that respond with 503 instead of admitting requests while Redis is down",
            parse=str,
        ),
        Variable(
            "THROTTLING_HEADERS",
            "`RateLimit` fields, `X-RateLimit-*` fields, both or none",
            validate.OneOf(["draft", "legacy", "both", "off"]),
        ),
        Variable(
            "THROTTLING_EXEMPT_NETWORKS",
            "networks whose clients are not throttled, such as `10.0.0.0/8`",
            parse=parse_network,
        ),
    ],
    "Logging, metrics and traces": [
        Variable("LOG_LEVEL", "default level of all loggers", log_level),
        Variable(
            "LOG_LEVEL_<LOGGER>",
            "level of one logger, with `__` for each dot: `LOG_LEVEL_DJANGO__DB__BACKENDS=DEBUG`",
            log_level,
        ),
        Variable("LOG_FORMAT", "`console` is human-readable", validate.OneOf(["json", "console"])),
        Variable(
            "LOG_FIELDS",
            "field names of a log service: `gcp`, `datadog`, `ecs`, or pairs such as `uid=user.id`",
            parse=parse_field_names,
        ),
        Variable("LOG_REDACT", "additional names whose values are redacted", parse=str),
        Variable(
            "LOG_QUEUE",
            "lines that can wait for a slow reader before they are dropped and counted; 0 blocks"
            " instead",
            not_negative,
        ),
        Variable(
            "LOG_STREAM",
            "management commands log on `stderr` by default, since their output is on stdout",
            validate.OneOf(["stdout", "stderr"]),
            derived="`stdout`",
        ),
        Variable("SLOW_REQUEST_SECONDS", "a slower request is logged; 0 disables it", not_negative),
        Variable("SLOW_QUERY_SECONDS", "a slower query is logged while DEBUG is on", not_negative),
        Variable(
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "where to send traces, such as `http://collector:4318`; needs `uv sync --extra"
            " tracing`",
            type="URL",
        ),
        Variable(
            "SENTRY_DSN", "where to report errors; needs `uv sync --extra sentry`", secret=True
        ),
    ],
    "Server": [
        Variable(
            "HOST",
            "address to listen on; `::` for IPv6",
            derived="`0.0.0.0`; `127.0.0.1` while DEBUG is on",
        ),
        Variable("PORT", "port of the service", port),
        Variable("OPS_PORT", "port of probes and metrics, for use inside the cluster only", port),
        Variable(
            "WEB_CONCURRENCY",
            "worker processes; gunicorn reads it first and reports a value that is not a number",
            positive,
        ),
        Variable("WEB_THREADS", "request threads per worker", positive),
        Variable(
            "REQUEST_HEAD_SECONDS",
            "time until a request's headers arrive; then its connection is closed",
            above_zero,
        ),
        Variable(
            "REQUEST_BODY_SECONDS",
            "time until its body has arrived, and time that a response waits for its client",
            above_zero,
        ),
        Variable("REQUEST_BODY_MAX_BYTES", "maximum size of a body", not_negative),
        Variable(
            "QUEUE_SECONDS",
            "a request that has waited longer for a thread receives a 503, except in the admin (as"
            " many requests as threads); set it above `REDIS_SOCKET_TIMEOUT` and"
            " `DATABASE_POOL_TIMEOUT`",
            above_zero,
        ),
        Variable("REQUEST_SECONDS", "a request that takes longer has its stack logged", above_zero),
        Variable(
            "GRACEFUL_TIMEOUT", "time for requests in flight to finish after SIGTERM", positive
        ),
        Variable(
            "STUCK_SECONDS",
            "a worker whose threads have all been busy with one request for longer logs their"
            " stacks and exits; 0 disables this",
            not_negative,
        ),
        Variable(
            "WORKER_MEMORY_MAX_BYTES",
            "private memory above which a worker is replaced; 0: 60 % of the container's limit,"
            " divided by the workers",
            not_negative,
        ),
        Variable(
            "SERVICE_VERSION",
            "version in logs, metrics and the schema; the chart sets the image's tag",
            derived="of `pyproject.toml`",
        ),
        Variable(
            "API_PROBLEM_DETAILS", "send `application/problem+json` to every client of the API"
        ),
        Variable("ENV_FILE", "file of variables; the environment takes precedence", default=".env"),
    ],
    "HTTPS and browsers": [
        Variable(
            "NUM_PROXIES",
            "number of proxies in front of the service; with 0, `X-Forwarded-For` and"
            " `X-Forwarded-Proto` are ignored",
            not_negative,
        ),
        Variable(
            "SECURE_SSL_REDIRECT",
            "redirect plain HTTP to HTTPS",
            default=False,
            derived="`true` behind a proxy",
        ),
        Variable(
            "SECURE_HSTS_SECONDS",
            "duration of HSTS",
            not_negative,
            derived="`31536000`; 0 while DEBUG is on",
        ),
        Variable("SECURE_HSTS_INCLUDE_SUBDOMAINS", "extend HSTS to all subdomains"),
        Variable("SECURE_HSTS_PRELOAD", "allow browsers to preload HSTS"),
        Variable(
            "CSRF_TRUSTED_ORIGINS",
            "origins whose forms are accepted, such as `https://api.example.com`",
            parse=parse_origin,
        ),
        Variable(
            "CORS_ALLOWED_ORIGINS", "origins whose pages can call the API", parse=parse_origin
        ),
    ],
}
VARIABLES = [variable for group in GROUPS.values() for variable in group]
