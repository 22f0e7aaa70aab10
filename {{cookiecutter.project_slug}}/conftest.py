"""Fixtures for all tests: those of the runtime, such as `set_rates` and `api`."""

pytest_plugins = ["service_runtime.testing"]
