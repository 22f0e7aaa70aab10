import pytest
from django.utils.html import escape


@pytest.mark.parametrize("path", ["/", "/api/docs/", "/api/schema/", "/admin/login/"])
def test_pages_have_a_security_policy_and_a_request_id(client, db, path):
    response = client.get(path)

    assert response.status_code == 200
    assert "default-src 'self'" in response.headers["Content-Security-Policy"]
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert len(response.headers["X-Request-ID"]) == 32


@pytest.mark.parametrize(
    "path", ["/", "/nowhere/", "/api/nowhere/", "/admin/", "/api/schema/", "/api/token/"]
)
def test_every_response_has_the_security_headers(client, db, path):
    headers = client.get(path).headers

    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "camera=()" in headers["Permissions-Policy"].split(", ")


def test_the_landing_page_names_the_service(client, settings):
    page = client.get("/").content.decode()

    assert page.count("<h1>") == 1
    assert f"<h1>{escape(settings.SERVICE_TITLE)}</h1>" in page
    assert "/api/docs/" in page


def test_api_docs_load_nothing_from_other_hosts(client):
    page = client.get("/api/docs/").content.decode()

    assert "swagger-ui-bundle.js" in page
    assert "http://" not in page
    assert "https://" not in page


@pytest.mark.parametrize(
    ("given", "is_used"),
    [("abc-123.DEF_456", True), ("short", False), ("x" * 129, False), ("a b c d e", False)],
)
def test_a_valid_request_id_of_the_client_is_used(client, given, is_used):
    response = client.get("/", headers={"X-Request-ID": given})

    assert (response.headers["X-Request-ID"] == given) is is_used


def test_allowed_origins_can_read_the_headers_of_the_service(client, settings):
    settings.CORS_ALLOWED_ORIGINS = ["https://www.example.com"]

    allowed = client.get("/", headers={"Origin": "https://www.example.com"}).headers
    other = client.get("/", headers={"Origin": "https://www.example.net"}).headers

    assert allowed["Access-Control-Allow-Origin"] == "https://www.example.com"
    for name in ("RateLimit", "RateLimit-Policy", "Retry-After", "X-Request-ID"):
        assert name in allowed["Access-Control-Expose-Headers"]
    assert "Access-Control-Allow-Origin" not in other
