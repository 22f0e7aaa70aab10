import pytest
from django.conf import settings


@pytest.mark.parametrize("path", ["/", "/api/docs/", "/api/schema/", "/admin/login/"])
def test_pages_answer_with_a_policy_and_an_id(client, db, path):
    answer = client.get(path)

    assert answer.status_code == 200
    assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert len(answer.headers["X-Request-ID"]) == 32


@pytest.mark.parametrize(
    "path", ["/", "/nowhere/", "/api/nowhere/", "/admin/", "/api/schema/", "/api/token/"]
)
def test_every_response_has_the_security_headers(client, db, path):
    headers = client.get(path).headers

    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "camera=()" in headers["Permissions-Policy"].split(", ")


def test_the_landing_page_names_the_service(client):
    page = client.get("/").content.decode()

    assert page.count("<h1>") == 1
    assert "/api/docs/" in page
    assert settings.SERVICE_TITLE


def test_docs_need_nothing_from_elsewhere(client):
    page = client.get("/api/docs/").content.decode()

    assert "swagger-ui-bundle.js" in page
    assert "http://" not in page
    assert "https://" not in page


@pytest.mark.parametrize(
    ("given", "kept"),
    [("abc-123.DEF_456", True), ("short", False), ("x" * 129, False), ("a b c d e", False)],
)
def test_a_valid_request_id_is_kept(client, given, kept):
    answer = client.get("/", headers={"X-Request-ID": given})

    assert (answer.headers["X-Request-ID"] == given) is kept


def test_browsers_of_allowed_origins_may_read_the_service_s_headers(client, settings):
    settings.CORS_ALLOWED_ORIGINS = ["https://www.example.com"]

    allowed = client.get("/", headers={"Origin": "https://www.example.com"}).headers
    other = client.get("/", headers={"Origin": "https://www.example.net"}).headers

    assert allowed["Access-Control-Allow-Origin"] == "https://www.example.com"
    for name in ("RateLimit", "RateLimit-Policy", "Retry-After", "X-Request-ID"):
        assert name in allowed["Access-Control-Expose-Headers"]
    assert "Access-Control-Allow-Origin" not in other
