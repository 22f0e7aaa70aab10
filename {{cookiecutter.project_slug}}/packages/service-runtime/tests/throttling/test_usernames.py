"""Guesses at passwords are limited by username as well as by address."""

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from rest_framework.parsers import FormParser, MultiPartParser

from service_runtime.logging import events
from service_runtime.throttling import decisions
from service_runtime.throttling.usernames import client_of_username
from tests import urls

CREDENTIALS = {"username": "ada", "password": "correct horse battery staple"}
GUESS = "guess"
WRONG = {**CREDENTIALS, "password": GUESS}


@pytest.fixture
def user(db):
    return get_user_model().objects.create_user(**CREDENTIALS, is_staff=True)


@pytest.fixture
def calls(monkeypatch):
    """Return a list of the calls of the limiter, each with its keys."""
    recorded = []
    limiter = decisions.limiter()

    class Spy:
        def take(self, limits, cost=1):
            recorded.append([limit.key for limit in limits])
            return limiter.take(limits, cost)

    monkeypatch.setattr(decisions, "limiter", Spy)
    return recorded


def at_api(client, username, password=GUESS, **extra):
    body = {"username": username, "password": password}
    return client.post("/api/token/", body, content_type="application/json", **extra)


def at_form(client, username, password=GUESS, **extra):
    return client.post("/admin/login/", {"username": username, "password": password}, **extra)


def addresses(count):
    return [{"REMOTE_ADDR": f"203.0.113.{number}"} for number in range(1, count + 1)]


@pytest.mark.parametrize("sign_in", [at_api, at_form])
def test_guesses_at_a_username_are_limited_across_addresses(client, user, set_rates, sign_in):
    set_rates(login="9/min", login_username="3/h")

    responses = [sign_in(client, "ada", **address) for address in addresses(4)]

    assert [response.status_code == 429 for response in responses] == [False, False, False, True]
    assert 3600 <= int(responses[-1].headers["Retry-After"]) <= 3780
    assert sign_in(client, "grace", **addresses(4)[-1]).status_code != 429


def test_the_api_and_the_form_share_the_limit(client, user, set_rates):
    set_rates(login="9/min", login_username="2/h")

    assert at_api(client, "ada").status_code == 400
    assert at_form(client, "ada").status_code == 200
    assert at_api(client, "ada", CREDENTIALS["password"]).status_code == 429
    assert at_form(client, "ada", CREDENTIALS["password"]).status_code == 429


@pytest.mark.parametrize("sign_in", [at_api, at_form])
def test_address_and_username_are_counted_in_one_call(client, user, set_rates, calls, sign_in):
    set_rates(login="9/min", login_username="9/h")

    sign_in(client, "ada")

    ((by_address, by_username),) = calls
    assert "{ip:127.0.0.1}:login:" in by_address
    assert "{" + str(client_of_username("ada")) + "}:login_username:" in by_username


def test_neither_redis_nor_the_log_contains_the_username(client, user, set_rates, calls, caplog):
    set_rates(login="9/min", login_username="1/h")
    events._logged.clear()

    with caplog.at_level("INFO"):
        responses = [at_api(client, "hunter2") for _ in range(2)]

    assert [response.status_code for response in responses] == [400, 429]
    assert "throttled" in [getattr(record, "ev", None) for record in caplog.records]
    seen = str(calls) + str([vars(record) for record in caplog.records])
    assert "hunter2" not in seen.replace("/api/token/", "")
    assert str(client_of_username("hunter2")) in seen


def test_the_hash_depends_on_the_secret_key(settings):
    before = client_of_username("ada")
    settings.SECRET_KEY = "x" * 50

    assert client_of_username("ada") != before


VARIANTS = [
    "ada",
    "ADA",
    " ada\t",
    "\uff41da",
    "A\u0064\uff21",
    "\u00a0ada\u3000",
    " " * 5000 + "ada",
]


@pytest.mark.parametrize("sign_in", [at_api, at_form])
@pytest.mark.parametrize("variant", VARIANTS)
def test_usernames_that_can_be_treated_as_equal_count_together(
    client, user, set_rates, sign_in, variant
):
    set_rates(login="9/min", login_username="1/h")

    assert sign_in(client, "ada").status_code != 429
    assert sign_in(client, variant).status_code == 429


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("\u0131da", "IDA"),
        ("stra\u00dfe", "STRASSE"),
        ("e\u0301", "\u00c9"),
        (7, "7"),
        (1.5, "1.5"),
    ],
)
def test_names_equal_ignoring_case_and_numbers_as_text_are_one_client(one, other):
    assert client_of_username(one) == client_of_username(other)


@pytest.mark.parametrize("value", [None, "", " \t", True, ["ada"], {"a": 1}])
def test_an_invalid_username_has_no_client(value):
    assert client_of_username(value) is None


ODD = ["\x00ada", "\ud800", "x" * 1_000_000, "\ufdfa" * 100_000, "{}\r\n", 10**4000, -1, 1.5]


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: repr(odd)[:12])
def test_an_odd_username_is_counted_without_error(client, db, set_rates, odd):
    set_rates(login="9/min", login_username="1/h")

    assert [at_api(client, odd).status_code for _ in range(2)] == [400, 429]
    if isinstance(odd, str) and odd != "\ud800":
        set_rates(login="off", login_username="1/d")
        assert [at_form(client, odd).status_code for _ in range(2)] == [200, 429]


@pytest.mark.parametrize(
    "body", ['{"password": "x"}', "[]", "7", '"ada"', "null", '{"username": ["ada"]}', "", "{"]
)
def test_a_body_without_a_username_counts_by_address_only(client, db, set_rates, body):
    set_rates(login="2/min", login_username="1/h")

    def post():
        return client.post("/api/token/", body, content_type="application/json").status_code

    assert [post() for _ in range(3)] == [400, 400, 429]


def test_an_unsupported_media_type_counts_by_address(client, db, set_rates):
    set_rates(login="2/min", login_username="1/h")

    def post():
        return client.post("/api/token/", "<a/>", content_type="text/xml").status_code

    assert [post() for _ in range(3)] == [415, 415, 429]


@pytest.mark.parametrize("encoding", ["multipart/form-data", "application/x-www-form-urlencoded"])
def test_a_form_sent_to_the_api_is_counted_if_the_view_accepts_forms(
    user, set_rates, monkeypatch, encoding
):
    monkeypatch.setattr(urls.TokenApiView, "parser_classes", [FormParser, MultiPartParser])
    set_rates(login="9/min", login_username="1/h")
    body = {
        "multipart/form-data": WRONG,
        "application/x-www-form-urlencoded": "username=grace&username=ADA&password=guess",
    }[encoding]
    options = {} if encoding.startswith("multi") else {"content_type": encoding}

    assert [Client().post("/api/token/", body, **options).status_code for _ in range(2)] == [
        400,
        429,
    ]
    assert at_form(Client(), "ada").status_code == 429


def test_other_methods_are_not_counted(api, user, set_rates):
    set_rates(login="9/min", login_username="1/h")

    responses = [api.delete("/api/token/", {"username": "ada"}) for _ in range(2)]

    assert [response.status_code for response in responses] == [204, 204]


@pytest.mark.parametrize("sign_in", [at_api, at_form])
def test_headers_do_not_reveal_attempts_at_a_username(client, user, set_rates, sign_in):
    set_rates(login="9/min", login_username="9/h")

    headers = [sign_in(client, "ada").headers for _ in range(2)]

    assert [h["RateLimit-Policy"] for h in headers] == ['"login";q=9;w=60'] * 2
