"""Measure invalidation with a million cached results: `make bench-scale`."""

import tempfile
from pathlib import Path

from bench.serving import installed, publish
from tests.support import ROOT, run


def main() -> None:
    with (
        tempfile.TemporaryDirectory() as name,
        installed(Path(name)) as (project, _, environment),
    ):
        python = project.path / ".venv/bin/python"
        environment["DJANGO_SETTINGS_MODULE"] = f"{project.slug}.settings"
        text = run([python, ROOT / "bench/inside/scale_service.py"], project.path, **environment)
    publish("scale.md", text)


if __name__ == "__main__":
    main()
