"""Secrets are redacted by name in every structure."""

import collections
import dataclasses
import logging
import types

import attr
import pytest

from service_runtime.logging import log_event, redaction
from service_runtime.logging.redaction import Masked
from service_runtime.logging.values import plain


@pytest.mark.parametrize(
    "secret",
    [
        "token=hush&page=1",
        "https://example.com/?page=1&user[password]=hush",
        "https://example.com/#access_token=hush",
        "a=1;token=hush",
        "https://hush@example.com/",
        "redis://user:hu/sh@host:6379/0",
        "redis://:p@hush@host:6379/0",
        [("Authorization", "hush"), ("Accept", "text/plain")],
        {"Authorization": "hush"}.items(),
        {"jwt": "hush"},
        {"signing_key": "hush"},
        {"session": "hush"},
        {"auth": "hush"},
    ],
)
def test_secrets_in_queries_urls_and_pairs_are_redacted(lines, secret):
    log_event("secret", {"value": secret})

    assert "[redacted]" in str(lines())
    assert "hush" not in str(lines())
    assert "hu/sh" not in str(lines())


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "user_password",
        "Authorization",
        "HTTP_COOKIE",
        "Set-Cookie",
        "apiKey",
        "api-key",
        "private_key",
        "csrfmiddlewaretoken",
        "sessionid",
        "CLIENT_SECRET",
        "X-Auth-Token",
        "pin",
    ],
)
def test_values_of_secret_names_are_redacted(lines, name):
    redaction.redact(["PIN"])
    log_event("secret", {"headers": [{name: "hush"}], name: {"deep": "hush"}})
    logging.getLogger("django_default").warning("secret", extra={name: "hush"})
    redaction.redact([])

    for line in lines():
        assert "hush" not in str(line)
        assert "[redacted]" in str(line)


def test_values_of_other_names_are_not_redacted(lines):
    log_event("fine", {"tokenizer": 1, "author": "Ada", "key": "k", "is_secret": False})

    assert lines()[0]["data"]["author"] == "Ada"
    assert lines()[0]["data"]["key"] == "k"
    assert lines()[0]["data"]["is_secret"] is False


@dataclasses.dataclass
class Login:
    user: str
    password: str
    note: str = dataclasses.field(default="hush", repr=False)


@dataclasses.dataclass(slots=True)
class SlottedLogin:
    user: str
    password: str


@attr.define
class AttrsLogin:
    user: str
    password: str


TupleLogin = collections.namedtuple("TupleLogin", "user password")


class PydanticLikeLogin:
    def __repr__(self):
        return "Login(user='ada', password='hush')"


@pytest.mark.parametrize("kind", [Login, SlottedLogin, AttrsLogin, TupleLogin])
def test_objects_are_shown_by_their_fields(lines, kind):
    log_event("login", {"login": [kind("ada", "hush")]})
    logging.getLogger("django_default").warning("%s", kind("ada", "hush"))

    shown, message = lines()
    assert shown["data"]["login"] == [{"user": "ada", "password": "[redacted]"}]
    assert "user='ada', password='[redacted]'" in message["message"]


@pytest.mark.parametrize(
    "value",
    [
        types.SimpleNamespace(user="ada", password="hush"),
        PydanticLikeLogin(),
        ("Authorization", "hush"),
        [["Cookie", "hush"]],
        [(b"cookie", b"hush")],
        {b"auth": "hush"},
        {"name": "DB_PASSWORD", "value": "hush"},
        {"redis://:hush@host": "down"},
        {"body": '{"password": "hush"}'},
    ],
)
def test_secrets_in_other_structures_are_redacted(value):
    assert "[redacted]" in str(plain(value))
    assert "hush" not in str(plain(value))


def test_fields_hidden_by_their_class_stay_hidden():
    @dataclasses.dataclass
    class Hidden:
        value: str

        def __repr__(self):
            return "Hidden(***)"

    @attr.define
    class Shortened:
        value: str = attr.field(repr=lambda value: value[:1])

    assert plain(Hidden("hush")) == "Hidden(***)"
    assert "hush" not in str(plain(Shortened("hush")))


def test_field_is_read_without_running_its_class():
    @dataclasses.dataclass
    class Lazy:
        user: str = "ada"

        def __getattribute__(self, name):
            if name == "user":
                raise AssertionError("logging must not ask for it")
            return object.__getattribute__(self, name)

    assert plain(Lazy()) == {"user": "ada"}


def test_count_of_tokens_is_not_a_secret():
    assert plain({"total_tokens": 12, "token": 12}) == {"total_tokens": 12, "token": "[redacted]"}


def test_masked_text_is_logged_unchanged(lines):
    logging.getLogger("django_default").critical(Masked("redis://user:password@host"))

    assert lines()[0]["message"] == "redis://user:password@host"
