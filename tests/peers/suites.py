"""The suites, and functions that download and run them."""

import json
import os
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ..service.servers import RedisServer
from ..support import UV, BakedProject, run

INSIDE = Path(__file__).with_name("inside")
PYTEST = ("-m", "pytest", "-q", "--tb=short", "-p", "no:cacheprovider", "-p", "outcomes")


@dataclass(frozen=True)
class Suite:
    """A test suite in a source distribution.

    Attributes:
        package: the distribution's name.
        command: arguments of Python.
        folder: working directory, relative to the distribution.
        postgresql: whether to run it on PostgreSQL instead of SQLite.
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
    """The outcomes of a suite's tests.

    Attributes:
        counts: number of tests by outcome, failures excluded.
        failed: one line of the error, by test ID.
        output: the output of the suite.
    """

    counts: dict[str, int]
    failed: dict[str, str]
    output: str


def download(package: str, project: BakedProject, folder: Path) -> Path:
    """Download the source distribution of a package's installed version; return its path."""
    script = f"from importlib.metadata import version; print(version({package!r}))"
    version = project.run(project.path / ".venv/bin/python", "-c", script).strip()
    options = ["--quiet", "--no-deps", "--no-binary=:all:", f"--dest={folder}"]
    run([UV, "tool", "run", "pip", "download", *options, f"{package}=={version}"], cwd=folder)
    (archive,) = folder.glob("*.tar.gz")
    return archive


def unpack(archive: Path, folder: Path) -> Path:
    """Unpack a source distribution without its package, so that the tests use the installed one.

    Returns:
        the folder of the distribution.
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
    """Run a suite with a separate Redis, and with the runtime's classes if `ours` is true."""
    report = folder / "outcomes.json"
    redis = RedisServer(folder)
    redis.start()
    try:
        finished = subprocess.run(
            [project.path / ".venv/bin/python", *suite.command],
            cwd=unpack(archive, folder / "source") / suite.folder,
            # No other variables of the calling environment.
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": os.pathsep.join([str(INSIDE), str(project.path)]),
                "PEERS_OUTCOMES": str(report),
                "PEERS_SERVICE": project.slug if ours else "",
                # Without a database number, which would override that of a test of Django's.
                "REDIS_URL": redis.url.removesuffix("/0"),
                # Long enough for a busy machine.
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
