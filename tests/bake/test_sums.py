"""A service notices edits of its runtime, and can keep them."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.bake.sums import SUMS, current_sums
from tests.support import BakedProject, bake

EDITED = "src/service_runtime/rates.py"


@pytest.fixture
def project(tmp_path) -> BakedProject:
    """A service whose checksums are current, whatever the template's are."""
    project = bake().copy(tmp_path)
    (project.path / "packages/service-runtime/SHA256SUMS").write_text(current_sums())
    return project


def check(project: BakedProject) -> subprocess.CompletedProcess[str]:
    """Run the line of `make lint` that verifies the checksums."""
    recipe = project.run("make", "--just-print", "UV=Makefile", "lint")
    (line,) = re.findall(r"^cd packages/service-runtime && .*\\\n.*$", recipe, re.MULTILINE)
    return subprocess.run(
        ["sh", "-c", line],
        cwd=project.path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def test_the_checksums_are_current():
    assert SUMS.exists(), "run `make sums`"
    assert SUMS.read_text() == current_sums(), "run `make sums`"


def test_an_unedited_runtime_passes(project):
    result = check(project)

    assert (result.returncode, result.stdout) == (0, "")


@pytest.mark.parametrize("name", [EDITED, "README.md", "tests/settings.py"])
def test_an_edited_file_is_reported_by_name(project, name):
    path = project.path / "packages/service-runtime" / name
    path.write_text(path.read_text() + "\n")
    result = check(project)

    assert result.returncode == 1
    assert f"{name}: FAILED" in result.stdout
    assert "Editing this package" in result.stdout
    assert "## Editing this package" in project.read("packages/service-runtime/README.md")


def test_a_removed_file_is_reported_by_name(project):
    (project.path / "packages/service-runtime" / EDITED).unlink()
    result = check(project)

    assert result.returncode == 1
    assert EDITED in result.stdout


def test_a_fork_without_checksums_passes(project):
    folder = project.path / "packages/service-runtime"
    (folder / EDITED).write_text("")
    (folder / "SHA256SUMS").unlink()

    assert check(project).returncode == 0


def test_checksums_name_every_file_of_the_package():
    folder = Path("packages/service-runtime")
    names = {line.split(maxsplit=1)[1] for line in current_sums().splitlines()}
    copied = {str(name.relative_to(folder)) for name in bake().files() if folder in name.parents}

    assert copied - {"SHA256SUMS"} == names
