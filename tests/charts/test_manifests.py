"""The manifests as a whole: the same by Helm 3 and 4, and kept in files, for diffs to show.

`UPDATE_MANIFESTS=1 make test-fast` writes the files in `manifests/`.
"""

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.charts.conftest import CHARTS
from tests.charts.test_charts import CASES, EVERY_CASE
from tests.charts.tools import helm4

KEPT = Path(__file__).parent / "manifests"
FIXED = [case for case in CASES if case != ("redis", "default")]  # whose password is random


@pytest.mark.parametrize(("chart", "name"), FIXED)
def test_manifests_change_only_on_purpose(template, chart, name):
    rendered = template(chart, name).stdout
    kept = KEPT / f"{chart}-{name}.yaml"
    if "UPDATE_MANIFESTS" in os.environ:
        kept.parent.mkdir(exist_ok=True)
        kept.write_text(rendered)
    assert kept.read_text() == rendered


def test_no_manifest_is_left_over():
    assert {path.stem for path in KEPT.iterdir()} == {f"{chart}-{name}" for chart, name in FIXED}


@EVERY_CASE
def test_helm_4_renders_and_lints_the_same(template, values_file, chart, name):
    values = values_file(chart, name)

    def run(*command):
        done = subprocess.run([helm4(), *command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout

    run("lint", "--strict", CHARTS / chart, "--kube-version", "1.30.0", "--values", values)
    options = ("--namespace", "apps", "--kube-version", "1.34.0", "--values", values)
    fourth = run("template", "release", CHARTS / chart, *options)
    third = template(chart, name).stdout
    if (chart, name) not in FIXED:
        fourth, third = (
            re.sub(r"(password|url): \S+", r"\1: random", text) for text in (fourth, third)
        )
    assert objects(fourth) == objects(third)


def objects(text):
    """Return manifests, of which Helm 4 separates some by empty lines."""
    return [document for document in yaml.safe_load_all(text) if document]
