"""The web chart's release: upgrades, load and metrics."""

import itertools
from pathlib import Path
from typing import Any

import yaml

from ..running import Response, wait_for
from .cluster import Cluster, Load, Results, is_ready
from .images import RELEASE

RELEASE_NAME = "acme-blog"
HOST = "acme-blog-web"
# The service trusts one proxy, as behind an Ingress. The tests send the headers of that proxy.
PROXY = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.1"}
# Two responses from the cache, and one from the database, whose URL is new.
PATHS = ["/api/blogs/", "/api/blogs/1/", "/api/blogs/?e2e={n}"]
AUTHOR_LIMIT = 40
# Small enough for a node with two cores, and faster to scale than the defaults.
VALUES: dict[str, Any] = {
    "image": {"tag": RELEASE},
    "throttles": {"blog_limit": "1000000/hour", "author_limit": f"{AUTHOR_LIMIT}/hour"},
    "server": {"preStopSeconds": 3, "gracefulTimeoutSeconds": 10},
    "autoscaling": {
        "minReplicas": 2,
        "maxReplicas": 4,
        # 360m: more than each of two pods uses for 50 requests per second on a slow node.
        "targetCPUUtilizationPercentage": 180,
        "behavior": {
            # Do not scale out on the CPU use of a starting pod.
            "scaleUp": {
                "stabilizationWindowSeconds": 20,
                "policies": [{"type": "Pods", "value": 2, "periodSeconds": 15}],
            },
            "scaleDown": {
                "stabilizationWindowSeconds": 15,
                "policies": [{"type": "Pods", "value": 2, "periodSeconds": 15}],
            },
        },
    },
    "resources": {"requests": {"cpu": "200m"}},
    "probes": {"readiness": {"periodSeconds": 2}},
}


class Web:
    """The release, in a cluster's namespace.

    Args:
        cluster: the namespace.
        chart: folder of the chart.
        production: the service's values file for production.
    """

    def __init__(self, cluster: Cluster, chart: Path, production: Path) -> None:
        self.cluster = cluster
        self.chart, self._production = chart, production
        self._clients = itertools.count(1)
        self._changed = False

    def upgrade(self, *options: str, check: bool = True, **values: Any) -> Any:
        """Install or upgrade the release with VALUES and these values, and wait for it."""
        self._changed = bool(values)
        command: list[str | Path] = ["upgrade", "--install", RELEASE_NAME, self.chart]
        for number, layer in enumerate((VALUES, values)):
            path = self._production.with_name(f"e2e-{number}.yaml")
            path.write_text(yaml.safe_dump(layer))
            command += ["--values", path]
        command[4:4] = ["--values", self._production]
        return self.cluster.helm(*command, "--wait", *options, check=check)

    def restore(self) -> None:
        """Restore VALUES after a change, and the minimum number of pods."""
        if self._changed:
            self.upgrade()
        self.settle()

    def pods(self) -> list[Any]:
        """Return the release's pods, including terminating ones."""
        return self.cluster.pods(instance=RELEASE_NAME, component="server")

    def settle(self, seconds: float = 180) -> list[Any]:
        """Wait for exactly two ready pods of one revision, and return them."""

        def settled() -> list[Any] | None:
            pods = self.pods()
            revisions = {pod.metadata.labels["pod-template-hash"] for pod in pods}
            steady = len(pods) == 2 and len(revisions) == 1 and all(map(is_ready, pods))
            return pods if steady else None

        return wait_for(settled, "two ready pods of one revision", seconds)

    def restart(self) -> None:
        """Restart the pods with a rollout."""
        deployment = f"deployment/{HOST}"
        self.cluster.kubectl("rollout", "restart", deployment)
        self.cluster.kubectl("rollout", "status", deployment, "--timeout=120s")

    def get(self, path: str, **headers: str) -> Response:
        """Send a GET request to the Service."""
        return self.cluster.get(HOST, path, port=80, **PROXY | headers)

    def responds(self) -> bool:
        """Return whether the Service responds with 200."""
        with Load(self.cluster, HOST, ["/"], PROXY) as load:
            load.finish()
        return not load.results.failed

    def load(self, *paths: str, **options: Any) -> Load:
        """Return a load of 50 requests per second by default, with options of `drills.load`."""
        options = {"rate": 50, "threads": 48, "count": 20000, "seconds": 400} | options
        headers = PROXY | {"X-Forwarded-For": "198.51.100.1"}
        return Load(self.cluster, HOST, list(paths) or PATHS, headers, **options)

    def admitted(self, requests: int) -> Results:
        """Send concurrent requests for the authors from a new client, and return the results."""
        headers = PROXY | {"X-Forwarded-For": f"203.0.113.{next(self._clients)}"}
        options = {"threads": 16, "count": requests}
        with Load(self.cluster, HOST, ["/api/authors/"], headers, **options) as load:
            load.finish()
        return load.results

    def scrape(self, pod: Any) -> dict[str, float]:
        """Return a pod's metrics, by name and labels."""
        response = self.cluster.get(pod.status.pod_ip, "/metrics", port=8001)
        assert response.status == 200, response
        lines = [line for line in response.body.splitlines() if not line.startswith("#")]
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}

    def totals(self, name: str, *labels: str) -> dict[str, float]:
        """Return the sum of a metric with these labels for each ready pod."""
        return {
            pod.metadata.name: sum(
                value
                for key, value in self.scrape(pod).items()
                if key.partition("{")[0] == name and all(label in key for label in labels)
            )
            for pod in self.pods()
            if is_ready(pod)
        }

    def wait_for_redis(self, seconds: float = 120) -> None:
        """Wait until all workers of all ready pods use Redis."""

        def connected() -> bool:
            # A probe makes an idle worker reconnect. The kernel picks the worker, so several
            # probes are sent to each pod.
            for pod in filter(is_ready, self.pods()):
                options = {"port": 8001, "body": True, "count": 12}
                with Load(self.cluster, pod.status.pod_ip, ["/readyz"], {}, **options) as load:
                    load.finish()
                bodies = [item.get("body", "") for item in load.results.items]
                if not all('"redis": "ok"' in body for body in bodies):
                    return False
            return not any(self.totals("redis_circuit_open").values())

        wait_for(connected, "all pods to use Redis", seconds)
