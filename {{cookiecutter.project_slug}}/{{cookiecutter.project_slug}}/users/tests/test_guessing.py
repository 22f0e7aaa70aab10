"""Guessing passwords: limited by username as well as by address, and no way to find usernames."""

import pytest
from django.contrib.auth import get_user_model, hashers

CREDENTIALS = {"username": "ada", "password": "correct horse battery staple"}


@pytest.fixture
def user(db):
    return get_user_model().objects.create_user(**CREDENTIALS, is_staff=True)


def at_api(client, username, password="guess", **extra):
    body = {"username": username, "password": password}
    return client.post("/api/token/", body, content_type="application/json", **extra)


def at_form(client, username, password="guess", **extra):
    return client.post("/admin/login/", {"username": username, "password": password}, **extra)


def test_the_api_and_the_form_share_the_limit(client, user, set_rates):
    set_rates(login="9/min", login_username="2/h")

    assert at_api(client, "ada").status_code == 400
    assert at_form(client, "ada").status_code == 200
    assert at_api(client, "ada", CREDENTIALS["password"]).status_code == 429
    assert at_form(client, "ada", CREDENTIALS["password"]).status_code == 429


def test_revoking_a_token_is_no_guess(api, user, set_rates):
    set_rates(login="9/min", login_username="1/h")
    token = api.post("/api/token/", CREDENTIALS).json()["token"]
    api.credentials(HTTP_AUTHORIZATION=f"Token {token}")

    assert api.delete("/api/token/", {"username": "ada"}).status_code == 204


def test_the_shipped_limits(settings):
    assert settings.THROTTLE_RATES["login_username"] == "20/hour;100/day"


class CountingHasher(hashers.PBKDF2PasswordHasher):
    """The real hasher, with the iterations it was asked for noted instead of done."""

    iterations = 1000
    done: list[int] = []

    def encode(self, password, salt, iterations=None):
        self.done.append(iterations or self.iterations)
        return super().encode(password, salt, 1).replace("$1$", f"${self.done[-1]}$", 1)

    def verify(self, password, encoded):
        decoded = self.decode(encoded)
        return self.encode(password, decoded["salt"], decoded["iterations"]) == encoded


PEOPLE = ["known", "inactive", "unusable", "older", "gibberish", "nobody"]


@pytest.fixture
def people(db, settings):
    settings.PASSWORD_HASHERS = [f"{__name__}.CountingHasher"]
    create = get_user_model().objects.create_user
    for name in PEOPLE[:-1]:
        person = create(name, password="correct", is_active=name != "inactive", is_staff=True)
        if name == "unusable":
            person.set_unusable_password()
        if name == "older":
            person.password = CountingHasher().encode("correct", "salt", 400)
        if name == "gibberish":
            person.password = "md5$0123456789abcdef"
        person.save()


@pytest.mark.parametrize("sign_in", [at_api, at_form])
@pytest.mark.parametrize("password", ["guess", "x" * 100_000, "\u00e9", " ", "", "\x00"], ids=ascii)
def test_the_response_and_the_hashing_are_the_same_for_every_username(
    client, people, set_rates, sign_in, password
):
    set_rates(login="off", login_username="off")
    seen = set()
    for name in PEOPLE:
        CountingHasher.done.clear()
        answer = sign_in(client, name, password)
        body = answer.content.decode().replace(f'value="{name}"', "")
        body = body if sign_in is at_api else body.partition("<form")[0]
        seen.add((answer.status_code, body, sum(CountingHasher.done)))

    assert len(seen) == 1
    is_judged = password not in {"", "\x00"}  # others are turned away before anyone is looked up
    assert seen.pop()[2] == 1000 * is_judged


@pytest.mark.parametrize("sign_in", [at_api, at_form])
def test_the_right_password_of_an_inactive_user_looks_like_a_wrong_one(
    client, people, set_rates, sign_in
):
    set_rates(login="off", login_username="off")
    seen = set()
    for password in ("correct", "guess"):
        CountingHasher.done.clear()
        answer = sign_in(client, "inactive", password)
        seen.add((answer.status_code, sum(CountingHasher.done)))

    assert seen == {(400 if sign_in is at_api else 200, 1000)}
