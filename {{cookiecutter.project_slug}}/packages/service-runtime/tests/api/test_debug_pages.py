"""Errors while DEBUG is on."""

import json

import pytest

from tests.api import test_problems

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
pytestmark = [pytest.mark.urls(test_problems.__name__), pytest.mark.django_db]


@pytest.fixture(autouse=True)
def _debug(settings):
    settings.DEBUG = True


@pytest.mark.parametrize(
    ("url", "host", "status"),
    [
        ("/api/nothing/", "testserver", 404),
        ("/api/broken/", "testserver", 500),
        ("/api/invalid/", "evil.example", 400),
    ],
)
def test_api_clients_get_json_and_browsers_the_debug_page(client, url, host, status):
    client.raise_request_exception = False

    response = client.get(url, HTTP_HOST=host)
    page = client.get(url, HTTP_HOST=host, headers=BROWSER)

    assert response.status_code == page.status_code == status
    assert response.headers["Content-Type"] == "application/json"
    assert int(response.headers["Content-Length"]) == len(response.content)
    assert list(json.loads(response.content)) == ["detail"]
    assert page.headers["Content-Type"].startswith("text/html")
    assert b"DEBUG = True" in page.content


def test_a_failure_is_logged_once(client, caplog):
    client.raise_request_exception = False

    client.get("/api/broken/")

    records = [record for record in caplog.records if record.levelname == "ERROR"]
    assert len(records) == 1
    assert records[0].exc_info
