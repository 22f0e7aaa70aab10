"""Stored results belong to one release: its key is a digest of the code that creates them."""

import pytest

pytestmark = [pytest.mark.network, pytest.mark.server]

RELEASE = """
import django
django.setup()
from service_runtime.caching import keys
print(keys.release())
"""


@pytest.mark.parametrize(
    "name",
    [
        "acme_blog/blog/serializers.py",
        "acme_blog/templates/index.html",
        "packages/service-runtime/src/service_runtime/api/problems.py",
        "packages/service-runtime/src/service_runtime/throttling/ring.lua",
    ],
)
def test_a_changed_file_changes_the_key_of_stored_results(project, tmp_path, name):
    copy = project.copy(tmp_path, shares_packages=True)
    before = release_of(copy)

    with (copy.path / name).open("a") as file:
        file.write("\n")

    assert before == release_of(project)
    assert release_of(copy) != before


def release_of(project):
    """Return the key of a service, whose environment can be that of another copy."""
    return project.run(
        *(project.path / ".venv/bin/python", "-B", "-c", RELEASE),
        DEBUG="true",
        DJANGO_SETTINGS_MODULE="acme_blog.settings",
        PYTHONPATH=str(project.path / "packages/service-runtime/src"),
    )
