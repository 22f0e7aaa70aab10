"""The suites, and how to run them."""

import json
import os
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ..service.conftest import RedisServer
from ..support import UV, BakedProject, run

INSIDE = Path(__file__).with_name("inside")
PYTEST = ("-m", "pytest", "-q", "--tb=short", "-p", "no:cacheprovider", "-p", "outcomes")


@dataclass(frozen=True)
class Suite:
    """A suite of tests of a source distribution.

    Attributes:
        package: the distribution's name.
        command: arguments of Python.
        folder: where to run it, relative to the distribution.
        postgresql: whether to run it on PostgreSQL, instead of SQLite.
    """

    package: str
    command: tuple[str, ...]
    folder: str = "."
    postgresql: bool = False


CACHEOPS = ("django-cacheops", (*PYTEST, "--ds=cacheops_settings"))
SUITES = {
    "Django cache and sessions": Suite(
        "django",
        ("runtests.py", "--settings=django_settings", "--parallel=1", "cache", "sessions_tests"),
        folder="tests",
    ),
    "DRF throttling": Suite(
        "djangorestframework", (*PYTEST, "-p", "throttles", "tests/test_throttling.py")
    ),
    "cacheops on SQLite": Suite(*CACHEOPS),
    "cacheops on PostgreSQL": Suite(*CACHEOPS, postgresql=True),
    "python-json-logger": Suite(
        "python-json-logger",
        (*PYTEST, "-p", "formatters", "tests/test_formatters.py", "tests/test_dictconfig.py"),
    ),
}


@dataclass(frozen=True)
class Outcomes:
    """What became of a suite's tests.

    Attributes:
        counts: number of tests by outcome, failures excluded.
        failed: a line of the error, by test id.
        output: what the suite printed.
    """

    counts: dict[str, int]
    failed: dict[str, str]
    output: str


def download(package: str, project: BakedProject, folder: Path) -> Path:
    """Download the source distribution of the installed version of a package; return its path."""
    script = f"from importlib.metadata import version; print(version({package!r}))"
    version = project.run(project.path / ".venv/bin/python", "-c", script).strip()
    pip = [UV, "tool", "run", "pip", "download", "--quiet", "--no-deps", "--no-binary=:all:"]
    run([*pip, f"--dest={folder}", f"{package}=={version}"], cwd=folder)
    (archive,) = folder.glob("*.tar.gz")
    return archive


def unpack(archive: Path, folder: Path) -> Path:
    """Unpack the tests of a source distribution, but not the package: the installed one is tested.

    Returns:
        the distribution's folder.
    """
    with tarfile.open(archive) as source:
        for member in source:
            parts = PurePosixPath(member.name).parts
            if member.isfile() and (len(parts) == 2 or parts[1] == "tests"):
                source.extract(member, folder, filter="data")
    return folder / parts[0]


def run_suite(
    suite: Suite, archive: Path, project: BakedProject, folder: Path, *, ours: bool, **urls: str
) -> Outcomes:
    """Run a suite with the runtime's classes or the library's own, and with its own Redis."""
    report = folder / "outcomes.json"
    redis = RedisServer(folder)
    redis.start()
    try:
        finished = subprocess.run(
            [project.path / ".venv/bin/python", *suite.command],
            cwd=unpack(archive, folder / "source") / suite.folder,
            # The suite sees nothing else of the environment of whoever runs it.
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": os.pathsep.join([str(INSIDE), str(project.path)]),
                "PEERS_OUTCOMES": str(report),
                "PEERS_SERVICE": project.slug if ours else "",
                # Without a database, which would override the one that a test of Django's selects.
                "REDIS_URL": redis.url.removesuffix("/0"),
                # A busy machine is no outage.
                "REDIS_SOCKET_TIMEOUT": "2",
                "ENV_FILE": os.devnull,
                "DEBUG": "true",
                **urls,
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            check=False,
        )
    finally:
        redis.stop()
    if not report.exists():
        return Outcomes({}, {"(none)": "the suite did not run"}, finished.stdout)
    return Outcomes(**json.loads(report.read_text(encoding="utf-8")), output=finished.stdout)
