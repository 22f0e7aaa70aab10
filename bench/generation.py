"""Measure the time from the prompts to the first response: `make bench ARGS=generation`.

Generation runs in this process, as in a test suite that generates services. The time to the first
200 includes the installation of the service's dependencies from a warm package cache, migrations,
example data, and the start of Redis and gunicorn.
"""

import shutil
import tempfile
import time
from pathlib import Path

from bench.publication import publish, spread, table_of
from tests.running import Service
from tests.support import generate, run, template

ROUNDS = 7


def main() -> None:
    source = template()
    with tempfile.TemporaryDirectory() as folder:
        times = []
        for number in range(ROUNDS + 1):
            started = time.perf_counter()
            project = generate(source, Path(folder, str(number)))
            times.append(time.perf_counter() - started)
        first, *warm = times
        rows = [
            ["generation, first in the process", f"{first:.2f}"],
            [f"generation, {ROUNDS} more", spread(warm, 2)],
        ]

        run(["make", "install"], cwd=project.path)  # fills the package cache
        shutil.rmtree(folder)
        started = time.perf_counter()
        project = generate(source, Path(folder))
        log = Path(folder, "service.log")
        with Service(["make", "run"], project.path, log) as service:
            assert service.get("/api/blogs/").status == 200
            rows.append(["generation to the first 200", f"{time.perf_counter() - started:.2f}"])
    publish("generation", table_of(["", "s"], rows), {"generation": times})
