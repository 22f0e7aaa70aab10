"""The web chart's `helm test`: its script runs for real, against a local server."""

import subprocess
import sys
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from tests.charts.objects import one


@contextmanager
def serving(status):
    """Serve a status on a local port; yield the port and a list of requests."""
    requests = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            requests.append((self.path, dict(self.headers)))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port, requests
        finally:
            server.shutdown()
            thread.join()


def run(objects, port):
    """Run the script of the test pod, with the server's address instead of the Service's."""
    (container,) = one(objects, "Pod")["spec"]["containers"]
    python, option, script = container["command"]
    assert (python, option) == ("python", "-c")
    (service,) = one(objects, "Service")["spec"]["ports"]
    address = f'"release-web", {service["port"]},'
    assert address in script
    local = script.replace(address, f'"127.0.0.1", {port},')
    return subprocess.run(
        [sys.executable, "-c", local], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("status", "passes"), [(200, True), (204, False), (301, False), (400, False), (503, False)]
)
def test_only_200_passes(render, status, passes):
    with serving(status) as (port, requests):
        result = run(render("web", "production", test={"path": "/api/schema/"}), port)
    assert (result.returncode == 0) == passes
    assert str(status) in result.stdout
    ((path, headers),) = requests
    assert path == "/api/schema/"
    assert headers["X-Forwarded-Proto"] == "https"


@pytest.mark.parametrize(("chart", "name"), [("web", "production"), ("redis", "default")])
def test_logs_of_the_test_remain_until_the_next_one(render, chart, name):
    # Helm 3 would delete a pod with hook-succeeded before `--logs` reads it.
    annotations = one(render(chart, name), "Pod")["metadata"]["annotations"]
    assert annotations["helm.sh/hook"] == "test"
    assert annotations["helm.sh/hook-delete-policy"] == "before-hook-creation"


def test_the_test_pod_runs_on_the_nodes_of_the_service(render):
    values = {"nodeSelector": {"disk": "ssd"}, "tolerations": [{"operator": "Exists"}]}
    assert one(render("web", "production", **values), "Pod")["spec"].items() >= values.items()
