"""`make update` with its own tools, and the service after it."""

import json
import os

import pytest

from tests.support import BakedProject
from tests.updates import change_template, commit, edited_service, git

pytestmark = [pytest.mark.network]


def test_a_service_edited_in_ten_places_is_updated_and_valid(project: BakedProject, tmp_path):
    with edited_service(tmp_path) as (repository, service):
        (service.path / "uv.lock").write_text(project.read("uv.lock"))
        commit(service.path)
        change_template(repository)
        printed = service.run("make", "update")
        changed = git(service.path, "diff", "--name-only", "HEAD").split()

    assert "to v0.10.0: [CHANGELOG](https://github.com/acme/template/blob/" in printed
    # The team has added a dependency, and the template an extra.
    assert "uv.lock" in changed
    assert 'name = "tzdata"' in service.read("uv.lock")
    assert json.loads(service.read(".cruft.json"))["checkout"] == "v0.10.0"
    environment = {
        "DEBUG": "true",
        "ENV_FILE": os.devnull,
        "PYTHONPATH": str(service.path / "packages/service-runtime/src"),
    }
    python = project.path / ".venv/bin/python"
    service.run(python, "-m", "compileall", "-q", service.slug, "orders", "packages")
    assert "no issues" in service.run(python, "manage.py", "check", **environment)
