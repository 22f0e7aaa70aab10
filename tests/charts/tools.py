"""The programs that the tests of the charts run: named by a variable, on PATH, or in .tools."""

import os
import shutil
from pathlib import Path

import pytest

from tests.support import ROOT


def program(variable: str, name: str | None, place: str) -> Path:
    """Return a program's path; fail the test that needs it where there is none.

    Args:
        variable: the environment variable that may name it.
        name: what PATH may have it as.
        place: where `make test` puts it, in .tools.
    """
    named = os.environ.get(variable) or (name and shutil.which(name)) or ROOT / ".tools" / place
    if not Path(named).is_file():
        pytest.fail(f"the tests of the charts need {place}: `make test` fetches it into .tools")
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


def checkov() -> Path:
    """Return checkov, which has an environment of its own."""
    return program("CHECKOV", "checkov", "checkov/bin/checkov")
