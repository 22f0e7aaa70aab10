"""Fixtures that run Helm on the template's charts."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.charts import tools
from tests.support import ROOT, bake

CHARTS = ROOT / "{{cookiecutter.project_slug}}" / "helm"
Manifests = dict[tuple[str, str], dict[str, Any]]


def runner(program: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that runs a program and ignores its exit status."""

    def run(*arguments: str | Path, values: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [program, *arguments], input=values, capture_output=True, text=True, check=False
        )

    return run


class StrictLoader(yaml.SafeLoader):
    """Rejects a mapping with two equal keys, as Kubernetes does."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Return a mapping as a dict."""
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        assert len(keys) == len(set(keys)), f"a key occurs twice in {keys}"
        return super().construct_mapping(node, deep)


def documents(manifests: str) -> list[dict[str, Any]]:
    """Parse manifests into objects, without the empty documents that Helm 4 emits."""
    return [document for document in yaml.load_all(manifests, StrictLoader) if document]


@pytest.fixture(scope="session")
def helm() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that runs Helm 3 and ignores its exit status."""
    return runner(tools.helm())


@pytest.fixture(scope="session")
def helm4() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that runs Helm 4 and ignores its exit status."""
    return runner(tools.helm4())


@pytest.fixture(scope="session")
def deploy_values() -> Path:
    """Return the `deploy` folder of a generated service."""
    return bake().path / "deploy"


@pytest.fixture(scope="session")
def values_file(deploy_values: Path) -> Callable[[str, str], Path]:
    """Return a function that finds a chart's values file by name."""

    def find(chart: str, name: str) -> Path:
        in_chart = CHARTS / chart / "ci" / f"{name}-values.yaml"
        return in_chart if in_chart.exists() else deploy_values / f"{name}.yaml"

    return find


@pytest.fixture(scope="session")
def template(helm, values_file) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that renders a chart with one of its values files and extra values."""

    def run(
        chart: str, name: str, *options: str, kubernetes: str = "1.34.0", **values: Any
    ) -> subprocess.CompletedProcess[str]:
        return helm(
            *("template", "release", CHARTS / chart, "--namespace", "apps"),
            *("--kube-version", kubernetes, "--values", values_file(chart, name), "--values", "-"),
            *options,
            values=yaml.safe_dump(values),
        )

    return run


@pytest.fixture(scope="session")
def render(template) -> Callable[..., Manifests]:
    """Return a function that renders a chart into objects by kind and name."""

    def run(*arguments: Any, **values: Any) -> Manifests:
        result = template(*arguments, **values)
        assert result.returncode == 0, result.stderr
        items = documents(result.stdout)
        objects = {(item["kind"], item["metadata"]["name"]): item for item in items}
        assert len(objects) == len(items), "two objects of one kind share a name"
        return objects

    return run
