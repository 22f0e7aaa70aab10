"""Findings of kube-score and checkov in the rendered charts."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.charts import tools
from tests.charts.objects import CASES, EVERY_CASE

# Findings that the defaults ignore, with the reason. The `strict` cases have none of them.
IGNORED = {
    "CPU limit": "CPU throttling adds latency; CPU requests already divide a node fairly",
    "digest": "a tag is human-readable; the deployment pipeline knows the digest",
    "secrets as variables": "the service supports both; secretFiles mounts them",
    "pull policy": "tags are never reused, so a start needs no pull",
}
CHECKOV = {
    "CKV_K8S_11": "CPU limit",
    "CKV_K8S_43": "digest",
    "CKV_K8S_35": "secrets as variables",
    "CKV_K8S_15": "pull policy",
}
KUBE_SCORE = {
    "CPU limit is not set": "CPU limit",
    "ImagePullPolicy is not set to Always": "pull policy",
}


@pytest.fixture(scope="session")
def manifests(template, tmp_path_factory):
    """Render each case into a file, without the short-lived test pods; return the folder."""
    folder = tmp_path_factory.mktemp("manifests")
    for chart, name in CASES:
        rendered = template(chart, name, "--skip-tests").stdout
        assert rendered
        (folder / f"{chart}-{name}.yaml").write_text(rendered)
    return folder


def must_fix(finding, chart_and_name):
    """Return whether a finding is an error in this case."""
    return finding is None or chart_and_name.endswith("-strict")


@pytest.fixture(scope="session")
def checkov(manifests):
    """Return checkov's failed checks by case."""
    command = [tools.checkov(), "--directory", manifests]
    options = ["--framework", "kubernetes", "--output", "json", "--quiet", "--compact"]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    report = json.loads(done.stdout)
    assert report["summary"]["parsing_errors"] == 0
    assert report["summary"]["resource_count"] > 50
    found: dict[str, list[tuple[str, str]]] = {}
    for failed in report["results"]["failed_checks"]:
        case = Path(failed["file_path"]).stem
        found.setdefault(case, []).append((failed["check_id"], failed["resource"]))
    return found


@EVERY_CASE
def test_checkov_finds_nothing_but_ignored_findings(checkov, chart, name):
    case = f"{chart}-{name}"
    assert [
        (check, resource)
        for check, resource in checkov.get(case, [])
        if must_fix(CHECKOV.get(check), case)
    ] == []


@EVERY_CASE
def test_kube_score_finds_nothing_critical_but_ignored_findings(manifests, chart, name):
    case = f"{chart}-{name}"
    done = subprocess.run(
        [
            *(tools.kube_score(), "score", "--output-format", "ci"),
            *("--kubernetes-version", "v1.34", manifests / f"{case}.yaml"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    lines = done.stdout.splitlines()
    assert any(line.startswith("[OK]") for line in lines), done.stderr
    critical = [line for line in lines if line.startswith("[CRITICAL]")]
    assert [
        line
        for line in critical
        if must_fix(
            next((finding for text, finding in KUBE_SCORE.items() if text in line), None), case
        )
    ] == []


def test_every_ignored_finding_occurs(checkov):
    assert {check for found in checkov.values() for check, _ in found} == set(CHECKOV)
    assert {*CHECKOV.values(), *KUBE_SCORE.values()} == set(IGNORED)
