"""Fixtures for all tests."""

from hypothesis import settings

pytest_plugins = ["service_runtime.testing"]

# Without a folder of examples next to the sources.
settings.register_profile("runtime", database=None)
settings.load_profile("runtime")
