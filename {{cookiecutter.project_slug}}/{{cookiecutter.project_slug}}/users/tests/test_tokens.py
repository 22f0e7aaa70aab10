from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.utils import timezone
from knox.models import AuthToken

CREDENTIALS = {"username": "ada", "password": "correct horse battery staple"}


@pytest.fixture
def user(db):
    return get_user_model().objects.create_user(**CREDENTIALS)


@pytest.fixture
def token(api, user):
    return api.post("/api/token/", CREDENTIALS).json()["token"]


def test_a_token_is_issued_for_a_password_and_stored_as_a_hash(api, user):
    response = api.post("/api/token/", CREDENTIALS)

    assert response.status_code == 200
    assert response.headers["Cache-Control"] == "no-store"
    assert response.json()["token"] not in str(AuthToken.objects.values().get())
    user.refresh_from_db()
    assert user.last_login is not None


def test_an_incorrect_password_issues_no_token(api, user):
    response = api.post("/api/token/", {**CREDENTIALS, "password": "guess"})

    assert response.status_code == 400
    assert not AuthToken.objects.exists()


def test_a_token_revokes_itself(api, token):
    api.credentials(HTTP_AUTHORIZATION=f"Token {token}")

    assert api.delete("/api/token/").status_code == 204
    assert not AuthToken.objects.exists()
    assert api.delete("/api/token/").status_code == 401


def test_revoking_requires_a_token(api, user):
    assert api.delete("/api/token/").status_code == 401


def test_an_expired_token_is_rejected(api, token):
    AuthToken.objects.update(expiry=timezone.now() - timedelta(seconds=1))
    api.credentials(HTTP_AUTHORIZATION=f"Token {token}")

    assert api.delete("/api/token/").status_code == 401


def test_password_guessing_is_throttled(api, user, set_rates):
    set_rates(login="2/minute", login_username="off")
    guess = {**CREDENTIALS, "password": "guess"}

    assert [api.post("/api/token/", guess).status_code for _ in range(3)] == [400, 400, 429]
    assert api.post("/api/token/", CREDENTIALS).status_code == 429


def test_the_admin_login_shares_the_throttle_of_tokens(api, client, user, set_rates):
    set_rates(login="2/minute", login_username="off")
    guess = {**CREDENTIALS, "password": "guess"}

    assert client.get("/admin/login/").status_code == 200
    assert client.post("/admin/login/", guess).status_code == 200
    assert api.post("/api/token/", guess).status_code == 400
    denied = client.post("/admin/login/", CREDENTIALS)

    assert denied.status_code == 429
    assert 0 < int(denied.headers["Retry-After"]) <= 63
    assert denied.headers["RateLimit-Policy"] == '"login";q=2;w=60'
    assert client.get("/admin/login/").status_code == 200


def test_an_expired_token_does_not_prevent_signing_in(api, token):
    AuthToken.objects.update(expiry=timezone.now() - timedelta(seconds=1))
    api.credentials(HTTP_AUTHORIZATION=f"Token {token}")

    assert api.post("/api/token/", CREDENTIALS).status_code == 200


@pytest.mark.parametrize("header", ["Token \udcff", "Token", "Token a b", "Token " + "x" * 5000])
def test_a_malformed_token_is_rejected(api, db, header):
    api.credentials(HTTP_AUTHORIZATION=header.encode("utf-8", "surrogateescape").decode("latin-1"))

    assert api.delete("/api/token/").status_code == 401
