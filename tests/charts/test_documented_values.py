"""Values in the deployment guide are valid, and work with those of a new service."""

import re

import pytest
import yaml

from tests.charts.conftest import CHARTS

GUIDE = CHARTS.parent / "docs" / "deploying.md"
VALUES = yaml.safe_load((CHARTS / "web" / "values.yaml").read_text())


def documented():
    """Return the guide's blocks of values for the web chart."""
    found = []
    text = GUIDE.read_text().replace("{{ name }}", "acme-blog")
    for block in re.findall(r"(?:^(?: {4}.*)?\n)+", text, re.MULTILINE):
        for part in re.split(r"^ {4}(?=# deploy/)", block, flags=re.MULTILINE):
            try:
                values = yaml.safe_load(part)
            except yaml.YAMLError:
                continue  # a command
            if isinstance(values, dict) and values.keys() <= VALUES.keys():
                found.append(values)
    return found


def test_the_guide_has_values():
    keys = {key for values in documented() for key in values}
    assert {"autoscaling", "database", "env", "ingress", "initContainers", "jobs"} <= keys
    assert {"cronJobs", "metrics", "workers"} <= keys


@pytest.mark.parametrize("values", documented(), ids=lambda values: "-".join(values))
def test_values_in_the_guide_are_valid(helm, deploy_values, values):
    production = deploy_values / "production.yaml"
    options = ("--kube-version", "1.34.0", "--values", production, "--values", "-")
    result = helm("template", "release", CHARTS / "web", *options, values=yaml.safe_dump(values))
    assert result.returncode == 0, result.stderr
