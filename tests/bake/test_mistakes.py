"""The first commands on a machine that lacks something say what to do, and leave nothing behind."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import BakedProject, bake


@pytest.fixture
def project(tmp_path) -> BakedProject:
    """Return a service on which nothing has run."""
    return bake().copy(tmp_path)


@pytest.fixture
def programs(tmp_path) -> Path:
    """Return a folder for PATH that has only what make needs."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("make", "sh", "cp", "mkdir", "rm", "touch"):
        (folder / name).symlink_to(str(shutil.which(name)))
    return folder


def add(programs: Path, name: str, script: str) -> None:
    """Add a program to the folder."""
    (programs / name).write_text(f"#!/bin/sh\n{script}\n")
    (programs / name).chmod(0o755)


def make(project: BakedProject, programs: Path, target: str) -> list[str]:
    """Run a target that fails, and return what it prints, without make's own last line."""
    result = subprocess.run(
        ["make", "--no-print-directory", target],
        cwd=project.path,
        env={"PATH": str(programs)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        check=False,
    )
    *lines, last = result.stdout.splitlines()
    assert result.returncode == 2
    assert last.startswith("make: *** [")
    return lines


@pytest.mark.parametrize("target", ["image", "up", "observe", "down"])
def test_missing_docker_is_named_before_anything_is_installed(project, programs, target):
    before = project.contents()

    assert make(project, programs, target) == [
        "docker is not installed: install it as https://docs.docker.com/get-started/get-docker/"
        " describes."
    ]
    assert project.contents() == before


def test_uv_that_cannot_be_installed_leaves_nothing(project, programs):
    add(programs, "python3", "mkdir -p .tools/bin; echo 'ensurepip is not available'; exit 1")

    assert make(project, programs, "install") == [
        "ensurepip is not available",
        "uv could not be installed: fix the error above and run make again,",
        "or install uv as https://docs.astral.sh/uv/getting-started/installation/ describes.",
    ]
    assert not (project.path / ".tools").exists()


@pytest.mark.parametrize("target", ["install", "run"])
def test_dependencies_that_cannot_be_installed_stop_the_command(project, programs, target):
    add(programs, "uv", "echo 'error: Failed to fetch'; exit 2")

    assert make(project, programs, target)[-3:] == [
        "error: Failed to fetch",
        "The dependencies could not be installed: fix the error above and run make again.",
        "They come from PyPI: behind a proxy set HTTPS_PROXY, or set UV_DEFAULT_INDEX to another"
        " index.",
    ]


def test_manage_py_in_another_python_names_the_command():
    result = subprocess.run(
        [sys.executable, "manage.py", "check"],
        cwd=bake().path,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        check=False,
    )

    assert result.returncode == 1
    assert result.stderr == (
        f"The service's packages are not installed in {sys.executable}. "
        "Run `make install`, then `.venv/bin/python manage.py`.\n"
    )
