"""Programs for the chart tests: named by a variable, on PATH, or in .tools."""

import os
import shutil
from pathlib import Path

import pytest

from tests.support import ROOT


def program(variable: str, name: str | None, place: str) -> Path:
    """Return a program's path; fail the calling test if it is not installed.

    Args:
        variable: environment variable with its path.
        name: its name on PATH, if any.
        place: its path in .tools, where `make test` installs it.
    """
    named = os.environ.get(variable) or (name and shutil.which(name)) or ROOT / ".tools" / place
    if not Path(named).is_file():
        pytest.fail(f"the chart tests need {place}: `make test` installs it into .tools")
    return Path(named)


def helm() -> Path:
    """Return Helm 3."""
    return program("HELM", "helm", "bin/helm")


def helm4() -> Path:
    """Return Helm 4."""
    return program("HELM4", None, "helm4/helm")


def kube_score() -> Path:
    """Return kube-score."""
    return program("KUBE_SCORE", "kube-score", "bin/kube-score")


def promtool() -> Path:
    """Return promtool."""
    return program("PROMTOOL", "promtool", "bin/promtool")


def checkov() -> Path:
    """Return checkov, which has a separate environment."""
    return program("CHECKOV", "checkov", "checkov/bin/checkov")
