"""A body that cannot be read is a 400 with a reason."""

import pytest


def test_a_body_over_the_limit_is_rejected(client, db, settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100
    bodies = ['{"username": "%s"}' % ("a" * length) for length in (84, 85)]

    responses = [
        client.post("/api/token/", body, content_type="application/json") for body in bodies
    ]

    assert [len(body) for body in bodies] == [100, 101]
    assert [list(response.json()) for response in responses] == [["password"], ["detail"]]
    assert [response.status_code for response in responses] == [400, 400]


def test_a_body_that_ends_early_is_rejected(client, db, monkeypatch):
    def read(self, *args):
        raise OSError("The connection is closed.")

    monkeypatch.setattr("django.core.handlers.wsgi.LimitedStream.read", read)
    response = client.post("/api/token/", "{}", content_type="application/json")

    assert response.status_code == 400
    assert response.json() == {"detail": "The request body is incomplete."}


@pytest.mark.parametrize(
    "body", ["[" * 200_000, '{"username": 1e400}', '{"username": NaN}', "\ud800", "{", "9" * 5000]
)
def test_a_body_that_is_not_json_is_rejected(client, db, body):
    encoded = body.encode("utf-8", "surrogatepass")
    response = client.post("/api/token/", encoded, content_type="application/json")

    assert response.status_code == 400
    assert response.json()["detail"].startswith("JSON parse error - ")
