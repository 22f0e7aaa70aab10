"""A namespace with both charts installed, and a report of the measurements in it."""

import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ..running import wait_for
from ..support import ROOT
from . import images, manifests
from .cluster import TESTER, Cluster
from .web import RELEASE_NAME, Web

FIGURES = pytest.StashKey[dict[str, dict[str, Any]]]()
# Seconds since 1970. Tests that have not started by then are skipped.
UNTIL = float(os.environ.get("E2E_UNTIL", "inf"))
LONG = ("test_load", "test_failures")  # the last ones
REPORT = Path(os.environ.get("E2E_REPORT", ROOT / "build" / "e2e.md"))


def pytest_configure(config: pytest.Config) -> None:
    """Start a report."""
    config.stash[FIGURES] = {}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort the modules of long tests to the end."""
    items.sort(key=lambda item: any(name in item.nodeid for name in LONG))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test if there is no time left."""
    if time.time() > UNTIL:
        pytest.skip("No time is left (E2E_UNTIL)")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Add the cluster's events and logs to a failure, before the namespace is deleted."""
    report = yield
    cluster = item.funcargs.get("cluster")
    if report.failed and cluster:
        report.sections.append(("Cluster", cluster.describe()))
    return report


def pytest_terminal_summary(terminalreporter, config: pytest.Config) -> None:
    """Write and print the report."""
    if not (figures := config.stash[FIGURES]):
        return
    lines = ["| On a cluster | |", "|---|---|"]
    for subject, values in figures.items():
        text = ", ".join(f"{name} {_text(value)}" for name, value in values.items())
        lines.append(f"| {subject} | {text} |")
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text("\n".join([*lines, ""]))
    REPORT.with_suffix(".json").write_text(json.dumps(figures, indent=2) + "\n")
    terminalreporter.section(f"Figures, in {REPORT}")
    for line in lines:
        terminalreporter.write_line(line)


def _text(value: Any) -> str:
    return f"{value:.1f}" if isinstance(value, float) else str(value)


@pytest.fixture(scope="session")
def record(request) -> Callable[..., None]:
    """Return a function that adds figures about a subject to the report."""

    def add(subject: str, **figures: Any) -> None:
        named = {name.replace("_", " "): value for name, value in figures.items()}
        request.config.stash[FIGURES].setdefault(subject, {}).update(named)

    return add


@pytest.fixture(scope="session")
def charts(tmp_path_factory) -> Path:
    """Return a private copy of the charts."""
    source = images.service().path / "helm"
    return Path(shutil.copytree(source, tmp_path_factory.mktemp("charts") / "helm"))


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Create a namespace with the charts' prerequisites; delete it at the end."""
    cluster = Cluster(f"e2e-{secrets.token_hex(3)}")
    cluster.apply(manifests.namespace(cluster.namespace))
    try:
        image = f"{images.repository()}:{images.RELEASE}"
        cluster.apply(*manifests.prerequisites(RELEASE_NAME, image))
        for name in (TESTER, "postgres-0"):
            cluster.wait_ready(name)
        yield cluster
    finally:
        cluster.kubectl("delete", "namespace", cluster.namespace, "--wait=false")


@pytest.fixture(scope="session")
def redis_values(tmp_path_factory) -> Path:
    """Return the service's values file for Redis."""
    values = tmp_path_factory.mktemp("values") / "redis.yaml"
    values.write_text(images.service().read("deploy/redis.yaml"))
    return values


@pytest.fixture(scope="session")
def redis_chart(cluster, charts, redis_values, record) -> Path:
    """Install the redis chart and return its folder."""
    started = time.monotonic()
    cluster.helm("install", "redis", charts / "redis", "--values", redis_values, "--wait")
    record("Install", redis_s=time.monotonic() - started)
    return charts / "redis"


@pytest.fixture(scope="session")
def installed_web(cluster, charts, redis_chart, tmp_path_factory, record) -> Web:
    """Install the web chart with the service's production values and return the release."""
    values = tmp_path_factory.mktemp("values") / "production.yaml"
    values.write_text(images.service().read("deploy/production.yaml"))
    web = Web(cluster, charts / "web", values)
    started = time.monotonic()
    web.upgrade()
    installed = time.monotonic()
    # A new Service can reject connections for a moment.
    wait_for(web.responds, "the first response")
    record(
        "Install",
        web_s=installed - started,
        first_200_after_s=time.monotonic() - installed,
        helm=cluster.helm("version", "--template={{.Version}}").stdout,
    )
    cluster.execute(web.pods()[0].metadata.name, "python", "manage.py", "load_blogs")
    return web


@pytest.fixture
def web(installed_web) -> Iterator[Web]:
    """Return the web chart's release with two pods; restore it after the test."""
    installed_web.settle()
    yield installed_web
    installed_web.restore()
