"""Guessing passwords: limited by username as well as by address."""

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from rest_framework.parsers import FormParser, MultiPartParser

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
    """Return the list of the calls that reach the limiter, each with its keys."""
    made = []
    limiter = decisions.limiter()

    class Spy:
        def take(self, limits, cost=1):
            made.append([limit.key for limit in limits])
            return limiter.take(limits, cost)

    monkeypatch.setattr(decisions, "limiter", Spy)
    return made


def at_api(client, username, password=GUESS, **extra):
    body = {"username": username, "password": password}
    return client.post("/api/token/", body, content_type="application/json", **extra)


def at_form(client, username, password=GUESS, **extra):
    return client.post("/admin/login/", {"username": username, "password": password}, **extra)


def addresses(count):
    return [{"REMOTE_ADDR": f"203.0.113.{number}"} for number in range(1, count + 1)]


@pytest.mark.parametrize("sign_in", [at_api, at_form])
def test_a_username_s_guesses_are_limited_from_any_number_of_addresses(
    client, user, set_rates, sign_in
):
    set_rates(login="9/min", login_username="3/h")

    answers = [sign_in(client, "ada", **address) for address in addresses(4)]

    assert [answer.status_code == 429 for answer in answers] == [False, False, False, True]
    assert 3600 <= int(answers[-1].headers["Retry-After"]) <= 3780
    assert sign_in(client, "grace", **addresses(4)[-1]).status_code != 429


def test_the_api_and_the_form_share_the_limit(client, user, set_rates):
    set_rates(login="9/min", login_username="2/h")

    assert at_api(client, "ada").status_code == 400
    assert at_form(client, "ada").status_code == 200
    assert at_api(client, "ada", CREDENTIALS["password"]).status_code == 429
    assert at_form(client, "ada", CREDENTIALS["password"]).status_code == 429


@pytest.mark.parametrize("sign_in", [at_api, at_form])
def test_by_address_and_by_username_take_one_call(client, user, set_rates, calls, sign_in):
    set_rates(login="9/min", login_username="9/h")

    sign_in(client, "ada")

    ((by_address, by_username),) = calls
    assert "{ip:127.0.0.1}:login:" in by_address
    assert "{" + str(client_of_username("ada")) + "}:login_username:" in by_username


def test_neither_redis_nor_the_log_has_the_name(client, user, set_rates, calls, caplog):
    set_rates(login="9/min", login_username="1/h")
    decisions._logged.clear()

    with caplog.at_level("INFO"):
        answers = [at_api(client, "hunter2") for _ in range(2)]

    assert [answer.status_code for answer in answers] == [400, 429]
    assert "throttled" in [getattr(record, "ev", None) for record in caplog.records]
    seen = str(calls) + str([vars(record) for record in caplog.records])
    assert "hunter2" not in seen.replace("/api/token/", "")
    assert str(client_of_username("hunter2")) in seen


def test_the_hash_needs_the_service_s_key(settings):
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
def test_what_may_be_taken_for_the_same_name_counts_together(
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
def test_names_that_are_equal_without_case_and_numbers_are_one(one, other):
    assert client_of_username(one) == client_of_username(other)


@pytest.mark.parametrize("value", [None, "", " \t", True, ["ada"], {"a": 1}])
def test_what_is_no_username_counts_for_none(value):
    assert client_of_username(value) is None


ODD = ["\x00ada", "\ud800", "x" * 1_000_000, "\ufdfa" * 100_000, "{}\r\n", 10**4000, -1, 1.5]


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: repr(odd)[:12])
def test_an_odd_username_is_no_error_and_is_counted(client, db, set_rates, odd):
    set_rates(login="9/min", login_username="1/h")

    assert [at_api(client, odd).status_code for _ in range(2)] == [400, 429]
    if isinstance(odd, str) and odd != "\ud800":
        set_rates(login="off", login_username="1/d")
        assert [at_form(client, odd).status_code for _ in range(2)] == [200, 429]


@pytest.mark.parametrize(
    "body", ['{"password": "x"}', "[]", "7", '"ada"', "null", '{"username": ["ada"]}', "", "{"]
)
def test_what_names_no_one_counts_for_the_address_alone(client, db, set_rates, body):
    set_rates(login="2/min", login_username="1/h")

    def post():
        return client.post("/api/token/", body, content_type="application/json").status_code

    assert [post() for _ in range(3)] == [400, 400, 429]


def test_a_body_that_no_parser_takes_counts_for_the_address(client, db, set_rates):
    set_rates(login="2/min", login_username="1/h")

    def post():
        return client.post("/api/token/", "<a/>", content_type="text/xml").status_code

    assert [post() for _ in range(3)] == [415, 415, 429]


@pytest.mark.parametrize("encoding", ["multipart/form-data", "application/x-www-form-urlencoded"])
def test_a_form_at_the_api_is_counted_where_the_service_takes_forms(
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


def test_another_method_is_no_guess(api, user, set_rates):
    set_rates(login="9/min", login_username="1/h")

    responses = [api.delete("/api/token/", {"username": "ada"}) for _ in range(2)]

    assert [response.status_code for response in responses] == [204, 204]


@pytest.mark.parametrize("sign_in", [at_api, at_form])
def test_no_caller_learns_how_often_others_tried_a_name(client, user, set_rates, sign_in):
    set_rates(login="9/min", login_username="9/h")

    headers = [sign_in(client, "ada").headers for _ in range(2)]

    assert [h["RateLimit-Policy"] for h in headers] == ['"login";q=9;w=60'] * 2
