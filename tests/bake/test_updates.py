"""`make update` of a service, and the workflow that proposes its result.

A service that was edited in ten places is updated across ten commits of the template.
"""

import json
import re
import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest

from tests.support import BakedProject
from tests.updates import (
    ADDRESS,
    COMMITS,
    CONFLICTS,
    DELETED,
    EDITS,
    MOVED,
    change_template,
    commit,
    edited_service,
    git,
    update,
)
from tests.workflows import run_job, stand_in

# The tests share an update, which takes seconds.
pytestmark = pytest.mark.xdist_group("updates")
REJECTS = sorted(f"{name}.rej" for name in CONFLICTS)
BRANCH = "template-v0.10.0"


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> Iterator[tuple[Path, BakedProject]]:
    """The template's repository with ten new commits, and the edited service."""
    with edited_service(tmp_path_factory.mktemp("sources")) as (repository, project):
        change_template(repository)
        yield repository, project


@pytest.fixture(scope="module")
def proposal(sources, tmp_path_factory) -> BakedProject:
    """The checkout of the workflow, after it has proposed the update."""
    folder = tmp_path_factory.mktemp("proposal")
    git(folder, "clone", "--quiet", "--bare", str(sources[1].path), "origin")
    git(folder, "clone", "--quiet", "--depth=1", (folder / "origin").as_uri(), "acme_blog")
    stand_in(folder / "programs", "gh", "")
    # In place of uv, which would install cruft.
    script = f'eval "exec {sys.executable} scripts/update.py ${{2#ARGS=}}"'
    stand_in(folder / "programs", "make", script)
    (folder / "programs/cruft").symlink_to(Path(sys.executable).with_name("cruft"))
    project = BakedProject(folder / "acme_blog", {})
    propose(project, OPTIONS="--without-workflows")
    return project


def propose(checkout: BakedProject, **environment: str) -> str:
    """Run the workflow's job."""
    workflow = checkout.path / ".github/workflows/update.yml"
    programs = checkout.path.parent / "programs"
    environment |= {"GITHUB_REF_NAME": "main", "GH_TOKEN": ""}
    return run_job(workflow, "update", checkout.path, programs, **environment)


def description(proposal: BakedProject) -> str:
    """Return the body of the pull request."""
    return (proposal.path.parent / "body.md").read_text()


def test_edits_of_the_service_survive(proposal):
    for name, _, new in EDITS:
        assert new in proposal.read(MOVED[1] if name == MOVED[0] else name), name


def test_changes_of_the_template_arrive_or_are_rejected(proposal):
    expected = [edit for edit in chain.from_iterable(COMMITS) if not edit[0].startswith("../")]
    for name, _, new in expected:
        path = proposal.path / name.format(slug=proposal.slug)
        if name.startswith(".github/"):
            path = proposal.path / "workflows.patch"
        elif f"{path.relative_to(proposal.path)}.rej" in REJECTS and new not in path.read_text():
            path = path.with_name(f"{path.name}.rej")
        assert all(line in path.read_text() for line in new.splitlines()), name


def test_rejects_take_the_side_of_the_template(proposal, tmp_path):
    project = proposal.copy(tmp_path)
    assert sorted(str(name) for name in project.files() if name.suffix == ".rej") == REJECTS
    for name in REJECTS:
        git(project.path, "apply", name)
    assert '"PAGE_SIZE": 25' in project.read("acme_blog/settings.py")
    assert '"orders",' in project.read("acme_blog/settings.py")
    assert "maxReplicas: 12" in project.read("deploy/production.yaml")
    assert project.read("docs/orders.md") == "# Orders\n"
    assert not (project.path / DELETED).exists()


def test_code_with_rejected_changes_is_valid(proposal):
    proposal.run(sys.executable, "-m", "compileall", "-q", "acme_blog", "orders", "packages")
    proposal.run(sys.executable, "-m", "ruff", "check", "--no-cache", ".")


