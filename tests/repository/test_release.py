"""`make release` dates, bumps, commits and tags, or rejects the release and changes nothing."""

import shutil
import subprocess
import sys
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.support import ROOT, run
from tests.workflows import run_job, stand_in

CHANGELOG = """\
# Changelog

## [Unreleased]

### Added

- A feature.

## [0.1.0] - 2026-11-24

- The first release.

[Unreleased]: ../../compare/v0.1.0...HEAD
[0.1.0]: ../../releases/tag/v0.1.0
"""

PYPROJECT = """\
[project]
name = "a"
version = "{version}"

[tool.other]
version = "3.0.0"
"""

RELEASED_CHANGELOG = CHANGELOG.replace(
    "## [Unreleased]\n", "## [Unreleased]\n\n## [0.2.0] - {date}\n"
).replace(
    "[Unreleased]: ../../compare/v0.1.0...HEAD\n",
    "[Unreleased]: ../../compare/v0.2.0...HEAD\n[0.2.0]: ../../compare/v0.1.0...v0.2.0\n",
)


class Repository:
    """A git repository with a release 0.1.0 and one change since."""

    def __init__(self, path: Path) -> None:
        self.path = path
        (path / "CHANGELOG.md").write_text(CHANGELOG)
        (path / "pyproject.toml").write_text(PYPROJECT.format(version="0.1.0"))
        self.git("init", "--quiet", "--initial-branch=main")
        self.commit()
        self.git("tag", "v0.1.0")

    def git(self, *arguments: str) -> str:
        return run(["git", *arguments], cwd=self.path).strip()

    def commit(self) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "A change")

    def edit(self, name: str, old: str, new: str) -> None:
        """Replace a text in a file, and commit that."""
        text = (self.path / name).read_text()
        assert old in text
        (self.path / name).write_text(text.replace(old, new))
        self.commit()

    def release(self, command: str, value: str) -> subprocess.CompletedProcess[str]:
        script = [sys.executable, str(ROOT / "scripts" / "release.py"), command, value]
        return subprocess.run(script, cwd=self.path, capture_output=True, text=True, check=False)

    def state(self) -> dict[str, str]:
        """Return what a rejected release must not change."""
        return {
            "commits": self.git("log", "--format=%H"),
            "tags": self.git("tag"),
            "changes": self.git("status", "--porcelain"),
            "files": self.git("hash-object", "CHANGELOG.md", "pyproject.toml"),
        }


@pytest.fixture
def repository(tmp_path) -> Repository:
    return Repository(tmp_path)


def assert_rejected(repository: Repository, version: str, *named: str) -> None:
    """Fail unless the release is rejected with one sentence that has these words, untouched."""
    before = repository.state()
    result = repository.release("create", version)
    assert result.returncode == 1
    assert (result.stdout, result.stderr.count("\n"), result.stderr[-2:]) == ("", 1, ".\n")
    assert [word for word in named if word not in result.stderr] == []
    assert repository.state() == before


def test_release_dates_bumps_commits_and_tags(repository):
    days = {f"{datetime.now(UTC):%Y-%m-%d}"}
    result = repository.release("create", "0.2.0")
    days.add(f"{datetime.now(UTC):%Y-%m-%d}")

    assert result.returncode == 0, result.stderr
    assert "git push --atomic origin main v0.2.0" in result.stdout
    changelog = (repository.path / "CHANGELOG.md").read_text()
    assert changelog in [RELEASED_CHANGELOG.format(date=day) for day in days]
    assert (repository.path / "pyproject.toml").read_text() == PYPROJECT.format(version="0.2.0")
    assert repository.git("status", "--porcelain") == ""
    assert repository.git("log", "-1", "--format=%s") == "Release 0.2.0"
    assert repository.git("cat-file", "-t", "v0.2.0") == "tag"
    assert repository.git("rev-parse", "v0.2.0^{commit}") == repository.git("rev-parse", "HEAD")


def test_make_release_creates_it(repository):
    (repository.path / "scripts").mkdir()
    for name in ["Makefile", "scripts/release.py"]:
        shutil.copy(ROOT / name, repository.path / name)
    repository.commit()

    run(["make", "release", "VERSION=0.2.0", f"PYTHON={sys.executable}"], cwd=repository.path)

    assert repository.git("describe") == "v0.2.0"


