"""A revoked permission is denied at the next request, whichever process serves it."""

import os
import re
import subprocess
import uuid
from http.client import HTTPConnection
from urllib.parse import urlencode

import psycopg
import pytest

from ..running import request
from .load import Background

pytestmark = [pytest.mark.network, pytest.mark.server]
PASSWORD = "correct horse"

SETUP = f"""
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, Permission
User = get_user_model()
Membership = User.groups.through
grace = User.objects.create_user("grace", password={PASSWORD!r}, is_staff=True)
editors = Group.objects.create(name="editors")
none = Group.objects.create(name="none")
permission = Permission.objects.get(codename="add_author")
editors.permissions.add(permission)
"""
# How a permission is revoked, and granted again.
CHANGES = [
    ("grace.groups.remove(editors)", "grace.groups.add(editors)"),
    ("grace.groups.clear()", "grace.groups.set([editors])"),
    ("grace.groups.set([none])", "grace.groups.set([editors])"),
    ("editors.user_set.remove(grace)", "editors.user_set.add(grace)"),
    ("editors.user_set.clear()", "editors.user_set.set([grace])"),
    (
        "Membership.objects.filter(user=grace).delete()",
        "Membership.objects.create(user=grace, group=editors)",
    ),
    (
        "Membership.objects.get(user=grace).delete()",
        "Membership.objects.bulk_create([Membership(user=grace, group=editors)])",
    ),
    (
        "Membership.objects.filter(user=grace).update(group=none)",
        "grace.groups.set([none]); Membership.objects.filter(user=grace).update(group=editors)",
    ),
    (
        "editors.permissions.remove(permission)",
        "editors.permissions.add(permission); grace.groups.add(editors)",
    ),
    (
        "User.objects.filter(pk=grace.pk).update(is_active=False)",
        "User.objects.filter(pk=grace.pk).update(is_active=True); grace.groups.add(editors)",
    ),
    (
        "grace.is_active = False; grace.save()",
        "grace.is_active = True; grace.save(); grace.groups.add(editors)",
    ),
]


