"""Each environment variable becomes a setting; an invalid value is reported with its rule."""

import ipaddress
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from service_runtime import conf
from service_runtime.environment import Environment
from service_runtime.variables import DEVELOPMENT_SECRET_KEY, environment_settings

SAFE = {"ALLOWED_HOSTS": "api.example.com", "SECRET_KEY": "0123456789-abcdefghij" * 3}


@pytest.fixture
def read(monkeypatch):
    """Return a function that reads the settings from an environment that has nothing else."""

    def read(debug=False, **environment):
        monkeypatch.setattr("os.environ", environment)
        env = Environment()
        found = environment_settings(env, service="acme", version="1.2", debug=debug)
        env.seal()
        return found

    return read


def test_defaults_of_development(read):
    found = vars(read(debug=True))

    expected = {
        "SERVICE_NAME": "acme",
        "SERVICE_VERSION": "1.2",
        "CACHE_KEY_PREFIX": "acme",
        "HOST": "127.0.0.1",
        "SECRET_KEY": DEVELOPMENT_SECRET_KEY,
        "SECURE_HSTS_SECONDS": 0,
        "SECURE_SSL_REDIRECT": False,
        "SECURE_PROXY_SSL_HEADER": None,
        "ALLOWED_HOSTS": [],
    }
    assert found.items() >= expected.items()
    unset = {"CACHE_KEY_PREFIX", "HOST", "SERVICE_NAME"}
    for name in conf.Defaults.__annotations__.keys() - unset - {"SERVICE_VERSION"}:
        if name in found:
            assert found[name] == getattr(conf.Defaults, name), name


def test_version_of_the_image_replaces_that_of_the_project(read):
    assert read(debug=True, SERVICE_VERSION="1.3").SERVICE_VERSION == "1.3"


def test_defaults_of_production(read):
    found = read(**SAFE, NUM_PROXIES="1")

    assert found.HOST == "0.0.0.0"  # noqa: S104 - it is not bound here
    assert found.SECURE_HSTS_SECONDS == 31_536_000
    assert found.SECURE_SSL_REDIRECT
    assert found.SECURE_PROXY_SSL_HEADER == ("HTTP_X_FORWARDED_PROTO", "https")
    assert not read(**SAFE).SECURE_SSL_REDIRECT  # no proxy ends TLS


VALID: list[tuple[str, str, Any]] = [
    ("PORT", "8080", 8080),
    ("OPS_PORT", "9000", 9000),
    ("WEB_CONCURRENCY", "3", 3),
    ("WEB_THREADS", "1", 1),
    ("GRACEFUL_TIMEOUT", "5", 5),
    ("STUCK_SECONDS", "0", 0),
    ("NUM_PROXIES", "2", 2),
    ("HOST", "::1", "::1"),
    ("SECRET_KEY_FALLBACKS", "a, b", ["a", "b"]),
    ("ALLOWED_HOSTS", ".example.com, [::1]", [".example.com", "[::1]"]),
    ("CSRF_TRUSTED_ORIGINS", "https://a.example.com", ["https://a.example.com"]),
    ("CORS_ALLOWED_ORIGINS", "http://localhost:3000", ["http://localhost:3000"]),
    ("SECURE_SSL_REDIRECT", "true", True),
    ("SECURE_HSTS_SECONDS", "60", 60),
    ("SECURE_HSTS_INCLUDE_SUBDOMAINS", "yes", True),
    ("SECURE_HSTS_PRELOAD", "1", True),
    ("REDIS_URL", "redis://cache/1", "redis://cache/1"),
    ("CACHEOPS_REDIS_URL", "unix:///run/redis.sock", "unix:///run/redis.sock"),
    ("THROTTLING_REDIS_URL", "rediss://u:p@cache", "rediss://u:p@cache"),
    ("THROTTLING_REDIS_URL", "redis+cluster://:p@a,b:7000/0", "redis+cluster://:p@a,b:7000/0"),
    ("THROTTLING_REDIS_URL", "rediss+cluster://[::1]:7000", "rediss+cluster://[::1]:7000"),
    ("REDIS_SOCKET_TIMEOUT", "0.2", 0.2),
    ("CACHE_KEY_PREFIX", "acme:v2_x.y", "acme:v2_x.y"),
    ("THROTTLING_FAIL_CLOSED", "login,", ["login"]),
    ("THROTTLING_HEADERS", "both", "both"),
    ("THROTTLING_EXEMPT_NETWORKS", "10.0.0.0/8", [ipaddress.ip_network("10.0.0.0/8")]),
    ("API_PROBLEM_DETAILS", "on", True),
    ("LOG_LEVEL", "DEBUG", "DEBUG"),
    ("LOG_FORMAT", "console", "console"),
    ("LOG_STREAM", "stderr", "stderr"),
    ("LOG_QUEUE", "100", 100),
    ("LOG_FIELDS", "ecs, uid=user", None),
    ("LOG_REDACT", "iban,pin", ["iban", "pin"]),
    ("SLOW_REQUEST_SECONDS", "0.5", 0.5),
    ("SLOW_QUERY_SECONDS", "0", 0.0),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318", "http://collector:4318"),
    ("SENTRY_DSN", "https://key@sentry.example.com/1", "https://key@sentry.example.com/1"),
]


