import re

import pytest
from django.contrib.auth import get_user_model
from django.contrib.staticfiles import finders
from django.utils.html import escape


@pytest.mark.parametrize("path", ["/", "/api/", "/api/docs/", "/api/schema/", "/admin/login/"])
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


def test_the_landing_page_needs_neither_scripts_nor_inline_styles(admin_client):
    page = admin_client.get("/").content.decode()

    assert "Throttle scopes" in page
    assert re.findall("<script|<style|style=|onclick", page) == []


def test_anonymous_clients_cause_no_query_and_see_no_state(client, django_assert_num_queries, db):
    with django_assert_num_queries(0):
        page = client.get("/").content.decode()

    assert "Throttle scopes" not in page
    assert "THROTTLE_" not in page


def test_only_staff_see_the_state_of_the_service(client, db, settings):
    users = get_user_model().objects
    pages = []
    for user in (users.create_user("ada"), users.create_user("grace", is_staff=True)):
        client.force_login(user)
        pages.append(client.get("/"))

    assert ["Throttle scopes" in page.content.decode() for page in pages] == [False, True]
    assert settings.THROTTLE_RATES["login"] in pages[1].content.decode()
    assert settings.SECRET_KEY not in pages[1].content.decode()
    assert "no-store" in pages[1].headers["Cache-Control"]


def test_the_favicon_is_served_where_browsers_look_for_it(client):
    response = client.get("/favicon.ico")

    assert response.status_code == 302
    assert finders.find(response.headers["Location"].removeprefix("/static/"))


def test_the_api_root_lists_the_documentation(client):
    assert client.get("/api/").json()["docs"] == "http://testserver/api/docs/"


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
