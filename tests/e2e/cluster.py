"""A namespace of the cluster: its objects, the releases in it, and requests from a pod of it."""

import collections
import json
import math
import os
import shlex
import shutil
import subprocess
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import kubernetes

from ..running import Answer, wait_for
from ..support import ROOT

LOAD = Path(__file__).with_name("load.py")
TESTER = "tester"


def helm_program() -> list[str]:
    """Return the helm to use."""
    if named := os.environ.get("E2E_HELM"):
        return shlex.split(named)
    return [shutil.which("helm") or str(ROOT / ".tools" / "bin" / "helm")]


class Cluster:
    """One namespace, by the API's client where the tests look often, else by kubectl and helm."""

    def __init__(self, namespace: str) -> None:
        kubernetes.config.load_kube_config()
        self.namespace = namespace
        self.core = kubernetes.client.CoreV1Api()
        self.apps = kubernetes.client.AppsV1Api()
        self.autoscaling = kubernetes.client.AutoscalingV2Api()
        self._custom = kubernetes.client.CustomObjectsApi()

    def kubectl(self, *arguments: str, stdin: str = "", check: bool = True) -> str:
        """Run kubectl in the namespace; return what it printed."""
        return self._run(["kubectl"], arguments, stdin, check).stdout

    def helm(self, *arguments: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run helm in the namespace, whatever its exit status if `check` is false."""
        return self._run(helm_program(), list(map(str, arguments)), "", check)

    def _run(
        self, program: list[str], arguments: Sequence[str], stdin: str, check: bool
    ) -> subprocess.CompletedProcess[str]:
        result = subprocess.run(
            # First, since what follows a `--` is not kubectl's.
            [*program, "--namespace", self.namespace, *arguments],
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if check and result.returncode:
            line = shlex.join([*program, *arguments])
            raise AssertionError(f"{line} ended with {result.returncode}:\n{result.stdout}")
        return result

    def apply(self, *objects: dict[str, Any]) -> None:
        """Create or change objects."""
        items = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        self.kubectl("apply", "--filename=-", stdin=json.dumps(items))

    def execute(self, pod: str, *command: str) -> str:
        """Run a command in a pod; return what it printed."""
        return self.kubectl("exec", pod, "--", *command)

    def pods(self, **labels: str) -> list[Any]:
        """Return the pods with these labels of app.kubernetes.io, those that are ending too."""
        selector = ",".join(f"app.kubernetes.io/{key}={value}" for key, value in labels.items())
        return self.core.list_namespaced_pod(self.namespace, label_selector=selector).items

    def wait_ready(self, name: str, seconds: float = 120) -> Any:
        """Wait until a pod is ready, and return it."""

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
        """Return what metrics-server knows of a pod, if it does."""
        try:
            return self._custom.get_namespaced_custom_object(
                "metrics.k8s.io", "v1beta1", self.namespace, "pods", pod
            )
        except kubernetes.client.ApiException as error:
            if error.status == 404:
                return None
            raise

    def image_bytes(self, name: str) -> int | None:
        """Return the size of an image on a node, if the node tells it."""
        sizes = {
            image_name: image.size_bytes
            for node in self.core.list_node().items
            for image in node.status.images or []
            for image_name in image.names or []
        }
        return sizes.get(name)

    def describe(self) -> str:
        """Return what happened of late, for whoever has to find out why a test failed."""
        texts = [
            self.kubectl("get", "pods,jobs,hpa,pdb", "--output=wide", check=False),
            self.kubectl("get", "events", "--sort-by=.lastTimestamp", check=False)[-6000:],
        ]
        for pod in self.core.list_namespaced_pod(self.namespace).items:
            for option in ("--previous=false", "--previous"):
                name = pod.metadata.name
                log = self.kubectl("logs", name, "--tail=12", option, check=False)
                if "not found" not in log:
                    texts.append(f"--- {name} {option}\n{log[-3000:]}")
        return "\n".join(texts)

    def get(self, host: str, path: str, port: int = 80, **headers: str) -> Answer:
        """Request a path from inside the cluster."""
        with Load(self, host, [path], headers, port=port, body=True) as load:
            load.finish()
        answer = load.answers.items[0]
        assert "error" not in answer, answer
        headers = {name.lower(): value for name, value in answer["headers"].items()}
        return Answer(answer["status"], "", headers, answer["body"])


def is_ready(pod: Any) -> bool:
    """Tell whether a pod is ready, and not about to end."""
    conditions = {item.type: item.status for item in pod.status.conditions or []}
    return conditions.get("Ready") == "True" and not pod.metadata.deletion_timestamp


def restarts(pods: Sequence[Any]) -> dict[str, int]:
    """Return how often each pod's containers were started again."""
    return {
        pod.metadata.name: sum(
            status.restart_count for status in pod.status.container_statuses or []
        )
        for pod in pods
    }


@dataclass(frozen=True)
class Answers:
    """What became of requests."""

    items: list[dict[str, Any]]

    @property
    def outcomes(self) -> dict[str, int]:
        """How many answers had each status, or which error there was instead."""
        return dict(
            collections.Counter(str(item.get("status") or item["error"]) for item in self.items)
        )

    @property
    def failed(self) -> list[dict[str, Any]]:
        """The requests without an answer of 200."""
        return [item for item in self.items if item.get("status") != 200]

    @property
    def outage(self) -> float:
        """Seconds from the first failed request's start to the last one's end."""
        if not self.failed:
            return 0
        ends = [item["start"] + item["duration"] for item in self.failed]
        return max(ends) - min(item["start"] for item in self.failed)

    def milliseconds(self, quantile: float) -> float:
        """Return a quantile of the durations."""
        durations = sorted(item["duration"] for item in self.items)
        return round(1000 * durations[max(0, math.ceil(quantile * len(durations)) - 1)], 1)

    def figures(self) -> dict[str, Any]:
        """Return what is reported of a load."""
        return {
            "requests": len(self.items),
            "failed": len(self.failed),
            "p50 ms": self.milliseconds(0.5),
            "p99 ms": self.milliseconds(0.99),
            "slowest ms": self.milliseconds(1),
        }


class Load:
    """Requests while a `with` block lasts; after it, `answers` has what became of them.

    See load.py for the options.
    """

    answers: Answers

    def __init__(
        self, cluster: Cluster, host: str, paths: list[str], headers: dict[str, str], **options: Any
    ) -> None:
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        self._options = {"host": host, "paths": paths, "headers": headers, **options}
        self._cluster = cluster

    def __enter__(self) -> Self:
        kubectl = ["kubectl", "--namespace", self._cluster.namespace, "exec", "--stdin", TESTER]
        self._process = subprocess.Popen(
            [*kubectl, "--", "python", f"/load/{LOAD.name}", json.dumps(self._options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._count, self._last = 0, ""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._process.stdin.close()
        self._process.wait()
        self._reader.join()
        assert self._last.startswith("["), f"the load ended with {self._last!r}"
        self.answers = Answers(json.loads(self._last))

    def finish(self) -> None:
        """Wait until all requests that were asked for are done."""
        self._process.wait()

    def _read(self) -> None:
        for line in self._process.stdout:
            self._last = line
            if line.strip().isdigit():
                self._count = int(line)

    def more(self, count: int, seconds: float = 120) -> None:
        """Wait for more answers."""
        target = self._count + count

        def arrived() -> bool:
            assert self._process.poll() is None, f"the load has ended: {self._last[:200]}"
            return self._count >= target

        wait_for(arrived, f"{count} more answers", seconds)
