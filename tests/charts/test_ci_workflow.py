"""The CI workflow of a service installs the charts as docs/deploying.md says."""

import re
from pathlib import Path

import pytest
import yaml

from tests.support import BakedProject, bake
from tests.workflows import run_job, stand_in

WORKFLOW = ".github/workflows/ci.yml"
# What differs between the documented commands and those of a test.
VALUE = re.compile(r"--from-literal=(\w+)=\S+|image\.tag=\S+")


@pytest.fixture(params=["Acme Blog", "Orders"])
def project(request) -> BakedProject:
    """Return a service."""
    return bake(project_name=request.param)


def commands(project: BakedProject, folder: Path) -> list[str]:
    """Run the job that installs the charts; return its commands, without their values."""
    for name in ("docker", "kind", "kubectl", "helm"):
        stand_in(folder / "programs", name, "")
    job = yaml.safe_load(project.read(WORKFLOW))["jobs"]["kubernetes"]
    job["steps"] = [step for step in job["steps"] if step.get("if") != "failure()"]
    workflow = folder / "ci.yml"
    workflow.write_text(yaml.safe_dump({"jobs": {"kubernetes": job}}))
    stand_in(
        folder / "programs", "make", f"[[ $* != *image-repository* ]] || echo {image(project)}"
    )
    run_job(workflow, "kubernetes", project.path, folder / "programs")
    return [VALUE.sub(r"\1", line) for line in (folder / "calls").read_text().splitlines()]


def image(project: BakedProject) -> str:
    """Return the repository of the service's image."""
    values: dict = yaml.safe_load(project.read("deploy/production.yaml"))
    return values["image"]["repository"]


def documented(project: BakedProject) -> list[str]:
    """Return the commands of the section "The first release", without their values."""
    section = project.read("docs/deploying.md").split("\n## ")[1]
    lines = section.replace("\\\n", "").replace(" && ", "\n    ").splitlines()
    found = [" ".join(line.split()) for line in lines if line.startswith("    ")]
    return [VALUE.sub(r"\1", re.sub(r'"\$\(.*?\)"', "x", line)) for line in found]


def test_charts_are_installed_by_the_documented_commands(project, tmp_path):
    run = [line for line in commands(project, tmp_path) if re.match("helm|kubectl [cl]", line)]

    assert len(run) == 8
    assert [line for line in run if line not in documented(project)] == []
    order = [documented(project).index(line) for line in run]
    assert order == sorted(order)


def test_image_that_is_installed_is_that_of_the_checkout(project, tmp_path):
    run = commands(project, tmp_path)

    assert f"make image IMAGE={image(project)}:ci" in run
    assert f"kind load docker-image {image(project)}:ci" in run
