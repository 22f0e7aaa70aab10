"""Fixtures for all tests come from the runtime: `api`, `set_rates` and others."""

import sys
from importlib.util import find_spec

import pytest

if not find_spec("service_runtime"):
    reason = f"The service's packages are not installed in {sys.executable}."
    pytest.exit(f"{reason} Run `make test`, or `make install` and `.venv/bin/pytest`.", 4)

pytest_plugins = ["service_runtime.testing"]
