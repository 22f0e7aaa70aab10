"""Fixtures for all tests come from the runtime: `api`, `set_rates` and others."""

pytest_plugins = ["service_runtime.testing"]
