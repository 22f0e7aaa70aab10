"""Measure throttles in a Redis Cluster of three masters: `python -m bench.cluster`."""

import os
import tempfile
from pathlib import Path

from bench.publication import publish
from bench.serving import installed
from tests.support import ROOT, run


def main() -> None:
    with (
        tempfile.TemporaryDirectory() as name,
        installed(Path(name)) as (project, _, environment),
    ):
        # The tests of the runtime can start a cluster.
        runtime = project.path / "packages/service-runtime"
        environment["PYTHONPATH"] = f"{runtime}{os.pathsep}{environment['PYTHONPATH']}"
        environment["LOG_LEVEL"] = "CRITICAL"
        text = run(
            [project.path / ".venv/bin/python", ROOT / "bench/inside/cluster_service.py"],
            project.path,
            **environment,
        )
    publish("cluster", text)
