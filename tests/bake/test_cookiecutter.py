"""The oldest version of cookiecutter that README.md names generates the same service."""

import re
import sys

import pytest

from tests.support import ROOT, UV, BakedProject, bake, run, template

pytestmark = pytest.mark.network


def test_the_oldest_cookiecutter_generates_the_same_service(tmp_path):
    oldest = re.findall(r"Cookiecutter ([\d.]+) or newer", (ROOT / "README.md").read_text())
    python = tmp_path / "venv/bin/python"
    run([UV, "venv", "--quiet", "--python", sys.executable, "venv"], cwd=tmp_path)
    run(
        [UV, "pip", "install", "--quiet", "--python", python, f"cookiecutter=={oldest[0]}"],
        cwd=tmp_path,
    )

    run([python, "-m", "cookiecutter", "--no-input", template()], cwd=tmp_path)

    assert BakedProject(tmp_path / "acme_blog", {}).contents() == bake().contents()
