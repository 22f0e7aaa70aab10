"""The release under test, and a pod that sends requests to it, by kubectl."""

import json
import math
import secrets
import subprocess
import threading
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any, Self

# The client's proxy has addresses of benchmarks (RFC 2544); a throttle sees a client for each.
HEADERS = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "198.18.{a}.{b}"}
_RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
    "runAsNonRoot": True,
}


@dataclass(frozen=True)
class Target:
    """A Deployment of the web chart, whose Service has the same name.

    Attributes:
        namespace: of all objects.
        deployment: its name.
        port: the Service's port.
        paths: of the requests; `{n}` is a number, which makes a URL that is not cached.
        rate: requests per second.
    """

    namespace: str
    deployment: str
    port: int
    paths: list[str]
    rate: float

    def kubectl(self, *arguments: str) -> str:
        """Run kubectl in the namespace and return its output.

        Raises:
            SystemExit: it failed.
        """
        command = ["kubectl", "--namespace", self.namespace, *arguments]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout}")
        return done.stdout

    def get(self, kind: str, name: str) -> Any:
        return json.loads(self.kubectl("get", kind, name, "--output=json"))

    def pods_of(self, owner: str) -> list[str]:
        """Return the names of the pods of an object such as statefulset/redis."""
        labels = self.get(*owner.split("/", 1))["spec"]["selector"]["matchLabels"]
        selector = ",".join(f"{key}={value}" for key, value in labels.items())
        found = self.kubectl("get", "pods", "--selector", selector, "--output=name")
        return [name.removeprefix("pod/") for name in found.split()]

    def web_pod(self) -> str:
        return self.pods_of(f"deployment/{self.deployment}")[0]

    def settle(self, owner: str) -> None:
        """Wait until an object's pods are ready."""
        self.kubectl("rollout", "status", owner, "--timeout=180s")


class Client:
    """A pod that runs the service's image, in a `with` block."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.name = f"drill-{secrets.token_hex(3)}"

    def __enter__(self) -> Self:
        spec = self.target.get("deployment", self.target.deployment)["spec"]["template"]["spec"]
        container = {
            "name": self.name,
            "image": spec["containers"][0]["image"],
            "imagePullPolicy": spec["containers"][0]["imagePullPolicy"],
            "command": ["sleep", "3600"],
            "securityContext": _RESTRICTED,
        }
        pod = {
            "containers": [container],
            "imagePullSecrets": spec.get("imagePullSecrets", []),
            "securityContext": spec.get("securityContext", {}),
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 0,
        }
        self.target.kubectl(
            *("run", self.name, "--restart=Never", f"--image={container['image']}"),
            f"--overrides={json.dumps({'spec': pod})}",
        )
        self.target.kubectl("wait", "--for=condition=Ready", f"pod/{self.name}", "--timeout=60s")
        return self

    def __exit__(self, *error: object) -> None:
        self.target.kubectl("delete", "pod", self.name, "--wait=false")

    def start(self, module: str, **options: Any) -> subprocess.Popen[str]:
        """Start a program of this package in the pod. It ends when its standard input ends."""
        command = ["kubectl", "--namespace", self.target.namespace, "exec", "--stdin", self.name]
        program = ["python", "-m", f"{__package__}.{module}", json.dumps(options)]
        pipe = subprocess.PIPE
        return subprocess.Popen([*command, "--", *program], stdin=pipe, stdout=pipe, text=True)


class Load:
    """Requests to the release, in a `with` block; then `results` has one dictionary for each."""

    def __init__(self, client: Client, **options: Any) -> None:
        target = client.target
        defaults = {"paths": target.paths, "rate": target.rate, "threads": 64, "headers": HEADERS}
        limits = {"count": 1_000_000, "seconds": 600, "port": target.port}
        # Numbers that no earlier load has used: its responses are in the cache.
        first = {"first": int(time.time() * 1000)}
        self._options = {"host": target.deployment, **limits, **defaults, **first, **options}
        self._client = client
        self.results: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        self._process = self._client.start("load", **self._options)
        self._started = time.monotonic()
        self._last = ""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        return self

    def _read(self) -> None:
        for line in self._process.stdout or ():
            self._last = line

    def __exit__(self, *error: object) -> None:
        if self._process.stdin:
            self._process.stdin.close()
        self._process.wait()
        self._reader.join()
        if not self._last.startswith("["):
            raise SystemExit(f"The load ended early: {self._last!r}")
        self.results = json.loads(self._last)

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self._started


def figures(results: list[dict[str, Any]], failed_at: float | None = None) -> dict[str, Any]:
    """Return the figures of a drill.

    Args:
        results: one dictionary for each request.
        failed_at: when the failure began, in seconds of the load; None if there was none.
    """
    failed = [result for result in results if result.get("status") != 200]
    durations: list[float] = sorted(result["duration"] for result in results)

    def quantile(share: float) -> float:
        position = max(0, math.ceil(share * len(durations)) - 1)
        return round(1000 * durations[position], 1)

    ends = [result["start"] + result["duration"] for result in failed]
    outcomes = Counter(str(result.get("status") or result["error"]) for result in failed)
    return {
        "requests": len(results),
        "failed": len(failed),
        "p50 ms": quantile(0.5),
        "p99 ms": quantile(0.99),
        "recovery s": round(max(0.0, max(ends, default=0) - failed_at), 1) if failed_at else 0,
        "failures": ", ".join(f"{count} x {outcome}" for outcome, count in outcomes.items()),
    }
