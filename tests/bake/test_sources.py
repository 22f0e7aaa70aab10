"""Every source of the template gives the same service, and cruft updates a service."""

import sys
from pathlib import Path

import cruft
import pytest

from tests.support import BakedProject, bake, generate, template
from tests.updates import commit, cruft_create, git, template_repository

CRUFT_DIFF = [sys.executable, "-m", "cruft", "diff"]


@pytest.fixture
def repository(tmp_path) -> Path:
    """Return the template as a git repository with one commit."""
    return template_repository(tmp_path)


def contents(project: BakedProject) -> dict[str, tuple[bytes, bool]]:
    """Return the generated files of a service, without those of git and cruft."""
    return {
        name: content
        for name, content in project.contents().items()
        if name != ".cruft.json" and not name.startswith(".git/")
    }


def test_git_clone_gives_the_same_service(tmp_path, repository):
    project = generate(repository.as_uri(), tmp_path)
    assert contents(project) == contents(bake())


def test_zip_gives_the_same_service(tmp_path, repository):
    archive = tmp_path / "template.zip"
    git(repository, "archive", "--prefix=template/", f"--output={archive}", "HEAD")
    project = generate(archive, tmp_path)
    assert contents(project) == contents(bake())


def test_relative_path_gives_the_same_service(tmp_path, repository, monkeypatch):
    monkeypatch.chdir(tmp_path)
    project = generate(Path(repository.name), Path())
    assert contents(BakedProject(tmp_path / project.path, {})) == contents(bake())


@pytest.mark.parametrize("example_app", ["yes", "no"])
def test_cruft_gives_the_same_service_without_a_diff(tmp_path, repository, example_app):
    project = cruft_create(repository, tmp_path / "generated", example_app=example_app)
    assert contents(project) == contents(bake(example_app=example_app))
    assert project.run(*CRUFT_DIFF, "--exit-code") == ""


def test_cruft_diff_is_a_patch_that_undoes_local_edits(tmp_path, repository):
    project = cruft_create(repository, tmp_path / "generated", example_app="no")
    (project.path / "README.md").write_text("Edited\n")
    (tmp_path / "undo.patch").write_text(project.run(*CRUFT_DIFF))
    project.run("git", "apply", tmp_path / "undo.patch")
    assert contents(project) == contents(bake(example_app="no"))


@pytest.mark.parametrize("with_local_edit", [False, True])
def test_cruft_update_applies_a_change_of_the_template(tmp_path, repository, with_local_edit):
    values = {"project_slug": "shop", "example_app": "no", "author": 'O\'Brien \\ "Söhne" 👩‍👧'}
    project = cruft_create(repository, tmp_path / "generated", **values)
    if with_local_edit:
        (project.path / "shop" / "own.py").write_text("EDITED = True\n")
        (project.path / "LICENSE").write_text("Edited\n")
        commit(project.path)
    readme = next(repository.glob("*cookiecutter.project_slug*")) / "README.md"
    readme.write_text(readme.read_text() + "\nNew in {{ cookiecutter.project_slug }}.\n")
    commit(repository)

    assert cruft.update(project.path, skip_apply_ask=True)

    expected = contents(bake(**values))
    expected["README.md"] = (expected["README.md"][0] + b"\nNew in shop.\n", False)
    if with_local_edit:
        expected |= {"shop/own.py": (b"EDITED = True\n", False), "LICENSE": (b"Edited\n", False)}
    assert contents(project) == expected
    assert not (project.path / "shop" / "blog").exists()


def test_cruft_update_leaves_a_forked_runtime(tmp_path, repository):
    """As the package's README says to keep an edit."""
    project = cruft_create(repository, tmp_path / "made", example_app="no")
    edited = "packages/service-runtime/src/service_runtime/rates.py"
    with (project.path / "pyproject.toml").open("a") as file:
        file.write('\n[tool.cruft]\nskip = ["packages/service-runtime"]\n')
    (project.path / edited).write_text("EDITED = True\n")
    commit(project.path)
    source = next(repository.glob("*cookiecutter.project_slug*"))
    for name in (edited, "LICENSE"):
        (source / name).write_text("New = True\n")
    commit(repository)

    assert cruft.update(project.path, skip_apply_ask=True)

    assert project.read("LICENSE") == "New = True\n"
    assert project.read(edited) == "EDITED = True\n"


@pytest.mark.parametrize("example_app", ["yes", "no"])
def test_generating_twice_changes_nothing(tmp_path, example_app):
    first = generate(template(), tmp_path, example_app=example_app).contents()
    second = generate(template(), tmp_path, overwrite=True, example_app=example_app).contents()
    assert first == second


def test_cruft_link_adds_updates_to_a_service(tmp_path, repository):
    project = generate(repository, tmp_path / "generated", example_app="no")
    git(project.path, "init", "--quiet")

    cruft.link(str(repository), project.path, extra_context=project.values, no_input=True)

    commit(project.path)
    assert project.run(*CRUFT_DIFF, "--exit-code") == ""