@pytest.mark.parametrize(("name", "value", "setting"), VALID, ids=[row[0] for row in VALID])
@pytest.mark.parametrize("is_file", [False, True], ids=["value", "file"])
def test_variable_becomes_its_setting(read, tmp_path, name, value, setting, is_file):
    if is_file:
        (tmp_path / "value").write_text(f"{value}\n")
        name, value = f"{name}_FILE", str(tmp_path / "value")

    found = getattr(read(debug=True, **{name: value}), name.removesuffix("_FILE"))

    if name.startswith("LOG_FIELDS"):
        assert (found["timestamp"], found["uid"]) == ("@timestamp", "user")
    else:
        assert (found, type(found)) == (setting, type(setting))


INVALID = [
    ("PORT", "0", "Must be greater than or equal to 1"),
    ("PORT", "many", "Not a valid integer."),
    ("OPS_PORT", "65536", "less than or equal to 65535"),
    ("OPS_PORT", "8000", "Must differ from PORT."),
    ("WEB_CONCURRENCY", "0", "greater than or equal to 1"),
    ("WEB_THREADS", "0", "greater than or equal to 1"),
    ("GRACEFUL_TIMEOUT", "0", "greater than or equal to 1"),
    ("STUCK_SECONDS", "-1", "greater than or equal to 0"),
    ("NUM_PROXIES", "-1", "greater than or equal to 0"),
    ("SECRET_KEY", "short", "Must be secret and at least 50 characters while DEBUG is off."),
    ("SECRET_KEY", "", "`openssl rand -hex 32` prints one. For development, set DEBUG=true"),
    ("SECRET_KEY", DEVELOPMENT_SECRET_KEY, "Must be secret and at least 50 characters"),
    ("ALLOWED_HOSTS", "", "such as api.example.com, not '*', while DEBUG is off."),
    ("ALLOWED_HOSTS", "a.example.com, *", "Must list the host names served"),
    ("ALLOWED_HOSTS", "https://a", "'https://a' is not a host name such as api.example.com."),
    ("CSRF_TRUSTED_ORIGINS", "a.example.com", "is not an origin such as https://api.example.com."),
    ("CORS_ALLOWED_ORIGINS", "https://a/path", "is not an origin"),
    ("SECURE_SSL_REDIRECT", "perhaps", "Not a valid boolean."),
    ("SECURE_HSTS_SECONDS", "-5", "greater than or equal to 0"),
    ("REDIS_URL", "redis://cache/0/1", "The path must be the number of a database."),
    ("REDIS_URL", "cache:6379", "Must look like redis://user:password@host:6379/0"),
    ("CACHEOPS_REDIS_URL", "http://cache", "Must look like redis://"),
    ("THROTTLING_REDIS_URL", "redis://", "Must look like redis://"),
    ("THROTTLING_REDIS_URL", "redis+cluster://a,", "Must look like redis+cluster://"),
    ("THROTTLING_REDIS_URL", "redis+cluster://a:x", "Must look like redis+cluster://"),
    ("THROTTLING_REDIS_URL", "redis+cluster://a/1", "Must look like redis+cluster://"),
    ("THROTTLING_REDIS_URL", "redis+cluster://[a", "Must look like redis+cluster://"),
    ("THROTTLING_REDIS_URL", "http+cluster://a", "Must look like redis+cluster://"),
    ("REDIS_URL", "redis+cluster://a", "Only THROTTLING_REDIS_URL can name a Redis Cluster."),
    ("CACHEOPS_REDIS_URL", "rediss+cluster://a", "Must be the URL of one server."),
    ("REDIS_SOCKET_TIMEOUT", "0", "Must be greater than 0"),
    ("REDIS_CA_CERT", "/nowhere", "Must be the path of a file."),
    ("CACHE_KEY_PREFIX", "a b", "Must be of letters, digits and . : _ -"),
    ("THROTTLING_HEADERS", "none", "Must be one of: draft, legacy, both, off."),
    ("THROTTLING_EXEMPT_NETWORKS", "10.0.0.1/8", "is not a network such as 10.0.0.0/8."),
    ("LOG_LEVEL", "LOUD", "Must be one of: DEBUG, INFO, WARNING, ERROR, CRITICAL."),
    ("LOG_LEVEL_SHOP", "LOUD", "Must be one of: DEBUG"),
    ("LOG_FORMAT", "xml", "Must be one of: json, console."),
    ("LOG_STREAM", "file", "Must be one of: stdout, stderr."),
    ("LOG_QUEUE", "-1", "greater than or equal to 0"),
    ("LOG_FIELDS", "splunk", "is neither one of gcp, datadog, ecs nor a pair such as uid=user.id."),
    ("LOG_FIELDS", "uid=", "is neither one of"),
    ("SLOW_REQUEST_SECONDS", "-1", "greater than or equal to 0"),
    ("SLOW_QUERY_SECONDS", "slow", "Not a valid number."),
]


