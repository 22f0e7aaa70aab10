"""`make observe` runs Prometheus and Grafana with the alerts and the dashboard of the web chart."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.charts import tools
from tests.charts.queries import TARGET
from tests.support import BakedProject, bake

VERSION = re.compile(r"[\w./-]+:v?\d+\.\d+\.\d+")


@pytest.fixture(scope="module")
def project() -> BakedProject:
    """Return a generated service."""
    return bake()


@pytest.fixture(scope="module")
def compose(project):
    """Return the parsed compose.yaml."""
    return yaml.safe_load(project.read("compose.yaml"))


def configuration(compose, name: str) -> str:
    """Return the content of a configuration file, with the defaults of its variables."""
    content = compose["configs"][name]["content"]
    return re.sub(r"\$\{\w+:-(.*?)\}", r"\1", content)


def on_host(project, compose, service: str, path: str) -> Path:
    """Return the file or folder of the project that a container sees at a path."""
    for volume in compose["services"][service]["volumes"]:
        source, target, *_ = volume.split(":")
        if Path(path).is_relative_to(target):
            return project.path / source / Path(path).relative_to(target)
    raise AssertionError(f"{service} has no volume at {path}")


def test_prometheus_loads_the_alerts_of_the_chart(project, compose, tmp_path):
    parsed = yaml.safe_load(configuration(compose, "prometheus"))
    files = [on_host(project, compose, "prometheus", path) for path in parsed["rule_files"]]
    file = tmp_path / "prometheus.yaml"
    file.write_text(yaml.safe_dump(parsed | {"rule_files": list(map(str, files))}))
    command = [tools.promtool(), "check", "config", file]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    rules = yaml.safe_load(project.read("helm/web/files/alerts.yaml"))["groups"][0]["rules"]
    assert f"SUCCESS: {len(rules)} rules found" in done.stdout


def test_prometheus_adds_the_labels_that_the_dashboard_and_the_alerts_select(compose):
    (job,) = yaml.safe_load(configuration(compose, "prometheus"))["scrape_configs"]
    (target,) = job["static_configs"]

    assert job["job_name"] == "acme-blog"
    assert target["targets"] == ["127.0.0.1:8001"]
    assert target["labels"].keys() == TARGET - {"job"}


def test_grafana_shows_the_dashboard_of_the_chart(project, compose):
    (provider,) = yaml.safe_load(configuration(compose, "dashboards"))["providers"]
    folder = on_host(project, compose, "grafana", provider["options"]["path"])

    assert [path.name for path in folder.glob("*.json")] == ["dashboard.json"]
    (source,) = yaml.safe_load(configuration(compose, "datasource"))["datasources"]
    scrape = yaml.safe_load(configuration(compose, "prometheus"))["global"]["scrape_interval"]
    assert source["jsonData"]["timeInterval"] == scrape  # of which $__rate_interval is a multiple


def test_both_are_on_the_loopback_interface_only(compose):
    listening = {
        "prometheus": compose["services"]["prometheus"]["command"][-1].partition("=")[2],
        "grafana": compose["services"]["grafana"]["environment"]["GF_SERVER_HTTP_ADDR"],
    }
    assert listening == {"prometheus": "127.0.0.1:9090", "grafana": "127.0.0.1"}


def test_both_have_exact_versions_and_do_not_start_with_the_service(compose):
    for name in ("prometheus", "grafana"):
        service = compose["services"][name]
        assert VERSION.fullmatch(service["image"])
        assert service["profiles"] == ["observe"]


@pytest.fixture
def make(project, tmp_path):
    """Return a function that runs a target with a `docker` and a `curl` that only log."""

    def run(target: str, curl_status: int = 0) -> tuple[subprocess.CompletedProcess[str], str]:
        log = tmp_path / "log"
        for name, status in {"docker": 0, "curl": curl_status}.items():
            program = tmp_path / name
            program.write_text(f'#!/bin/sh\necho {name} "$@" >> {log}\nexit {status}\n')
            program.chmod(0o755)
        path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            ["make", target],
            cwd=project.path,
            env=os.environ | {"PATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        return done, log.read_text()

    return run


def test_make_observe_prints_the_addresses(project, make):
    done, log = make("observe")

    assert done.returncode == 0, done.stderr
    assert log.startswith("docker compose --profile observe up --detach grafana\n")
    uid = json.loads(project.read("helm/web/files/dashboard.json"))["uid"]
    assert f"http://localhost:3000/d/{uid}?" in done.stdout
    assert "http://localhost:9090/alerts" in done.stdout


def test_make_observe_fails_with_advice_if_they_do_not_respond(make):
    done, _ = make("observe", curl_status=7)

    assert done.returncode != 0
    assert "docker compose --profile observe logs" in done.stderr
    assert "Enable host networking" in done.stderr
    assert "http://localhost" not in done.stdout


def test_make_down_stops_both(make):
    _, log = make("down")
    assert log == "docker compose --profile observe down\n"
