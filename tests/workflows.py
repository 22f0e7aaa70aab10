"""Run the commands of a workflow's job as GitHub's runner does, with stand-ins for programs."""

import os
from pathlib import Path

import yaml

from tests.support import run


def run_job(workflow: Path, job: str, cwd: Path, programs: Path, **environment: str) -> str:
    """Run a job's `run` steps in their order; return what they print, fail when one fails.

    Args:
        workflow: the workflow's file.
        job: the job's key.
        cwd: the checkout.
        programs: a folder that PATH begins with.
        environment: variables, which take precedence over those of the steps.
    """
    variables = {
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "RUNNER_TEMP": str(programs.parent),
        "GITHUB_ENV": str(programs.parent / "github-env"),
        "GITHUB_STEP_SUMMARY": str(programs.parent / "summary"),
        **environment,
    }
    Path(variables["GITHUB_ENV"]).touch()
    printed = ""
    for step in yaml.safe_load(workflow.read_text())["jobs"][job]["steps"]:
        if "run" in step:
            lines = Path(variables["GITHUB_ENV"]).read_text().splitlines()
            exported = dict(line.split("=", 1) for line in lines)
            command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
            printed += run(command, cwd=cwd, **step.get("env", {}) | exported | variables)
    return printed


def stand_in(programs: Path, name: str, script: str) -> None:
    """Write a program that appends its arguments to `calls` and then runs a script."""
    programs.mkdir(exist_ok=True)
    calls = programs.parent / "calls"
    path = programs / name
    path.write_text(f'#!/bin/bash\necho {name} "$@" >> {calls}\n{script}\n')
    path.chmod(0o755)
