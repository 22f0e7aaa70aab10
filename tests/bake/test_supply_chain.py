"""The dependencies of both repositories are pinned, and updated after a week."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.images import use_local_images
from tests.support import ROOT, bake

FROM = re.compile(r"^FROM (\S+)(?: AS (\S+))?$", re.MULTILINE)
ACTION = re.compile(r"\S+@[0-9a-f]{40} # v\d+\.\d+\.\d+")
IMAGE = re.compile(r"\S+:\S+@sha256:[0-9a-f]{64}")


@pytest.fixture(params=["template", "service"])
def repository(request, tmp_path) -> Path:
    """Return a copy of the .github folder of the template and of a generated service."""
    source = ROOT if request.param == "template" else bake().path
    shutil.copytree(source / ".github", tmp_path / ".github")
    return tmp_path


def zizmor(repository: Path) -> subprocess.CompletedProcess[str]:
    """Run zizmor as `make lint` does, and return its result."""
    program = str(Path(sys.executable).with_name("zizmor"))
    command = [program, "--quiet", "--offline", "--no-ignores", str(repository / ".github")]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_zizmor_finds_nothing(repository):
    found = zizmor(repository)
    assert found.returncode == 0, found.stdout


@pytest.mark.parametrize(
    ("name", "pattern", "replacement", "audit"),
    [
        ("workflows/ci.yml", r"@[0-9a-f]{40} # v(\d+)\S*", r"@v\1", "unpinned-uses"),
        ("workflows/ci.yml", r"persist-credentials: false", "fetch-depth: 1", "artipacked"),
        (
            "workflows/ci.yml",
            r"permissions:\s+contents: read",
            "permissions: write-all",
            "permissions",
        ),
        ("workflows/release.yml", r"@[0-9a-f]{40} # v(\d+)\S*", r"@v\1", "unpinned-uses"),
        ("workflows/release.yml", r"persist-credentials: false", "fetch-depth: 1", "artipacked"),
        ("dependabot.yml", r" +cooldown: .*\n", "", "dependabot-cooldown"),
    ],
)
def test_zizmor_reports_a_relaxed_setting(repository, name, pattern, replacement, audit):
    path = repository / ".github" / name
    path.write_text(re.sub(pattern, replacement, path.read_text()))
    found = zizmor(repository)
    assert found.returncode != 0
    assert audit in found.stdout


def test_actions_say_which_version_their_commit_is(repository):
    workflows = sorted((repository / ".github/workflows").iterdir())
    uses = [use for path in workflows for use in re.findall(r"uses: (.*)", path.read_text())]
    assert uses
    assert [use for use in uses if not ACTION.fullmatch(use)] == []


def test_base_images_are_pinned_by_digest():
    stages = FROM.findall(bake().read("Dockerfile"))
    names = {name for _, name in stages}
    images = [image for image, _ in stages if image not in names]
    assert len(images) == 2
    assert [image for image in images if not IMAGE.fullmatch(image)] == []


def test_local_images_can_stand_in_for_base_images(tmp_path):
    project = bake().copy(tmp_path)
    use_local_images(project)
    images = [image for image, _ in FROM.findall(project.read("Dockerfile"))]
    assert images == ["ghcr.io/astral-sh/uv:0.13", "python:3.13-slim", "base", "base"]
