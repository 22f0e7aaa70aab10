"""The generated service's `make` targets succeed, with any name."""

import ast
import re

import pytest

from ..support import bake

pytestmark = [pytest.mark.network, pytest.mark.server]

NEW_MODEL = '''

class Team(models.Model):
    """Authors who work together."""

    name = models.CharField(max_length=100, unique=True)
    members = models.ManyToManyField(Author)

    def __str__(self) -> str:
        return self.name
'''


@pytest.fixture(params=["project", "project_without_example"])
def each_project(request):
    """Return the service with the example app, then without it."""
    return request.getfixturevalue(request.param)


def assert_all_passed(output):
    """Fail unless tests ran and all of them passed; a skipped test is a failure."""
    closing = output.strip().splitlines()[-1]
    assert re.fullmatch(r"=* [0-9]{2,} passed in .*", closing), output


def test_lint(each_project):
    each_project.run("make", "lint")


def test_migrations_that_make_writes_pass_lint(project, tmp_path):
    changed = project.copy(tmp_path, shares_packages=True)
    with (changed.path / "acme_blog/blog/models.py").open("a") as models:
        models.write(NEW_MODEL)

    changed.run("make", "migrations")

    assert len(list(changed.path.glob("acme_blog/blog/migrations/*_team.py"))) == 1
    changed.run("make", "lint")


def test_own_tests_with_sqlite(each_project):
    assert_all_passed(each_project.run("make", "test"))


def test_own_tests_with_postgresql(each_project, postgres_url):
    name = f"tests_{each_project.path.parent.name}".replace("-", "_")
    url = postgres_url.replace("/postgres", f"/{name}")

    assert_all_passed(each_project.run("make", "test", DATABASE_URL=url))


def test_other_servers_can_import_the_application(project):
    project.run(".venv/bin/python", "-c", "import acme_blog.wsgi", DEBUG="true")


def test_make_without_a_target_lists_all_targets(project):
    listed = project.run("make")
    targets = re.findall(r"^([a-z-]+):", project.read("Makefile"), re.MULTILINE)

    assert [line.split()[1] for line in listed.splitlines()] == targets


def test_the_first_install_creates_a_lock_file(project):
    assert 'name = "django"' in project.read("uv.lock")


@pytest.mark.parametrize(
    "text",
    [
        """it's "quoted" \\ and \\n back\\slashed""",
        "braces {} {x} ${HOME} $(id) `id` <script>alert(1)</script> &amp; %s %(x)s #",
        "emoji \N{ROCKET} accents \N{LATIN SMALL LETTER E WITH ACUTE} \N{CJK RADICAL SUN}",
        "x" * 500,
    ],
    ids=["quotes", "markup", "unicode", "long"],
)
def test_a_service_with_any_name_runs(project, text):
    baked = bake(project_name=text[:100], project_slug="any_name", description=text, author=text)
    script = (
        "import django; django.setup(); from django.conf import settings;"
        "from django.test import Client; from html import unescape;"
        "page = Client().get('/', headers={'Host': 'localhost'}).content.decode();"
        "assert settings.SERVICE_DESCRIPTION in unescape(page); assert '<script>' not in page;"
        "print(repr([settings.SERVICE_TITLE, settings.SERVICE_DESCRIPTION]))"
    )
    python = project.path / ".venv/bin/python"
    environment = {"DEBUG": "true", "DJANGO_SETTINGS_MODULE": "any_name.settings"}

    baked.run(python, "manage.py", "check", **environment)
    printed = baked.run(python, "-c", script, **environment)

    assert ast.literal_eval(printed) == [text[:100], text]
