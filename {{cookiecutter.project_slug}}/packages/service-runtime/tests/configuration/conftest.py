"""An environment that has nothing else, read as a service's settings read it."""

from contextlib import suppress

import pytest
from django.core.exceptions import ImproperlyConfigured

from service_runtime.environment import Environment
from service_runtime.rates import rates_from_environment
from service_runtime.variables import environment_settings


@pytest.fixture
def read(monkeypatch, tmp_path):
    """Return a function that reads an environment, and a file of variables, and seals it."""

    def read(own=lambda env: None, file="", **environment):
        (tmp_path / ".env").write_text(file)
        monkeypatch.setattr("os.environ", {"DEBUG": "true", **environment})
        env = Environment()
        env.read_file(tmp_path / ".env")
        debug = env.bool("DEBUG", False)
        environment_settings(env, service="acme", version="1.2", debug=debug)
        env.database("DATABASE_URL", tmp_path / "db.sqlite3")
        rates_from_environment(env, {"login": "10/minute"})
        own(env)
        with suppress(ImproperlyConfigured):
            env.seal()
        return env

    return read
