"""`make lint-charts` of a service checks the charts with all values that the service has."""

import os
import re
import shutil

import pytest

from tests.charts import tools
from tests.support import BakedProject, bake


def lint_charts(project: BakedProject) -> str:
    """Run `make lint-charts` with Helm 3; return what it prints, fail when it fails."""
    path = f"{tools.helm().parent}{os.pathsep}{os.environ['PATH']}"
    return project.run("make", "--silent", "lint-charts", PATH=path)


@pytest.mark.parametrize("example_app", ["yes", "no"])
def test_values_of_a_new_service_are_valid(example_app):
    assert lint_charts(bake(example_app=example_app)) == ""


@pytest.mark.parametrize(
    "name",
    [
        "deploy/production.yaml",
        "deploy/redis.yaml",
        "helm/redis/ci/tls-values.yaml",
        "helm/web/ci/strict-values.yaml",
    ],
)
def test_misspelt_value_is_rejected_with_its_file(tmp_path, name):
    project = bake().copy(tmp_path)
    with (project.path / name).open("a") as file:
        file.write("replicaCuont: 3\n")

    chart = "redis" if "redis" in name else "web"
    with pytest.raises(
        AssertionError, match=f"(?s)replicaCuont.*{name} is not valid for helm/{chart}"
    ):
        lint_charts(project)


def test_values_that_the_templates_reject_are_rejected(tmp_path):
    project = bake().copy(tmp_path)
    values = project.path / "deploy/staging.yaml"
    values.write_text(re.sub(r"(existingSecret:) acme-blog", r'\1 ""', values.read_text()))

    with pytest.raises(AssertionError, match=r"(?s)existingSecret.*deploy/staging\.yaml"):
        lint_charts(project)


@pytest.mark.parametrize(
    "template",
    ["a: [\n", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: Not_A_Name}\n"],
    ids=["no YAML", "an invalid name"],
)
def test_template_that_renders_an_invalid_object_is_rejected(tmp_path, template):
    project = bake().copy(tmp_path)
    (project.path / "helm/web/templates/broken.yaml").write_text(template)

    with pytest.raises(AssertionError, match="is not valid for helm/web"):
        lint_charts(project)


def test_missing_helm_is_reported_with_how_to_install_it(tmp_path):
    make = shutil.which("make")
    assert make
    (tmp_path / "make").symlink_to(make)

    with pytest.raises(AssertionError, match=r"helm is not installed: install .*https://helm\.sh"):
        bake().run("make", "lint-charts", PATH=str(tmp_path))
