"""Password guessing is limited by username and address, and usernames cannot be found out."""

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


def test_revoking_a_token_counts_as_no_attempt(api, user, set_rates):
    set_rates(login="9/min", login_username="1/h")
    token = api.post("/api/token/", CREDENTIALS).json()["token"]
    api.credentials(HTTP_AUTHORIZATION=f"Token {token}")

    assert api.delete("/api/token/", {"username": "ada"}).status_code == 204


def test_the_default_limit_per_username(settings):
    assert settings.THROTTLE_RATES["login_username"] == "20/hour;100/day"


class CountingHasher(hashers.PBKDF2PasswordHasher):
    """The real hasher, which records iterations instead of running them."""

    iterations = 1000
    done: list[int] = []

    def encode(self, password, salt, iterations=None):
        self.done.append(iterations or self.iterations)
        return super().encode(password, salt, 1).replace("$1$", f"${self.done[-1]}$", 1)

    def verify(self, password, encoded):
        decoded = self.decode(encoded)
        return self.encode(password, decoded["salt"], decoded["iterations"]) == encoded


USERNAMES = ["known", "inactive", "unusable", "older", "gibberish", "unknown"]


@pytest.fixture
def accounts(db, settings):
    settings.PASSWORD_HASHERS = [f"{__name__}.CountingHasher"]
    create = get_user_model().objects.create_user
    for name in USERNAMES[:-1]:
        account = create(name, password="correct", is_active=name != "inactive", is_staff=True)
        if name == "unusable":
            account.set_unusable_password()
        if name == "older":
            account.password = CountingHasher().encode("correct", "salt", 400)
        if name == "gibberish":
            account.password = "md5$0123456789abcdef"
        account.save()


@pytest.mark.parametrize("sign_in", [at_api, at_form])
@pytest.mark.parametrize("password", ["guess", "x" * 100_000, "\u00e9", " ", "", "\x00"], ids=ascii)
def test_the_response_and_the_hashing_are_the_same_for_every_username(
    client, accounts, set_rates, sign_in, password
):
    set_rates(login="off", login_username="off")
    seen = set()
    for name in USERNAMES:
        CountingHasher.done.clear()
        response = sign_in(client, name, password)
        body = response.content.decode().replace(f'value="{name}"', "")
        body = body if sign_in is at_api else body.partition("<form")[0]
        seen.add((response.status_code, body, sum(CountingHasher.done)))

    assert len(seen) == 1
    is_checked = password not in {"", "\x00"}  # others are rejected before the lookup
    assert seen.pop()[2] == 1000 * is_checked


@pytest.mark.parametrize("sign_in", [at_api, at_form])
def test_the_correct_password_of_an_inactive_user_looks_incorrect(
    client, accounts, set_rates, sign_in
):
    set_rates(login="off", login_username="off")
    seen = set()
    for password in ("correct", "guess"):
        CountingHasher.done.clear()
        response = sign_in(client, "inactive", password)
        seen.add((response.status_code, sum(CountingHasher.done)))

    assert seen == {(400 if sign_in is at_api else 200, 1000)}