def test_description_names_versions_changelog_and_rejects(proposal, sources):
    old, new = (git(sources[0], "rev-parse", tag).strip() for tag in ("v0.9.0", "v0.10.0"))
    page = ADDRESS.removesuffix(".git")
    body = description(proposal)
    assert f"[the template]({page}) from {old[:12]} to v0.10.0" in body
    assert f"({page}/blob/{new}/CHANGELOG.md)" in body
    assert f"({page}/compare/{old}...{new})" in body
    assert re.findall(r"^- `(.*)`$", body, re.MULTILINE) == REJECTS


def test_pull_request_has_no_changes_of_workflows_but_a_patch(proposal, tmp_path):
    origin = proposal.path.parent / "origin"
    changed = git(origin, "diff", "--name-only", f"HEAD...{BRANCH}").split()
    assert {"README.md", ".cruft.json", "docs/raw/braces.md", "workflows.patch"} <= set(changed)
    assert [name for name in changed if name.startswith(".github/workflows")] == []
    created = (proposal.path.parent / "calls").read_text()
    assert f"gh pr create --base main --head {BRANCH} --title " in created

    git(tmp_path, "clone", "--quiet", f"--branch={BRANCH}", str(origin), "acme_blog")
    project = BakedProject(tmp_path / "acme_blog", {})
    command = re.search(r"^    (git apply .*)$", description(proposal), re.MULTILINE)
    assert command
    project.run("bash", "-ec", command[1])
    assert project.read(".github/workflows/ci.yml").startswith("name: Checks\n")
    assert not (project.path / "workflows.patch").exists()


def test_update_is_proposed_once(proposal, tmp_path):
    """Also if its branch has new commits, or the pull request was closed."""
    folder = proposal.path.parent
    git(folder, "clone", "--quiet", "origin", str(tmp_path / "acme_blog"))
    checkout = BakedProject(tmp_path / "acme_blog", {})
    stand_in(tmp_path / "programs", "gh", "")
    stand_in(tmp_path / "programs", "make", f"git checkout --quiet origin/{BRANCH} .cruft.json")
    before = git(folder / "origin", "rev-parse", BRANCH)

    assert f"Branch {BRANCH} exists" in propose(checkout, OPTIONS="")
    assert git(folder / "origin", "rev-parse", BRANCH) == before
    assert "gh pr create" not in (tmp_path / "calls").read_text()


def test_workflow_without_changes_proposes_nothing(sources, tmp_path):
    stand_in(tmp_path / "programs", "make", "")

    assert "There are no changes." in propose(sources[1].copy(tmp_path), OPTIONS="")
    assert (tmp_path / "calls").read_text().startswith("make update ")


def test_with_workflows_and_a_failing_lock(sources, tmp_path):
    project = sources[1].copy(tmp_path)
    (project.path / "uv.lock").touch()
    commit(project.path)
    stand_in(tmp_path / "programs", "uv", "echo 'error: no solution' >&2; exit 1")
    body = update(project, UV=str(tmp_path / "programs/uv"))

    assert project.read(".github/workflows/ci.yml").startswith("name: Checks\n")
    assert "left out" not in body
    assert "error: no solution" in body
    assert (tmp_path / "calls").read_text() == "uv lock --quiet\n"


def test_service_newer_than_the_release_stays(sources, tmp_path):
    repository, project = sources
    project = project.copy(tmp_path)
    git(tmp_path, "clone", "--quiet", str(repository), "template")
    git(tmp_path / "template", "tag", "--delete", "v0.10.0")
    state = json.loads(project.read(".cruft.json"))
    state["template"] = str(tmp_path / "template")
    state["commit"] = git(repository, "rev-parse", "HEAD").strip()
    (project.path / ".cruft.json").write_text(json.dumps(state))
    commit(project.path)

    update(project)
    assert git(project.path, "status", "--porcelain") == ""


def test_edits_that_are_not_committed_are_left_alone(sources, tmp_path):
    project = sources[1].copy(tmp_path)
    (project.path / "README.md").write_text("Edited\n")
    with pytest.raises(AssertionError, match="commit them first"):
        update(project)
    assert git(project.path, "status", "--porcelain") == " M README.md\n"


def test_unknown_template_is_reported(sources, tmp_path):
    project = sources[1].copy(tmp_path)
    (project.path / ".cruft.json").unlink()
    with pytest.raises(AssertionError, match="run `cruft link <address>`"):
        update(project)
