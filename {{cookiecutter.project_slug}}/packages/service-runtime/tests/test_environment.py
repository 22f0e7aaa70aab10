"""Variables are read from the environment and files; invalid ones are reported all at once."""

import json

import pytest
from django.core.exceptions import ImproperlyConfigured
from environs import ValidationError

from service_runtime.configuration.rules import parse_host
from service_runtime.environment import Environment, validate_redis_url
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


def test_log_shows_examples_and_no_secrets(monkeypatch, caplog):
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
        " with special characters of the password percent-encoded."
        " The scheme must be redis, rediss or unix.",
        "ALLOWED_HOSTS: 'redis://:[redacted]@host' is not a host name such as api.example.com."
        " (it is 'redis://:[redacted]@host')",
        "API_KEYS: '[redacted]' is no key such as https://user:password@host.",
        "CSRF_TRUSTED_ORIGINS: 'example.com' is no key such as https://user:password@host."
        " (it is 'example.com')",
        "SECRET_KEY_FILE: '/missing' is not a file that this process can read. (it is '/missing')",
    ]


def test_other_errors_at_the_start_are_redacted(caplog):
    with pytest.raises(SystemExit):
        boot.fail("cannot reach redis://:hush@host")

    assert "hush" not in JsonFormatter("acme", "1").format(caplog.records[0])


def test_secret_can_be_mounted_as_a_file(monkeypatch, tmp_path):
    (tmp_path / "key").write_text("from a file\n")
    monkeypatch.setenv("SECRET_KEY_FILE", str(tmp_path / "key"))

    assert Environment().str("SECRET_KEY") == "from a file"


def test_unreadable_file_is_reported(monkeypatch, tmp_path):
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
def test_redis_url_is_accepted(url):
    validate_redis_url(url)


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("localhost:6379", "The scheme must be redis, rediss or unix."),
        ("http://localhost", "The scheme must be redis, rediss or unix."),
        ("REDIS://localhost", "The scheme must be redis, rediss or unix."),
        ("redis://", "The host is missing."),
        ("redis://:hush#1@host", "The host or the port is invalid."),
        ("redis://host:port", "The host or the port is invalid."),
        ("redis://:hush@host:65536", "The host or the port is invalid."),
        ("redis://[host", "The host or the port is invalid."),
        ("redis://:hush@host/first", "The path must be the number of a database."),
        ("redis://:hush@host/0/1", "The path must be the number of a database."),
        ("redis://:hush@host/0?hush=1", "An option after the question mark is invalid."),
        ("unix://", "The path of the socket is missing."),
    ],
)
def test_invalid_redis_url_is_rejected_with_the_rule_and_without_its_password(url, rule):
    with pytest.raises(ValidationError) as error:
        validate_redis_url(url)

    message = str(error.value)
    assert message.startswith("Must look like redis://user:password@host:6379/0")
    assert rule in message
    assert "hush" not in message


def test_file_fills_in_variables_that_are_not_set(monkeypatch, tmp_path):
    (tmp_path / ".env").write_text("PORT=9\nHOST=from-the-file\n")
    monkeypatch.setattr("os.environ", {"HOST": "set"})
    env = Environment()

    env.read_file(tmp_path / ".env")

    assert (env.int("PORT"), env.str("HOST")) == (9, "set")


def test_missing_default_file_is_ignored(monkeypatch, tmp_path):
    monkeypatch.setattr("os.environ", {})
    env = Environment()

    env.read_file(tmp_path / ".env")
    env.seal()


@pytest.mark.parametrize("name", ["other.env", "missing.env", "."])
def test_env_file_names_another_file_that_must_exist(monkeypatch, tmp_path, name):
    (tmp_path / ".env").write_text("PORT=9\n")
    (tmp_path / "other.env").write_text("PORT=10\n")
    monkeypatch.setattr("os.environ", {"ENV_FILE": name})
    env = Environment()

    env.read_file(tmp_path / ".env")

    if name == "other.env":
        assert env.int("PORT") == 10
        env.seal()
    else:
        with pytest.raises(ImproperlyConfigured, match=r"^ENV_FILE: Must be the path of a file\."):
            env.seal()


def test_database_is_a_sqlite_file_by_default(monkeypatch, tmp_path):
    monkeypatch.setattr("os.environ", {})

    assert Environment().database("DATABASE_URL", tmp_path / "db") == {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": tmp_path / "db",
    }


@pytest.mark.parametrize("is_file", [False, True], ids=["value", "file"])
def test_database_url_becomes_an_entry_of_databases(monkeypatch, tmp_path, is_file):
    url = "postgres://service:p%40ss@db:5433/blog"
    (tmp_path / "url").write_text(url)
    name, value = ("DATABASE_URL_FILE", str(tmp_path / "url")) if is_file else ("DATABASE_URL", url)
    monkeypatch.setattr("os.environ", {name: value})

    found = Environment().database("DATABASE_URL", tmp_path / "db")

    expected = {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "blog",
        "USER": "service",
        "PASSWORD": "p@ss",
        "HOST": "db",
        "PORT": 5433,
    }
    assert found.items() >= expected.items()


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("mysql://u:hush@db/blog", "The scheme must be postgres or sqlite."),
        ("mysqlite:///hush", "The scheme must be postgres or sqlite."),
        ("hush", "The scheme must be postgres or sqlite."),
        ("", "The scheme must be postgres or sqlite."),
        ("postgres://u:hush@db/", "The name of the database is missing."),
        ("postgres://u:hush@db", "The name of the database is missing."),
        ("postgres://u:hush#1@db/blog", "The host or the port is invalid."),
        ("postgres://u:hush@db:many/blog", "The host or the port is invalid."),
        ("postgres://u:hush@db/blog/more", "The path must be the name of the database alone."),
    ],
)
def test_invalid_database_url_is_rejected_without_its_password(monkeypatch, tmp_path, url, rule):
    monkeypatch.setattr("os.environ", {"DATABASE_URL": url})
    env = Environment()
    env.database("DATABASE_URL", tmp_path / "db")

    with pytest.raises(ImproperlyConfigured) as error:
        env.seal()

    (line,) = str(error.value).splitlines()
    assert line.startswith("DATABASE_URL: Must look like postgres://user:password@host:5432/name")
    assert line.endswith(f"percent-encoded. {rule}")
    assert "hush" not in line


@pytest.mark.parametrize(
    ("url", "name"),
    [("sqlite:////data/db", "/data/db"), ("sqlite://:memory:", ":memory:"), ("PGSQL://h/b", "b")],
)
def test_further_urls_of_databases(monkeypatch, tmp_path, url, name):
    monkeypatch.setattr("os.environ", {"DATABASE_URL": url})

    assert Environment().database("DATABASE_URL", tmp_path / "db")["NAME"] == name


def test_secret_values_are_never_shown(monkeypatch):
    secrets = ["SECRET_KEY", "API_TOKEN", "DB_PASSWORD", "SENTRY_DSN", "CACHE_URL", "SIGNING_KEY"]
    monkeypatch.setattr("os.environ", dict.fromkeys([*secrets, "LIMIT"], "hush"))
    env = Environment()
    for name in [*secrets, "LIMIT"]:
        env.int(name)

    with pytest.raises(ImproperlyConfigured) as error:
        env.seal()

    *hidden, shown = str(error.value).splitlines()
    assert not [line for line in hidden if "hush" in line]
    assert shown == "LIMIT: Not a valid integer. (it is 'hush')"
