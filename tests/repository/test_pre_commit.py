"""The pre-commit hooks check a commit as `make lint` would."""

import shutil
from pathlib import Path

import pytest

from tests.support import ROOT, run, template

SERVICE = "{{cookiecutter.project_slug}}"


@pytest.fixture
def checkout(tmp_path) -> Path:
    """The template as a git repository with everything staged, and the tools of this one."""
    path = Path(shutil.copytree(template(), tmp_path / "checkout", symlinks=True))
    run(["git", "init", "--quiet"], cwd=path)
    run(["git", "add", "--all"], cwd=path)
    for tools in [".venv", ".tools"]:
        (path / tools).symlink_to(ROOT / tools)
    return path


def pre_commit(checkout: Path, *hooks: str) -> None:
    """Run hooks on all files; fail with their output when one fails."""
    for hook in hooks:
        run(
            [".venv/bin/pre-commit", "run", "--all-files", hook],
            cwd=checkout,
            PRE_COMMIT_HOME=str(checkout.parent / "cache"),
        )


def edit(path: Path, text: str) -> None:
    """Append a text to a file, which may be new, and stage that."""
    with path.open("a") as file:
        file.write(text)
    run(["git", "add", path.name], cwd=path.parent)


def test_python_passes(checkout):
    pre_commit(checkout, "ruff-check", "ruff-format")


@pytest.mark.parametrize(
    ("hook", "text"), [("ruff-check", "import os\n"), ("ruff-format", "a = 'b'\n")]
)
def test_python_that_ruff_changes_is_rejected(checkout, hook, text):
    edit(checkout / "tests/new.py", text)
    with pytest.raises(AssertionError, match="files were modified by this hook"):
        pre_commit(checkout, hook)


def test_python_of_the_service_is_left_to_its_own_rules(checkout):
    edit(checkout / SERVICE / "manage.py", "a = 'b'\n")
    pre_commit(checkout, "ruff-check", "ruff-format")


@pytest.mark.network
def test_workflows_pass(checkout):
    pre_commit(checkout, "workflows")


@pytest.mark.network
@pytest.mark.parametrize(
    "name",
    [
        ".github/workflows/ci.yml",
        f"{SERVICE}/.github/workflows/ci.yml",
        ".github/ISSUE_TEMPLATE/bug_report.yml",
        ".github/ISSUE_TEMPLATE/config.yml",
    ],
)
def test_misspelt_key_is_rejected(checkout, name):
    edit(checkout / name, "misspelt: true\n")
    with pytest.raises(AssertionError, match="misspelt"):
        pre_commit(checkout, "workflows")