class Writer:
    """A process of the service that executes statements, to change the database."""

    _PROGRAM = (
        "import sys, django; django.setup(); names = {}; exec(sys.argv[1], names)\n"
        "for line in sys.stdin: exec(line, names); print('done', flush=True)"
    )

    def __init__(self, project, environment):
        self._process = subprocess.Popen(
            [project.path / ".venv/bin/python", "-c", self._PROGRAM, SETUP],
            cwd=project.path,
            env={
                **os.environ,
                **environment,
                "DJANGO_SETTINGS_MODULE": f"{project.slug}.settings",
                "LOG_STREAM": "stderr",
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self):
        self.write("pass")
        return self

    def __exit__(self, *error):
        self._process.communicate(timeout=30)

    def write(self, statement):
        """Execute a statement and wait until it is done."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin
        assert stdout
        stdin.write(f"{statement}\n")
        stdin.flush()
        assert stdout.readline() == "done\n", statement


class Browser:
    """A client with a session, signed in through the admin's form."""

    def __init__(self, service, username):
        self._base = f"http://127.0.0.1:{service.port}"
        self._cookies: dict[str, str] = {}
        self.post("/admin/login/", username=username, password=PASSWORD)
        assert "sessionid" in self._cookies

    def get(self, path):
        """Send a GET request."""
        response = request(f"{self._base}{path}", **self._headers())
        self._remember(response.headers)
        return response

    def post(self, path, **fields):
        """Submit a form with its CSRF token."""
        token = re.search(r'csrfmiddlewaretoken" value="(\w+)"', self.get("/admin/login/").body)
        fields["csrfmiddlewaretoken"] = token[1] if token else self._cookies["csrftoken"]
        return self._send(path, urlencode(fields, doseq=True), "application/x-www-form-urlencoded")

    def _send(self, path, body, content_type):
        connection = HTTPConnection(self._base.removeprefix("http://"), timeout=30)
        headers = {name.replace("_", "-"): value for name, value in self._headers().items()}
        connection.request("POST", path, body, {**headers, "Content-Type": content_type})
        response = connection.getresponse()
        self._remember(response.headers)
        response.read()
        connection.close()
        return response

    def create(self, path, data):
        """Post JSON to the API."""
        headers = {**self._headers(), "X_CSRFToken": self._cookies["csrftoken"]}
        return request(f"{self._base}{path}", "POST", data, **headers)

    def _headers(self):
        cookies = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
        return {"Cookie": cookies} if cookies else {}

    def _remember(self, headers):
        for cookie in headers.get_all("Set-Cookie", []):
            name, _, value = cookie.partition(";")[0].partition("=")
            self._cookies[name] = value


@pytest.fixture(params=["sqlite", "postgresql"])
def environment(request, redis_url, tmp_path):
    url = f"sqlite:///{tmp_path}/db.sqlite3"
    if request.param == "postgresql":
        server, name = request.getfixturevalue("postgres_url"), f"rights_{uuid.uuid4().hex}"
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        url = server.replace("/postgres", f"/{name}")
    return {
        "DATABASE_URL": url,
        "REDIS_URL": redis_url,
        "CACHE_KEY_PREFIX": f"rights-{request.param}",
        "DEBUG": "true",  # for cookies without HTTPS
        "THROTTLE_LOGIN": "off",
        "THROTTLE_BLOG_LIMIT": "off",
        "THROTTLE_AUTHOR_LIMIT": "off",
        "WEB_CONCURRENCY": "2",
    }


@pytest.fixture
def running(serve, project, environment):
    """Return a service with two workers, a writer, and the headers of a token."""
    with (
        serve(**environment) as service,
        Writer(project, serve.environment) as writer,
    ):
        credentials = {"username": "grace", "password": PASSWORD}
        token = service.request("/api/token/", "POST", credentials).json()["token"]
        yield service, writer, {"Authorization": f"Token {token}"}


def test_a_revoked_permission_is_denied_at_the_next_request(running):
    service, writer, token = running
    browser, numbers = Browser(service, "grace"), iter(range(10_000))

    def statuses():
        """Return the statuses of POST requests with a token and a session, from both workers."""
        found: dict[str, set[int]] = {"token": set(), "session": set()}
        for _ in range(4):
            data = {"name": f"Author {next(numbers)}"}
            found["token"].add(service.request("/api/authors/", "POST", data, **token).status)
            data = {"name": f"Author {next(numbers)}"}
            found["session"].add(browser.create("/api/authors/", data).status)
        return found

    allowed = {"token": {201}, "session": {201}}
    for revoke, grant in CHANGES:
        writer.write("grace.is_active = True; grace.save(); grace.groups.clear()")
        writer.write(f"editors.permissions.set([permission]); {grant}")
        assert statuses() == allowed, grant
        writer.write(revoke)
        # An inactive user is unauthenticated: 401 rather than 403.
        assert statuses() in (
            {"token": {403}, "session": {403}},
            {"token": {401}, "session": {401}},
            {"token": {401}, "session": {403}},
        ), revoke


def test_a_permission_revoked_in_the_admin_is_denied_at_the_next_request(running):
    service, writer, token = running
    writer.write(f"User.objects.create_superuser('root', password={PASSWORD!r})")
    writer.write("grace.groups.add(editors)")
    admin = Browser(service, "root")
    form = {"name": "editors"}
    data = {"name": "First"}
    assert service.request("/api/authors/", "POST", data, **token).status == 201

    assert admin.post("/admin/auth/group/1/change/", **form).status == 302

    for _ in range(4):
        data = {"name": "Second"}
        assert service.request("/api/authors/", "POST", data, **token).status == 403


def test_a_thousand_changes_among_readers_are_each_visible_to_the_next_request(running):
    service, writer, token = running
    failures: list[int] = []

    def read():
        while not background.stopping.is_set():
            if (status := service.get("/api/authors/", **token).status) not in {200, 401}:
                failures.append(status)

    background = Background(read, read, read)
    with background:
        for number in range(1000):
            is_active = number % 2 == 1
            writer.write(f"grace.is_active = {is_active}; grace.save()")
            status = service.get("/api/authors/", **token).status
            assert status == (200 if is_active else 401), number
    assert failures == []
