"""Run all suites concurrently, since they are not CPU-bound, and print a table of the outcomes."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from ..service.conftest import install, postgres_url  # noqa: F401
from ..support import ROOT, UV, BakedProject, run
from .expected import EXPECTED
from .suites import SUITES, Outcomes, download, run_suite

Runs = dict[tuple[str, bool], "Future[Outcomes]"]
FINISHED = pytest.StashKey[Runs]()


@pytest.fixture(scope="session")
def project(tmp_path_factory) -> BakedProject:
    """Return an installed service with the additional dependencies of the suites."""
    project = install(tmp_path_factory, project_name="Acme Blog")
    python = f"--python={project.path / '.venv'}"
    run([UV, "pip", "install", "--quiet", python, "--group=peers"], cwd=ROOT)
    return project


@pytest.fixture(scope="session")
def runs(project, postgres_url, tmp_path_factory, pytestconfig) -> Iterator[Runs]:  # noqa: F811
    """Start each suite with the library's classes (False) and with the runtime's (True)."""
    with ThreadPoolExecutor() as pool:
        packages = {suite.package for suite in SUITES.values()}
        archives = {
            package: pool.submit(download, package, project, tmp_path_factory.mktemp(package))
            for package in packages
        }

        def start(name: str, ours: bool) -> "Future[Outcomes]":
            suite = SUITES[name]
            urls = {"DATABASE_URL": postgres_url} if suite.postgresql else {}
            archive = archives[suite.package].result()
            folder = tmp_path_factory.mktemp("suite")
            return pool.submit(run_suite, suite, archive, project, folder, ours=ours, **urls)

        runs = {(name, ours): start(name, ours) for name in SUITES for ours in (False, True)}
        pytestconfig.stash[FINISHED] = runs
        yield runs


def pytest_terminal_summary(terminalreporter, config: pytest.Config) -> None:
    """Print the outcomes of the suites, and the reason for each failure."""
    runs = config.stash.get(FINISHED, {})
    if not runs or any(run.exception() for run in runs.values()):
        return
    terminalreporter.section("Suites: passed, failed, skipped or expected to fail by the library")
    line = terminalreporter.write_line
    for name in SUITES:
        stock, ours = (runs[name, is_ours].result() for is_ours in (False, True))
        line(f"{name:27}{_numbers(stock)} with its classes,{_numbers(ours)} with the runtime's")
        for test, error in ours.failed.items():
            line(f"    {test}\n        {EXPECTED[name].get(test, f'NOT EXPECTED: {error}')}")


def _numbers(outcomes: Outcomes) -> str:
    passed = outcomes.counts.get("passed", 0)
    skipped = sum(outcomes.counts.values()) - passed
    return f"{passed:5}{len(outcomes.failed):4}{skipped:5}"