@pytest.mark.parametrize(("name", "value", "rule"), INVALID)
def test_invalid_value_is_rejected_with_its_rule(read, name, value, rule):
    with pytest.raises(ImproperlyConfigured) as error:
        read(**{**SAFE, name: value})

    (line,) = str(error.value).splitlines()
    assert line.startswith(f"{name}: ")
    assert rule in line


def test_one_url_serves_the_cache_cacheops_and_the_throttles(read):
    found = read(debug=True, REDIS_URL="redis://cache", THROTTLING_REDIS_URL="redis://counters")

    assert (found.REDIS_URL, found.CACHEOPS_REDIS_URL) == ("redis://cache", "redis://cache")
    assert found.THROTTLING_REDIS_URL == "redis://counters"


def test_variables_name_loggers_and_scopes(read, tmp_path):
    (tmp_path / "rate").write_text("1/s")
    found = read(
        debug=True,
        LOG_LEVEL_DJANGO__DB__BACKENDS="DEBUG",
        THROTTLE_LOGIN="1/s",
        THROTTLE_BLOG_FILE=str(tmp_path / "rate"),
    )

    assert found.LOG_LEVELS == {"django.db.backends": "DEBUG"}
    assert found.THROTTLE_VARIABLES == ["THROTTLE_BLOG", "THROTTLE_LOGIN"]


def test_django_settings_override_defaults(settings):
    assert conf.settings.OPS_PORT == 8001
    settings.GRACEFUL_TIMEOUT = 7
    assert conf.settings.GRACEFUL_TIMEOUT == 7
    assert conf.settings.THROTTLING_GET_TIER is None
    with pytest.raises(AttributeError):
        conf.settings.NO_SUCH_SETTING  # noqa: B018