@pytest.mark.parametrize(
    "version", ["", "1", "0.2", "v0.2.0", "00.2.0", "0.2.0rc1", "0.2.0-rc.1", "0.2.0\n", "0.²1.0"]
)
def test_version_that_is_not_major_minor_patch_is_rejected(repository, version):
    assert_rejected(repository, version, f"VERSION={version!r}", "VERSION=0.2.0")


@pytest.mark.parametrize("version", ["0.0.9", "0.1.0"])
def test_version_that_is_not_greater_than_the_last_is_rejected(repository, version):
    assert_rejected(repository, version, f"VERSION={version}", "0.1.1, 0.2.0 or 1.0.0")


def test_versions_are_compared_as_numbers(repository):
    repository.git("tag", "v0.10.0")
    repository.git("tag", "v0.9.0")
    repository.git("tag", "vendor-copy")

    assert_rejected(repository, "0.9.1", "0.10.0")
    assert repository.release("create", "0.10.1").returncode == 0


def test_tag_that_exists_is_rejected(repository):
    repository.git("tag", "v0.2.0")

    assert_rejected(repository, "0.2.0", "VERSION=0.2.0", "0.2.1")


def test_version_of_pyproject_counts_as_released_without_a_tag(repository):
    repository.git("tag", "--delete", "v0.1.0")

    assert_rejected(repository, "0.1.0", "0.1.0", "0.1.1")


@pytest.mark.parametrize("name", ["pyproject.toml", "new file.txt"])
def test_working_tree_with_changes_is_rejected(repository, name):
    with (repository.path / name).open("a") as file:
        file.write("# a change\n")

    assert_rejected(repository, "0.2.0", name, "commit")


@pytest.mark.parametrize("text", ["", "### Added\n"])
def test_changelog_without_text_is_rejected(repository, text):
    repository.edit("CHANGELOG.md", "### Added\n\n- A feature.\n", text)

    assert_rejected(repository, "0.2.0", "CHANGELOG.md", "[Unreleased]", "0.2.0")


def test_changelog_without_a_compare_link_is_rejected(repository):
    repository.edit("CHANGELOG.md", "[Unreleased]: ../../compare/v0.1.0...HEAD\n", "")

    assert_rejected(repository, "0.2.0", "CHANGELOG.md", "compare")


def test_commit_that_a_hook_rejects_leaves_nothing_behind(repository):
    hook = repository.path / ".git/hooks/pre-commit"
    hook.write_text("#!/bin/sh\necho not today >&2\nexit 1\n")
    hook.chmod(0o755)

    assert_rejected(repository, "0.2.0", "git commit", "not today")


def test_tag_that_cannot_be_signed_leaves_nothing_behind(repository):
    repository.git("config", "tag.gpgSign", "true")
    repository.git("config", "gpg.program", "false")

    assert_rejected(repository, "0.2.0", "git tag")


def test_notes_are_the_section_of_the_tag(repository):
    repository.release("create", "0.2.0")

    assert repository.release("notes", "v0.2.0").stdout == "### Added\n\n- A feature.\n"


def test_notes_of_the_oldest_section_end_before_the_links(repository):
    assert repository.release("notes", "v0.1.0").stdout == "- The first release.\n"


@pytest.mark.parametrize("tag", ["v0.2.0", "0.1.0"])
def test_tag_that_is_not_the_version_has_no_notes(repository, tag):
    result = repository.release("notes", tag)

    assert (result.returncode, result.stdout) == (1, "")
    assert f"tag {tag} does not match version 0.1.0" in result.stderr


def test_tag_without_a_section_has_no_notes(repository):
    repository.edit("CHANGELOG.md", "- The first release.\n", "")
    result = repository.release("notes", "v0.1.0")

    assert (result.returncode, result.stdout) == (1, "")
    assert "[0.1.0]" in result.stderr


def test_changelog_has_notes_for_the_version_of_the_template():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    command = [sys.executable, "scripts/release.py", "notes", f"v{version}"]

    assert "- " in run(command, cwd=ROOT)


def test_release_workflow_publishes_the_notes(repository, tmp_path_factory):
    (repository.path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts/release.py", repository.path / "scripts")
    folder = tmp_path_factory.mktemp("runner")
    stand_in(folder / "programs", "gh", f"cp notes.md {folder}")
    workflow = ROOT / ".github/workflows/release.yml"

    run_job(workflow, "publish", repository.path, folder / "programs", GITHUB_REF_NAME="v0.1.0")

    assert (folder / "notes.md").read_text() == "- The first release.\n"
    assert (folder / "calls").read_text().startswith("gh release create v0.1.0 --verify-tag ")
