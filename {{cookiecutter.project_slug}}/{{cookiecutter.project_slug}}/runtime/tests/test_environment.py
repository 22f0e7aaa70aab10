import pytest
from django.core.exceptions import ImproperlyConfigured
from environs import ValidationError

from ..environment import Environment, validate_redis_url


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
