"""Plain pip, without uv, installs the runtime and the service."""

import sys

import pytest

from ..support import bake

pytestmark = pytest.mark.network

SHOW_RUNTIME = """
import importlib, pkgutil, sys
from pathlib import Path
import django
from django.conf import settings
settings.configure(CACHEOPS_REDIS="redis://localhost")
django.setup()
import service_runtime
folder = Path(service_runtime.__file__).parent
assert folder.is_relative_to(sys.prefix), folder
assert (folder / "py.typed").exists()
assert (folder / "throttling/ring.lua").read_text()
import service_runtime.caching, service_runtime.logging, service_runtime.throttling
"""


@pytest.fixture
def project(tmp_path):
    """Return a service with an empty virtual environment in `venv`."""
    project = bake().copy(tmp_path)
    project.run(sys.executable, "-m", "venv", "venv")
    return project


def test_pip_installs_the_runtime(project):
    project.run("venv/bin/pip", "install", "--quiet", "./packages/service-runtime")

    project.run("venv/bin/python", "-c", SHOW_RUNTIME)


def test_pip_installs_the_service(project):
    project.run("venv/bin/pip", "install", "--quiet", "./packages/service-runtime", "-e", ".")

    project.run("venv/bin/python", "-c", SHOW_RUNTIME)
    project.run("venv/bin/python", "manage.py", "check", DEBUG="true", REDIS_URL="")
    imported = project.run("venv/bin/python", "-c", "import acme_blog; print(acme_blog.__path__)")
    assert str(project.path) in imported
