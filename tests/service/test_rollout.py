"""Two releases of a service share a Redis and a database during a rollout."""

from functools import partial

import pytest

from ..running import Service, wait_for
from ..support import UV, run
from .conftest import PRODUCTION

pytestmark = [pytest.mark.network, pytest.mark.server]


@pytest.fixture
def releases(project, tmp_path):
    """Return two projects; the second has another version of Django and a new field."""
    old, new = project, project.copy(tmp_path)
    python = new.path / ".venv/bin/python"
    run([UV, "pip", "install", "--quiet", "--python", python, "django==5.2.18"], cwd=new.path)
    blog = new.path / new.slug / "blog"
    for name, before, after in (
        (
            "models.py",
            "    body = models.TextField()\n",
            '    body = models.TextField()\n    mood = models.TextField(db_default="calm")\n',
        ),
        ("serializers.py", '"body", "author",', '"body", "mood", "author",'),
    ):
        source = (blog / name).read_text()
        assert before in source
        (blog / name).write_text(source.replace(before, after))
    new.run(python, "manage.py", "makemigrations", "--name=mood", "blog", **PRODUCTION)
    return old, new


def test_neither_release_fails_or_serves_data_cached_by_the_other(releases, redis_url, tmp_path):
    environment = {
        **PRODUCTION,
        "DATABASE_URL": f"sqlite:///{tmp_path}/db.sqlite3",
        "REDIS_URL": redis_url,
        "THROTTLE_BLOG_LIMIT": "off",
    }
    for release in releases:
        python = release.path / ".venv/bin/python"
        for command in (["migrate"], ["load_blogs"], ["collectstatic", "--noinput"]):
            release.run(python, "manage.py", *command, **environment)
    old_log, new_log = tmp_path / "old.log", tmp_path / "new.log"
    gunicorns = [[release.path / ".venv/bin/python", "-m", "gunicorn"] for release in releases]
    with (
        Service(gunicorns[0], releases[0].path, old_log, **environment) as old,
        Service(gunicorns[1], releases[1].path, new_log, **environment) as new,
    ):
        header = releases[0].sign_in(old, **environment)

        def is_hit(service):
            return "; hit" in service.get("/api/blogs/").headers["Cache-Status"]

        for number in range(10):
            writer = (old, new)[number % 2]
            title = f"Written {number}"
            path = "/api/blogs/1/"
            assert writer.request(path, "PATCH", {"title": title}, **header).status == 200
            for path in ("/api/blogs/1/", "/api/blogs/"):
                for _ in range(6):  # from both workers; the later ones are hits
                    for service, fields in ((old, 7), (new, 8)):
                        response = service.get(path, **header)
                        assert response.status == 200
                        blogs = response.json().get("results", [response.json()])
                        assert title in [blog["title"] for blog in blogs]
                        assert {len(blog) for blog in blogs} == {fields}
        for service in (old, new):
            wait_for(partial(is_hit, service), "a hit from each release")
    for log in (old_log, new_log):
        assert "Traceback" not in log.read_text()
        assert '"severity": "ERROR"' not in log.read_text()
