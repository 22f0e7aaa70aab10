"""A namespace with both charts installed, and a report of what was measured in it."""

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
REPORT = Path(os.environ.get("E2E_REPORT", ROOT / "build" / "e2e.md"))


def pytest_configure(config: pytest.Config) -> None:
    """Begin a report."""
    config.stash[FIGURES] = {}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Add to a failure what the cluster knows of it, before the namespace is gone."""
    report = yield
    cluster = item.funcargs.get("cluster")
    if report.failed and cluster:
        report.sections.append(("Cluster", cluster.describe()))
    return report


def pytest_terminal_summary(terminalreporter, config: pytest.Config) -> None:
    """Write the report, and print it."""
    if not (figures := config.stash[FIGURES]):
        return
    lines = ["| On a cluster | |", "|---|---|"]
    for what, values in figures.items():
        text = ", ".join(f"{name} {_text(value)}" for name, value in values.items())
        lines.append(f"| {what} | {text} |")
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
    """Return a function that puts figures into the report, under what they were measured of."""

    def add(what: str, **figures: Any) -> None:
        named = {name.replace("_", " "): value for name, value in figures.items()}
        request.config.stash[FIGURES].setdefault(what, {}).update(named)

    return add


@pytest.fixture(scope="session")
def charts(tmp_path_factory) -> Path:
    """Return a folder with the charts, which nobody changes meanwhile."""
    source = images.service().path / "helm"
    return Path(shutil.copytree(source, tmp_path_factory.mktemp("charts") / "helm"))


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Make a namespace with what the charts need, and delete it in the end."""
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
    """Return the service's values for Redis."""
    values = tmp_path_factory.mktemp("values") / "redis.yaml"
    values.write_text(images.service().read("deploy/redis.yaml"))
    return values


@pytest.fixture(scope="session")
def redis_chart(cluster, charts, redis_values, record) -> Path:
    """Install the redis chart, and return its folder."""
    began = time.monotonic()
    cluster.helm("install", "redis", charts / "redis", "--values", redis_values, "--wait")
    record("Install", redis_s=time.monotonic() - began)
    return charts / "redis"


@pytest.fixture(scope="session")
def installed_web(cluster, charts, redis_chart, tmp_path_factory, record) -> Web:
    """Install the web chart with a service's values for production, and return the release."""
    values = tmp_path_factory.mktemp("values") / "production.yaml"
    values.write_text(images.service().read("deploy/production.yaml"))
    web = Web(cluster, charts / "web", values)
    began = time.monotonic()
    web.upgrade()
    installed = time.monotonic()
    # A Service that was just made may refuse connections for a moment.
    wait_for(lambda: web.answers(), "the first answer")
    record(
        "Install",
        web_s=installed - began,
        first_200_after_s=time.monotonic() - installed,
        helm=cluster.helm("version", "--template={{.Version}}").stdout,
    )
    cluster.execute(web.pods()[0].metadata.name, "python", "manage.py", "load_blogs")
    return web


@pytest.fixture
def web(installed_web) -> Iterator[Web]:
    """Return the web chart's release, with two pods; what a test changes is undone after it."""
    installed_web.settle()
    yield installed_web
    installed_web.restore()
