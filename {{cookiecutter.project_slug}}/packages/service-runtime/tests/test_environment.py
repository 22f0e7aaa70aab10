import json

import pytest
from django.core.exceptions import ImproperlyConfigured
from environs import ValidationError

from service_runtime.environment import Environment, parse_host, validate_redis_url
from service_runtime.logging import JsonFormatter, boot


def test_all_errors_are_reported_at_once_without_secrets(monkeypatch):
    monkeypatch.setenv("PORT", "many")
    monkeypatch.setenv("SOME_SECRET", "hush")
    env = Environment()
    env.int("PORT")
    env.int("SOME_SECRET")
    env.str("NAME")

    with pytest.raises(ImproperlyConfigured) as error:
        env.seal()

    assert str(error.value).splitlines() == [
        "PORT: Not a valid integer. (it is 'many')",
        "SOME_SECRET: Not a valid integer.",
        "NAME: Environment variable not set.",
    ]


def parse_key(key):
    raise ValueError(f"{key!r} is no key such as https://user:password@host.")


def test_the_log_shows_examples_and_no_secrets(monkeypatch, caplog):
    """Through the log, which redacts what is not known to be free of secrets."""
    monkeypatch.setenv("REDIS_URL", "http://:hush@host")
    monkeypatch.setenv("ALLOWED_HOSTS", "redis://:hush@host")
    monkeypatch.setenv("API_KEYS", "hush")
    monkeypatch.setenv("CSRF_TRUSTED_ORIGINS", "example.com")
    monkeypatch.setenv("SECRET_KEY_FILE", "/missing")
    env = Environment()
    env.str("REDIS_URL", validate=validate_redis_url)
    env.items("ALLOWED_HOSTS", parse_host)
    env.items("API_KEYS", parse_key)
    env.items("CSRF_TRUSTED_ORIGINS", parse_key)
    env.str("SECRET_KEY", "")

    with pytest.raises(ImproperlyConfigured) as error:
        env.seal()
    with pytest.raises(SystemExit):
        boot.fail(str(error.value))

    formatter = JsonFormatter("acme", "1")
    assert [json.loads(formatter.format(record))["message"] for record in caplog.records] == [
        "REDIS_URL: Must look like redis://user:password@host:6379/0 (rediss:// for TLS),"
        " with special characters of the password percent-encoded.",
        "ALLOWED_HOSTS: 'redis://:[redacted]@host' is not a host name such as api.example.com."
        " (it is 'redis://:[redacted]@host')",
        "API_KEYS: '[redacted]' is no key such as https://user:password@host.",
        "CSRF_TRUSTED_ORIGINS: 'example.com' is no key such as https://user:password@host."
        " (it is 'example.com')",
        "SECRET_KEY_FILE: '/missing' is not a file that this process can read. (it is '/missing')",
    ]


def test_what_others_say_at_the_start_is_redacted(caplog):
    with pytest.raises(SystemExit):
        boot.fail("cannot reach redis://:hush@host")

    assert "hush" not in JsonFormatter("acme", "1").format(caplog.records[0])


def test_a_secret_may_be_mounted_as_a_file(monkeypatch, tmp_path):
    (tmp_path / "key").write_text("from a file\n")
    monkeypatch.setenv("SECRET_KEY_FILE", str(tmp_path / "key"))

    assert Environment().str("SECRET_KEY") == "from a file"


def test_a_file_that_cannot_be_read_is_reported(monkeypatch, tmp_path):
    monkeypatch.setenv("SECRET_KEY_FILE", str(tmp_path / "missing"))
    env = Environment()
    env.str("SECRET_KEY", "")

    with pytest.raises(ImproperlyConfigured, match=r"^SECRET_KEY_FILE: '.*missing' is not a file"):
        env.seal()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "redis://localhost",
        "rediss://user:p%40ss@cache.example.com:6380/1",
        "unix:///tmp/r.sock",
    ],
)
def test_redis_urls(url):
    validate_redis_url(url)


@pytest.mark.parametrize(
    "url", ["localhost:6379", "http://localhost", "redis://", "redis://host:port", "redis://:p#w@h"]
)
def test_what_is_no_redis_url_is_refused(url):
    with pytest.raises(ValidationError, match="Must look like redis://"):
        validate_redis_url(url)
