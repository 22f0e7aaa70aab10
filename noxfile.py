"""Test the runtime package with every supported pair of Python and Django: `make matrix`."""

import os
from pathlib import Path

import nox

ROOT = Path(__file__).parent
# Django 6.1 needs Python 3.12.
PAIRS = [
    *[(python, "5.2") for python in ("3.11", "3.12", "3.13", "3.14")],
    *[(python, "6.1") for python in ("3.12", "3.13", "3.14")],
]

nox.options.default_venv_backend = "uv"
nox.options.envdir = str(ROOT / "build" / "nox")


@nox.session
@nox.parametrize("python,django", PAIRS)
def tests(session: nox.Session, django: str) -> None:
    """Run the package's tests in development mode, with warnings as errors."""
    # Through the symlink: above its target, the next pyproject.toml is the template's.
    session.install("--editable", "runtime[test]", f"django~={django}.0")
    session.chdir("runtime")
    environment = {"PYTHONPYCACHEPREFIX": str(ROOT / "build" / "pycache"), "PYTHONDEVMODE": "1"}
    session.run(
        *("with-redis", "pytest", "-q", "-p", "no:cacheprovider", *session.posargs),
        env=os.environ | environment,
    )
