"""Build the images for the tests: the service's image and five derived ones."""

import os
import re
import shlex
import tempfile
from pathlib import Path

import yaml

from ..support import UV, BakedProject, bake, run

RELEASE, NEXT, CRASHING, FAILING = "e2e", "e2e-next", "e2e-crashing", "e2e-failing"
ALTERING, LEAKING = "e2e-altering", "e2e-leaking"
# A view that keeps a megabyte for each request.
_LEAK = """from django.http import HttpResponse
from django.urls import path
from {slug}.urls import *

kept = []


def leak(request):
    kept.append(b"x" * 2**20)
    return HttpResponse("ok")


urlpatterns += [path("leak/", leak)]
"""
LEAK_SETTINGS = "leak_settings"
# The migrations of the releases.
NEXT_MIGRATION, FAILING_MIGRATION = "9000_next", "9000_failing"
ALTERING_MIGRATION = "9001_altering"
_MIGRATION = """from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("blog", "{latest}")]
    operations = [migrations.{operation}]
"""
_BUILD = Path(__file__).with_name("build-image")


def service() -> BakedProject:
    """Return the service under test."""
    return bake(project_name="Acme Blog")


def repository() -> str:
    """Return the name of the service's image, without a tag."""
    values: dict = yaml.safe_load(service().read("deploy/production.yaml"))
    return values["image"]["repository"]


def use_local_images(project: BakedProject) -> None:
    """Remove digests from a Dockerfile, so that local base images are used."""
    dockerfile = project.path / "Dockerfile"
    dockerfile.write_text(re.sub(r"@sha256:[0-9a-f]{64}", "", dockerfile.read_text()))


def _build(context: Path, tag: str) -> None:
    command = shlex.split(os.environ.get("E2E_BUILD_IMAGE", "")) or [str(_BUILD)]
    print(f"Building {repository()}:{tag}", flush=True)
    run([*command, context, f"{repository()}:{tag}"], cwd=context)


def _derive(folder: Path, tag: str, *instructions: str) -> None:
    """Build an image on top of the release's, with the folder as build context."""
    lines = [f"FROM {repository()}:{RELEASE}", *instructions, ""]
    (folder / "Dockerfile").write_text("\n".join(lines))
    _build(folder, tag)


def _derive_migration(
    folder: Path, project: BakedProject, tag: str, name: str, operation: str
) -> None:
    """Build an image with an additional migration of the blog app."""
    folder.mkdir()
    migrations = f"{project.slug}/blog/migrations"
    latest = max(path.stem for path in (project.path / migrations).glob("0*.py"))
    text = _MIGRATION.format(latest=latest, operation=operation)
    (folder / f"{name}.py").write_text(text)
    _derive(folder, tag, f"COPY {name}.py {migrations}/")


def main() -> None:
    """Build all images."""
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        project = service().copy(scratch)
        project.run(UV, "lock", "--quiet")
        if os.environ.get("E2E_LOCAL_IMAGES"):
            use_local_images(project)
        _build(project.path, RELEASE)
        column = 'AddField("blog", "mood", models.TextField(db_default="calm"))'
        _derive_migration(scratch / "next", project, NEXT, NEXT_MIGRATION, column)
        column = 'AddField("blog", "tone", models.TextField(db_default="mild"))'
        folder_of_altering = scratch / "altering"
        _derive_migration(folder_of_altering, project, ALTERING, ALTERING_MIGRATION, column)
        failure = 'RunSQL("SELECT no_such_function()")'
        _derive_migration(scratch / "failing", project, FAILING, FAILING_MIGRATION, failure)
        leaking = scratch / "leaking"
        leaking.mkdir()
        (leaking / "leak_urls.py").write_text(_LEAK.format(slug=project.slug))
        settings = f"from {project.slug}.settings import *\n\nROOT_URLCONF = 'leak_urls'\n"
        (leaking / f"{LEAK_SETTINGS}.py").write_text(settings)
        _derive(leaking, LEAKING, f"COPY leak_urls.py {LEAK_SETTINGS}.py ./")
        (scratch / "crashing").mkdir()
        crash = 'CMD ["python", "-c", "raise SystemExit(\'This release cannot start.\')"]'
        _derive(scratch / "crashing", CRASHING, crash)


if __name__ == "__main__":
    main()
