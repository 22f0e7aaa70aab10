"""Generate services from the working tree, for the tests and the demo."""

import atexit
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from cookiecutter.main import cookiecutter

from .running import Service

ROOT = Path(__file__).resolve().parents[1]
UV = shutil.which("uv") or ROOT / ".tools" / "bin" / "uv"


@dataclass(frozen=True)
class BakedProject:
    """A generated service, shared between tests: `copy` it before changing it."""

    path: Path
    values: dict[str, str]

    @property
    def slug(self) -> str:
        """The name of the service's Python package and folder."""
        return self.path.name

    def files(self) -> list[Path]:
        """Return the sorted paths of all files, relative to the service's folder."""
        return sorted(
            path.relative_to(self.path) for path in self.path.rglob("*") if not path.is_dir()
        )

    def read(self, name: str | Path) -> str:
        """Return the text of a file."""
        return (self.path / name).read_text(encoding="utf-8")

    def contents(self) -> dict[str, tuple[bytes, bool]]:
        """Return each file's bytes and whether it is executable, by path."""
        return {
            str(name): ((self.path / name).read_bytes(), os.access(self.path / name, os.X_OK))
            for name in self.files()
        }

    def copy(self, parent: Path, *, shares_packages: bool = False) -> "BakedProject":
        """Return a copy in another folder, for a test that changes it.

        Installed packages take a few hundred megabytes. A test that does not change them shares
        them with the original.
        """
        ignored = shutil.ignore_patterns(*([".venv"] if shares_packages else []))
        path = Path(shutil.copytree(self.path, parent / self.path.name, ignore=ignored))
        if shares_packages:
            (path / ".venv").symlink_to(self.path / ".venv")
        return BakedProject(path, self.values)

    def run(self, *command: str | Path, **environment: str) -> str:
        """Run a command in the service's folder and return its output; see `run`."""
        return run(command, cwd=self.path, **environment)

    def sign_in(self, service: Service, **environment: str) -> dict[str, str]:
        """Create a superuser in the installed service; return an Authorization header."""
        user = {"username": "ada", "password": "correct horse"}
        variables = {f"DJANGO_SUPERUSER_{key.upper()}": value for key, value in user.items()}
        command = ["manage.py", "createsuperuser", "--noinput", "--email=ada@example.com"]
        self.run(self.path / ".venv/bin/python", *command, **environment, **variables)
        token = service.request("/api/token/", "POST", user).json()["token"]
        return {"Authorization": f"Token {token}"}


def run(command: Sequence[str | Path], cwd: Path, **environment: str) -> str:
    """Run a command and return its output; fail with the output on a non-zero exit status."""
    # Variables of an outer `make test` would affect the service's make.
    private = {"VIRTUAL_ENV", "MAKEFLAGS", "MAKELEVEL", "MFLAGS"}
    inherited = {name: value for name, value in os.environ.items() if name not in private}
    result = subprocess.run(
        command,
        cwd=cwd,
        env=inherited | environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        check=False,
    )
    if result.returncode:
        command_line = " ".join(map(str, command))
        raise AssertionError(f"{command_line} exited with {result.returncode}:\n{result.stdout}")
    return result.stdout


@cache
def scratch() -> Path:
    """Create a folder that is removed at exit."""
    folder = Path(tempfile.mkdtemp(prefix="bake-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@cache
def template() -> Path:
    """Copy the template's files, without those that git ignores, and return the copy."""
    destination = scratch() / "cookiecutter-django-kubernetes"
    listed = run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT)
    for name in filter(None, listed.split("\0")):
        if os.path.lexists(ROOT / name):
            (destination / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, destination / name, follow_symlinks=False)
    return destination


def bake(**values: str) -> BakedProject:
    """Generate a service with these values of prompts; once per process for the same values."""
    return _bake(tuple(sorted(values.items())))


@cache
def _bake(values: tuple[tuple[str, str], ...]) -> BakedProject:
    folder = Path(tempfile.mkdtemp(dir=scratch()))
    return generate(template(), folder, overwrite=False, **dict(values))


def generate(
    source: str | Path, output_dir: Path, *, overwrite: bool = False, **values: str
) -> BakedProject:
    """Generate a service from any cookiecutter source, independent of the user's settings."""
    path = cookiecutter(
        str(source),
        no_input=True,
        extra_context=values,
        output_dir=str(output_dir),
        overwrite_if_exists=overwrite,
        default_config={
            "replay_dir": str(scratch() / "replay"),
            "cookiecutters_dir": str(scratch() / "cookiecutters"),
        },
    )
    return BakedProject(Path(path), values)
