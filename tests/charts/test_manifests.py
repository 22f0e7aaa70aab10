"""Golden manifests: identical with Helm 3 and 4, and stored in files so that changes show in diffs.

`UPDATE_MANIFESTS=1 make test-fast` updates the files in `manifests/`.
"""

import os
import re
from pathlib import Path

import pytest

from tests.charts.conftest import CHARTS, documents
from tests.charts.objects import CASES, EVERY_CASE

GOLDEN = Path(__file__).parent / "manifests"
FIXED = [case for case in CASES if case != ("redis", "default")]  # its password is random


@pytest.mark.parametrize(("chart", "name"), FIXED)
def test_manifests_match_the_golden_files(template, chart, name):
    rendered = template(chart, name).stdout
    golden = GOLDEN / f"{chart}-{name}.yaml"
    if "UPDATE_MANIFESTS" in os.environ:
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(rendered)
    assert golden.read_text() == rendered


def test_no_golden_file_is_unused():
    assert {path.stem for path in GOLDEN.iterdir()} == {f"{chart}-{name}" for chart, name in FIXED}


@EVERY_CASE
def test_helm_4_renders_and_lints_like_helm_3(helm4, template, values_file, chart, name):
    values = ("--values", values_file(chart, name))
    linted = helm4("lint", "--strict", CHARTS / chart, "--kube-version", "1.30.0", *values)
    assert linted.returncode == 0, linted.stdout
    options = ("--namespace", "apps", "--kube-version", "1.34.0", *values)
    rendered = helm4("template", "release", CHARTS / chart, *options)
    assert rendered.returncode == 0, rendered.stderr
    fourth, third = rendered.stdout, template(chart, name).stdout
    if (chart, name) not in FIXED:
        fourth, third = (
            re.sub(r"(password|url): \S+", r"\1: random", text) for text in (fourth, third)
        )
    assert documents(fourth) == documents(third)
