"""A namespace of the cluster: its objects, its releases, and requests from one of its pods."""

import collections
import json
import math
import os
import shlex
import shutil
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from email import message_from_string
from pathlib import Path
from typing import IO, Any, Self

import kubernetes

from ..running import Response, wait_for
from ..support import ROOT

LOAD = "service_runtime.drills.load"  # in the service's image
TESTER = "tester"


def helm_program(version: int | None = None) -> list[str]:
    """Return the Helm command: that of the tests, or of version 4."""
    if version == 4:
        return [str(ROOT / ".tools" / "helm4" / "helm")]
    if named := os.environ.get("E2E_HELM"):
        return shlex.split(named)
    return [shutil.which("helm") or str(ROOT / ".tools" / "bin" / "helm")]


class Cluster:
    """One namespace. Frequent reads use the API client, everything else kubectl and Helm."""

    def __init__(self, namespace: str) -> None:
        kubernetes.config.load_kube_config()
        self.namespace = namespace
        self.core = kubernetes.client.CoreV1Api()
        self.apps = kubernetes.client.AppsV1Api()
        self.autoscaling = kubernetes.client.AutoscalingV2Api()
        self._custom: Any = kubernetes.client.CustomObjectsApi()

    def kubectl(self, *arguments: str, stdin: str = "", check: bool = True) -> str:
        """Run kubectl in the namespace and return its output."""
        return self._run(["kubectl"], arguments, stdin, check).stdout

    def helm(self, *arguments: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run Helm in the namespace; ignore its exit status if `check` is false."""
        return self._run(helm_program(), list(map(str, arguments)), "", check)

    def _run(
        self, program: list[str], arguments: Sequence[str], stdin: str, check: bool
    ) -> subprocess.CompletedProcess[str]:
        result = subprocess.run(
            # First, since kubectl ignores options after `--`.
            [*program, "--namespace", self.namespace, *arguments],
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if check and result.returncode:
            line = shlex.join([*program, *arguments])
            raise AssertionError(f"{line} exited with {result.returncode}:\n{result.stdout}")
        return result

    def apply(self, *objects: dict[str, Any]) -> None:
        """Create or update objects."""
        items = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        self.kubectl("apply", "--filename=-", stdin=json.dumps(items))

    def execute(self, pod: str, *command: str) -> str:
        """Run a command in a pod and return its output."""
        return self.kubectl("exec", pod, "--", *command)

    def query(self, sql: str) -> str:
        """Return the value of a query in the service's database."""
        script = 'PGPASSWORD="$POSTGRES_PASSWORD" exec psql -h 127.0.0.1 -U postgres blog -Atc "$1"'
        return self.execute("postgres-0", "sh", "-c", script, "sh", sql).strip()

    def pods(self, **labels: str) -> list[Any]:
        """Return the pods with these app.kubernetes.io labels, including terminating ones."""
        selector = ",".join(f"app.kubernetes.io/{key}={value}" for key, value in labels.items())
        return self.core.list_namespaced_pod(self.namespace, label_selector=selector).items

    def wait_ready(self, name: str, seconds: float = 120) -> Any:
        """Wait until a pod is ready and return it."""

        def ready() -> Any:
            try:
                pod = self.core.read_namespaced_pod(name, self.namespace)
            except kubernetes.client.ApiException as error:
                if error.status == 404:  # between a StatefulSet's old pod and its new one
                    return None
                raise
            return is_ready(pod) and pod

        return wait_for(ready, f"{name} to be ready", seconds)

    def metrics(self, pod: str) -> dict[str, Any] | None:
        """Return a pod's metrics from metrics-server, if there are any."""
        try:
            return self._custom.get_namespaced_custom_object(
                "metrics.k8s.io", "v1beta1", self.namespace, "pods", pod
            )
        except kubernetes.client.ApiException as error:
            if error.status == 404:
                return None
            raise

    def image_bytes(self, name: str) -> int | None:
        """Return the size of an image, if a node reports it."""
        nodes: list[Any] = self.core.list_node().items
        sizes = {
            image_name: image.size_bytes
            for node in nodes
            for image in node.status.images or []
            for image_name in image.names or []
        }
        return sizes.get(name)

    def describe(self) -> str:
        """Return recent events and logs, to diagnose a failed test."""
        texts = [
            self.kubectl("get", "pods,jobs,hpa,pdb", "--output=wide", check=False),
            self.kubectl("get", "events", "--sort-by=.lastTimestamp", check=False)[-6000:],
        ]
        for pod in self.pods():
            for option in ("--previous=false", "--previous"):
                name = pod.metadata.name
                log = self.kubectl("logs", name, "--tail=12", option, check=False)
                if "not found" not in log:
                    texts.append(f"--- {name} {option}\n{log[-3000:]}")
        return "\n".join(texts)

    def get(self, host: str, path: str, port: int = 80, **headers: str) -> Response:
        """Send a GET request from inside the cluster."""
        with Load(self, host, [path], headers, port=port, body=True) as load:
            load.finish()
        result = load.results.items[0]
        assert "error" not in result, result
        head = "".join(f"{name}: {value}\n" for name, value in result["headers"].items())
        return Response(result["status"], "", message_from_string(head), result["body"])


def is_ready(pod: Any) -> bool:
    """Return whether a pod is ready and not terminating."""
    conditions = {item.type: item.status for item in pod.status.conditions or []}
    return conditions.get("Ready") == "True" and not pod.metadata.deletion_timestamp


def restarts(pods: Sequence[Any]) -> dict[str, int]:
    """Return how often each pod's containers have restarted."""
    return {
        pod.metadata.name: sum(item.restart_count for item in pod.status.container_statuses or [])
        for pod in pods
    }


@dataclass(frozen=True)
class Results:
    """The results of requests: a response or an error each."""

    items: list[dict[str, Any]]

    @property
    def outcomes(self) -> dict[str, int]:
        """The number of results for each status or error."""
        outcomes = (str(item.get("status") or item["error"]) for item in self.items)
        return dict(collections.Counter(outcomes))

    @property
    def failed(self) -> list[dict[str, Any]]:
        """The results other than a 200."""
        return [item for item in self.items if item.get("status") != 200]

    @property
    def is_served(self) -> bool:
        """Whether all were served, but for a few that were rejected for overload.

        On a small node, a pod that starts takes the processor from the others for a moment.
        """
        statuses = {item.get("status") for item in self.failed}
        return statuses <= {503} and len(self.failed) <= len(self.items) / 200

    @property
    def outage(self) -> float:
        """Seconds from the start of the first failed request to the end of the last."""
        if not self.failed:
            return 0
        ends = [item["start"] + item["duration"] for item in self.failed]
        return max(ends) - min(item["start"] for item in self.failed)

    def milliseconds(self, quantile: float) -> float:
        """Return a quantile of the durations in milliseconds."""
        durations = sorted(item["duration"] for item in self.items)
        return round(1000 * durations[max(0, math.ceil(quantile * len(durations)) - 1)], 1)

    def figures(self) -> dict[str, Any]:
        """Return the figures for the report."""
        return {
            "requests": len(self.items),
            "failed": len(self.failed),
            "p50 ms": self.milliseconds(0.5),
            "p99 ms": self.milliseconds(0.99),
            "slowest ms": self.milliseconds(1),
        }


class Load:
    """Send requests in a `with` block, then set `results`; the program documents the options."""

    results: Results

    def __init__(
        self, cluster: Cluster, host: str, paths: list[str], headers: dict[str, str], **options: Any
    ) -> None:
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        # Numbers that no earlier load has used: its responses are in the cache.
        first = {"first": int(time.time() * 1000)}
        target = {"host": host, "paths": paths, "headers": headers}
        self._options = {**target, **first, **options}
        self._cluster = cluster

    def __enter__(self) -> Self:
        kubectl = ["kubectl", "--namespace", self._cluster.namespace, "exec", "--stdin", TESTER]
        self._process = subprocess.Popen(
            [*kubectl, "--", "python", "-m", LOAD, json.dumps(self._options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._count, self._last = 0, ""
        self.started = time.monotonic()
        self._reader = threading.Thread(target=self._read, args=[self._process.stdout])
        self._reader.start()
        return self

    def __exit__(self, *error: object) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()
        self._reader.join()
        assert self._last.startswith("["), f"the load ended after {self._last!r}"
        self.results = Results(json.loads(self._last))

    def finish(self) -> None:
        """Wait until all requests have completed."""
        self._process.wait()

    def _read(self, output: IO[str]) -> None:
        for line in output:
            self._last = line
            if line.strip().isdigit():
                self._count = int(line)

    def more(self, count: int, seconds: float = 120) -> None:
        """Wait for more results."""
        target = self._count + count

        def arrived() -> bool:
            assert self._process.poll() is None, f"the load ended: {self._last[:200]}"
            return self._count >= target

        wait_for(arrived, f"{count} more results", seconds)
