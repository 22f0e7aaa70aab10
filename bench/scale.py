"""Measure invalidation with a million cached results: `make bench ARGS=scale`."""

import json
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
        python = project.path / ".venv/bin/python"
        environment["DJANGO_SETTINGS_MODULE"] = f"{project.slug}.settings"
        text = run([python, ROOT / "bench/inside/scale_service.py"], project.path, **environment)
    table, _, data = text.partition("\n\0")
    publish("scale", table, json.loads(data))
