"""The pages of a service in a real browser: console, Content-Security-Policy, accessibility.

Screenshots are written to build/screenshots; docs/images has copies of some.
"""

import os
from typing import Any

import pytest
from playwright.sync_api import expect

from ..running import Service
from .browser import Visit, running_chromium
from .conftest import GunicornServer

pytestmark = [
    *(pytest.mark.network, pytest.mark.server, pytest.mark.xdist_group("browser")),
    pytest.mark.skipif("WITHOUT_BROWSER" in os.environ, reason="WITHOUT_BROWSER is set"),
]

DEBUG, PRODUCTION = "http://localhost:8000", "http://localhost:9000"
LOOKS: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark"},
    "mobile": {"viewport": {"width": 375, "height": 667}, "is_mobile": True, "has_touch": True},
}
# The axe rules that pages of others violate, which the service does not change.
KNOWN: dict[str, set[str]] = {
    # Swagger UI: pale labels, nested buttons, and a heading of the first level only. The template
    # of drf-spectacular: no language, no landmarks.
    "docs": {"color-contrast", "heading-order", "html-has-lang", "nested-interactive", "region"},
    # Django: the name of the site is a <div>.
    "login": {"page-has-heading-one"},
    "admin": set(),
    # REST framework: a nested <main>, no language, a pale breadcrumb outside landmarks, and a
    # button without a name.
    "browsable": {
        *("button-name", "color-contrast", "html-has-lang", "landmark-main-is-top-level"),
        *("landmark-no-duplicate-main", "region"),
    },
}


@pytest.fixture(scope="module")
def browser(project, redis_url, tmp_path_factory):
    """Run a browser, a service as in production whose Redis is down, and one with DEBUG on."""
    folder = tmp_path_factory.mktemp("browser")
    serve = GunicornServer(project, folder)
    with serve(
        ALLOWED_HOSTS="localhost,127.0.0.1", REDIS_URL="redis://127.0.0.1:1/0"
    ) as production:
        serve.sign_in(production)
        development = {"DEBUG": "true", "REDIS_URL": redis_url, "CACHE_KEY_PREFIX": "browser"}
        command = [project.path / ".venv/bin/gunicorn"]
        environment = serve.environment | development
        with (
            Service(command, project.path, folder / "debug.log", **environment) as debug,
            running_chromium({8000: debug.port, 9000: production.port}) as chromium,
        ):
            yield chromium


@pytest.fixture
def visit(browser):
    """Return a function that opens a page; fail if the console reports anything."""
    visits: list[Visit] = []

    def start(origin, path, **options):
        visits.append(Visit(browser, origin, **options))
        return visits[-1].open(path)

    yield start
    for visit in visits:
        visit.page.context.close()
    assert [visit.errors for visit in visits] == [[] for _ in visits]


def sign_in(visit):
    """Fill in the admin's form, which the page shows."""
    visit.page.get_by_label("Username:").fill("ada")
    visit.page.get_by_label("Password:").fill("correct horse")
    visit.page.get_by_role("button", name="Log in").click()


@pytest.mark.parametrize("look", LOOKS)
def test_the_landing_page(visit, look):
    landing = visit(DEBUG, "/", **LOOKS[look])
    landing.screenshot(f"landing-{look}")

    expect(landing.page.get_by_role("heading", level=1)).to_have_text("Acme Blog")
    expect(landing.page.get_by_role("row", name="blog_limit")).to_contain_text("100/hour")
    expect(landing.page.get_by_text("reachable", exact=True)).to_be_visible()
    assert landing.violations() == set()
    assert landing.overflow() == 0


def test_the_sample_request_is_selected_by_one_click(visit):
    landing = visit(DEBUG, "/")

    landing.page.get_by_text("curl").click()

    selected = landing.page.evaluate("getSelection().toString()").strip()
    assert selected == "curl -i http://localhost:8000/api/blogs/"


def test_every_link_of_the_landing_page_leads_to_a_page(visit):
    landing = visit(DEBUG, "/")
    links = landing.page.get_by_role("main").get_by_role("link")
    paths = [link.get_attribute("href") for link in links.all()]

    assert len(paths) == 4
    for path in paths:
        assert landing.page.evaluate("path => fetch(path).then(({ok}) => ok)", path), path


def test_the_landing_page_in_production(visit):
    landing = visit(PRODUCTION, "/")
    landing.screenshot("landing-production")
    expect(landing.page.get_by_text("Throttle scopes")).to_have_count(0)
    assert landing.violations() == set()

    landing.open("/admin/login/?next=/")
    sign_in(landing)

    landing.screenshot("landing-staff")
    expect(landing.page.get_by_text("Throttle scopes")).to_be_visible()
    expect(landing.page.get_by_text("unreachable", exact=True)).to_be_visible()
    assert landing.violations() == set()


def test_the_documentation_sends_requests(visit):
    docs = visit(PRODUCTION, "/api/docs/")
    operation = docs.page.locator("#operations-blogs-blogs_list")
    expect(operation).to_be_visible()
    docs.screenshot("docs", full_page=False)
    assert docs.violations() == KNOWN["docs"]

    operation.get_by_role("button").first.click()
    operation.get_by_role("button", name="Try it out").click()
    operation.get_by_role("button", name="Execute").click()

    expect(operation.locator(".live-responses-table tbody .response-col_status")).to_contain_text(
        "200"
    )
    docs.screenshot("docs-operation")


def test_the_admin(visit):
    admin = visit(PRODUCTION, "/admin/users/user/")
    admin.screenshot("login")
    assert admin.violations() == KNOWN["login"]

    sign_in(admin)

    admin.screenshot("admin")
    expect(admin.page.get_by_role("link", name="ada")).to_be_visible()
    assert admin.violations() == KNOWN["admin"]


def test_the_browsable_api_while_debug_is_on(visit):
    api = visit(DEBUG, "/api/")
    api.page.locator("a[href$='/api/authors/']").click()
    api.page.get_by_role("link", name="Log in").click()
    sign_in(api)

    api.page.get_by_label("Content:").fill('{"name": "Barbara"}')
    api.page.get_by_role("button", name="POST").click()

    expect(api.page.get_by_text("HTTP 201 Created")).to_be_visible()
    api.screenshot("browsable")
    assert api.violations() == KNOWN["browsable"]


def test_production_has_no_browsable_api(visit):
    page = visit(PRODUCTION, "/api/").page

    assert page.evaluate("document.contentType") == "application/json"


def test_a_violation_of_the_policy_is_reported(browser):
    landing = Visit(browser, DEBUG).open("/")

    landing.page.evaluate("document.body.insertAdjacentHTML('beforeend', '<p style=\"top: 0\">')")

    assert "Content Security Policy" in " ".join(landing.errors)
