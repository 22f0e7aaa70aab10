"""The pytest plugin of the package, in a project without Redis."""

import os
import subprocess
import sys
from pathlib import Path

TESTS = """
import pytest

@pytest.mark.redis
def test_with_redis():
    raise AssertionError

def test_without_redis(api, set_rates):
    set_rates(login="1/h")
    assert [api.delete("/api/token/").status_code for _ in range(2)] == [204, 429]

def test_starts_from_zero(api, set_rates):
    set_rates(login="1/h")
    assert api.delete("/api/token/").status_code == 204
"""


def test_tests_that_need_redis_are_skipped_with_a_reason(tmp_path):
    module = tmp_path / "test_service.py"
    module.write_text(TESTS)
    Path(tmp_path, "conftest.py").write_text('pytest_plugins = ["service_runtime.testing"]')
    environ = {
        **{name: value for name, value in os.environ.items() if name != "REDIS_URL"},
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "PYTHONPATH": str(Path(__file__).parents[1]),
    }
    pytest = [sys.executable, "-m", "pytest", "-rs", "-p", "no:cacheprovider", "--strict-markers"]

    done = subprocess.run(
        [*pytest, "test_service.py"], cwd=tmp_path, env=environ, capture_output=True, text=True
    )

    assert "2 passed, 1 skipped" in done.stdout
    assert "needs REDIS_URL: run `make test`" in done.stdout
