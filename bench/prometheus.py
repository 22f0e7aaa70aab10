"""A real Prometheus with the configuration of `make observe`, and its HTTP API."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import yaml

from tests.running import free_port, request, wait_for
from tests.support import BakedProject

SCRAPE_SECONDS, STEP_SECONDS = 1, 2


class Series(NamedTuple):
    """A time series: its labels, the times in Unix seconds, and the values."""

    labels: dict[str, str]
    times: list[float]
    values: list[float]


class Prometheus:
    """The HTTP API of a server."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}"

    def is_ready(self) -> bool:
        """Return whether the server serves queries."""
        try:
            return request(f"{self._url}/-/ready").status == 200
        except OSError:
            return False

    def label_values(self, series: str, label: str) -> list[str]:
        """Return the values of a label of some series."""
        found: list[str] = self._get(f"label/{label}/values", **{"match[]": series})
        return found

    def query_range(self, query: str, start: float, end: float) -> list[Series]:
        """Return the series of a query between two times in Unix seconds."""
        found = self._get("query_range", query=query, start=start, end=end, step=STEP_SECONDS)
        return [
            Series(
                each["metric"],
                [time for time, _ in each["values"]],
                [float(value) for _, value in each["values"]],
            )
            for each in found["result"]
        ]

    def _get(self, path: str, **parameters: object) -> Any:
        response = request(f"{self._url}/api/v1/{path}?{urlencode(parameters)}")
        assert response.status == 200, response.body
        return response.json()["data"]


@contextmanager
def running_prometheus(project: BakedProject, ops_port: int, folder: Path) -> Iterator[Prometheus]:
    """Run a Prometheus that scrapes a service every second.

    Args:
        project: the service, whose compose.yaml has the configuration.
        ops_port: its port of metrics.
        folder: a folder for the configuration, the data and the log.
    """
    program = shutil.which("prometheus")
    if not program:
        sys.exit("Prometheus is not installed. `make bench ARGS=dashboard` builds it.")
    content = yaml.safe_load(project.read("compose.yaml"))["configs"]["prometheus"]["content"]
    chart = str(project.path / "helm/web/files")
    content = re.sub(r"\$\{OPS_PORT:-\d+\}", str(ops_port), content).replace("/chart", chart)
    every = f"{SCRAPE_SECONDS}s"
    configuration = yaml.safe_load(content)
    configuration["global"] = {"scrape_interval": every, "evaluation_interval": every}
    file = folder / "prometheus.json"
    file.write_text(json.dumps(configuration))
    port, log = free_port(), folder / "prometheus.log"
    command = [program, f"--config.file={file}", f"--storage.tsdb.path={folder / 'prometheus'}"]
    with log.open("w") as output:
        process = subprocess.Popen(
            [*command, f"--web.listen-address=127.0.0.1:{port}"],
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    prometheus = Prometheus(port)
    try:
        wait_for(prometheus.is_ready, f"Prometheus, see {log}")
        yield prometheus
    finally:
        process.terminate()
        process.wait()
