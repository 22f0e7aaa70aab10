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


def test_a_token_is_issued_for_a_password_and_kept_as_a_hash(api, user):
    answer = api.post("/api/token/", CREDENTIALS)

    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.json()["token"] not in str(AuthToken.objects.values().get())
    user.refresh_from_db()
    assert user.last_login is not None


def test_a_wrong_password_gives_none(api, user):
    answer = api.post("/api/token/", {**CREDENTIALS, "password": "guess"})

    assert answer.status_code == 400
    assert not AuthToken.objects.exists()


def test_a_token_revokes_itself(api, token):
    api.credentials(HTTP_AUTHORIZATION=f"Token {token}")

    assert api.delete("/api/token/").status_code == 204
    assert not AuthToken.objects.exists()
    assert api.delete("/api/token/").status_code == 401


def test_revoking_takes_a_token(api, user):
    assert api.delete("/api/token/").status_code == 401


def test_an_expired_token_is_refused(api, token):
    AuthToken.objects.update(expiry=timezone.now() - timedelta(seconds=1))
    api.credentials(HTTP_AUTHORIZATION=f"Token {token}")

    assert api.delete("/api/token/").status_code == 401


def test_guessing_is_throttled(api, user, set_rates):
    set_rates(login="2/minute")
    wrong = {**CREDENTIALS, "password": "guess"}

    assert [api.post("/api/token/", wrong).status_code for _ in range(3)] == [400, 400, 429]
    assert api.post("/api/token/", CREDENTIALS).status_code == 429


def test_guessing_at_the_admin_s_form_is_throttled_with_it(api, client, user, set_rates):
    set_rates(login="2/minute")
    wrong = {**CREDENTIALS, "password": "guess"}

    assert client.get("/admin/login/").status_code == 200
    assert client.post("/admin/login/", wrong).status_code == 200
    assert api.post("/api/token/", wrong).status_code == 400
    denied = client.post("/admin/login/", CREDENTIALS)

    assert denied.status_code == 429
    assert 0 < int(denied.headers["Retry-After"]) <= 63
    assert denied.headers["RateLimit-Policy"] == '"login";q=2;w=60'
    assert client.get("/admin/login/").status_code == 200


def test_an_expired_token_does_not_keep_anyone_from_a_new_one(api, token):
    AuthToken.objects.update(expiry=timezone.now() - timedelta(seconds=1))
    api.credentials(HTTP_AUTHORIZATION=f"Token {token}")

    assert api.post("/api/token/", CREDENTIALS).status_code == 200


@pytest.mark.parametrize("header", ["Token \udcff", "Token", "Token a b", "Token " + "x" * 5000])
def test_what_is_no_token_is_refused(api, db, header):
    api.credentials(HTTP_AUTHORIZATION=header.encode("utf-8", "surrogateescape").decode("latin-1"))

    assert api.delete("/api/token/").status_code == 401


def test_a_body_that_is_too_large_is_refused(client, db, settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100
    body = '{"username": "%s"}'

    responses = [
        client.post("/api/token/", body % ("a" * length), content_type="application/json")
        for length in (84, 85)
    ]

    assert [len(body % ("a" * length)) for length in (84, 85)] == [100, 101]
    assert [list(response.json()) for response in responses] == [["password"], ["detail"]]
    assert [response.status_code for response in responses] == [400, 400]


def test_a_body_that_ends_too_early_is_refused(client, db, monkeypatch):
    def read(self, *args):
        raise OSError("The connection is closed.")

    monkeypatch.setattr("django.core.handlers.wsgi.LimitedStream.read", read)
    response = client.post("/api/token/", "{}", content_type="application/json")

    assert response.status_code == 400
    assert response.json() == {"detail": "The request body is incomplete."}


@pytest.mark.parametrize(
    "body", ["[" * 200_000, '{"username": 1e400}', '{"username": NaN}', "\ud800", "{", "9" * 5000]
)
def test_what_is_no_json_is_refused(client, db, body):
    encoded = body.encode("utf-8", "surrogatepass")
    answer = client.post("/api/token/", encoded, content_type="application/json")

    assert answer.status_code == 400
    assert answer.json()["detail"].startswith("JSON parse error - ")
