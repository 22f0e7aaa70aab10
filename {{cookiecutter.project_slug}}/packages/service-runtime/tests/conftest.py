"""Fixtures for all tests."""

pytest_plugins = ["service_runtime.testing"]
