"""Real servers and installed services, shared by all tests here."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..running import Service
from ..support import BakedProject, bake
from .faulty_views import FAULTY_VIEWS
from .servers import PostgresServer, RedisServer, running_postgres

PRODUCTION = {
    "ENV_FILE": os.devnull,
    "ALLOWED_HOSTS": "127.0.0.1",
    "SECRET_KEY": "0123456789-abcdefghijklmnopqrstuvwxyz-0123456789-abcdefghij",
    # A machine that is busy with tests is not overloaded.
    "QUEUE_SECONDS": "10",
    "DATABASE_POOL_TIMEOUT": "5",
}


def install(tmp_path_factory: pytest.TempPathFactory, **values: str) -> BakedProject:
    """Generate a service in a separate folder and install its dependencies."""
    project = bake(**values).copy(tmp_path_factory.mktemp("service"))
    project.run("make", "install")
    return project


@pytest.fixture(scope="session")
def project(tmp_path_factory) -> BakedProject:
    """Return an installed service with the example app."""
    return install(tmp_path_factory, project_name="Acme Blog")


@pytest.fixture(scope="session")
def project_without_example(tmp_path_factory) -> BakedProject:
    """Return an installed service without the example app."""
    return install(tmp_path_factory, project_name="Acme Blog", example_app="no")


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory) -> Iterator[str]:
    """Run a redis-server for all tests and return its URL."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server.url
    server.stop()


@pytest.fixture
def redis_server(tmp_path) -> Iterator[RedisServer]:
    """Run a redis-server for one test."""
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """Run a PostgreSQL for all tests and return its URL."""
    with running_postgres() as server:
        yield server.url


@pytest.fixture
def postgres_server() -> Iterator[PostgresServer]:
    """Run a PostgreSQL for one test."""
    with running_postgres() as server:
        yield server


class GunicornServer:
    """Serve a project with gunicorn.

    Attributes:
        environment: the variables of the last service.
    """

    def __init__(self, project: BakedProject, folder: Path) -> None:
        self._project, self._folder = project, folder
        self.environment: dict[str, str] = {}

    def __call__(self, **environment: str) -> Service:
        """Migrate a database, load the example data, and start gunicorn."""
        self.environment = {
            **PRODUCTION,
            "DATABASE_URL": f"sqlite:///{self._folder}/db.sqlite3",
            # Ignore the variable of the developer who runs the tests.
            "REDIS_URL": "",
            **environment,
        }
        for command in (
            ["migrate", "--verbosity=0"],
            ["load_blogs"],
            ["collectstatic", "--noinput", "--verbosity=0"],
        ):
            self._project.run(".venv/bin/python", "manage.py", *command, **self.environment)
        gunicorn = [self._project.path / ".venv/bin/gunicorn"]
        log = self._folder / "gunicorn.log"
        return Service(gunicorn, self._project.path, log, **self.environment)

    def sign_in(self, service: Service) -> dict[str, str]:
        """Create a superuser; return an Authorization header."""
        return self._project.sign_in(service, **self.environment)


@pytest.fixture
def serve(project, tmp_path) -> GunicornServer:
    """Return a function that serves the project."""
    return GunicornServer(project, tmp_path)


@pytest.fixture
def faulty(project, tmp_path):
    """Return a copy of the project with additional views, some of which fail."""
    copy = project.copy(tmp_path, shares_packages=True)
    (copy.path / "faulty.py").write_text(FAULTY_VIEWS.format(package=copy.slug))
    (copy.path / "faulty_settings.py").write_text(
        f"from {copy.slug}.settings import *\nROOT_URLCONF = 'faulty'\n"
    )
    return copy


@pytest.fixture
def serve_faulty(faulty, tmp_path, redis_url, request):
    """Return a function that serves the copy."""
    environment = {
        **PRODUCTION,
        "DATABASE_URL": f"sqlite:///{tmp_path}/db.sqlite3",
        "REDIS_URL": redis_url,
        "CACHE_KEY_PREFIX": re.sub(r"\W", "-", request.node.name),
        "DJANGO_SETTINGS_MODULE": "faulty_settings",
    }
    python = faulty.path / ".venv/bin/python"
    faulty.run(python, "manage.py", "migrate", "--verbosity=0", **environment)
    faulty.run(python, "manage.py", "load_blogs", **environment)
    faulty.run(python, "manage.py", "collectstatic", "--noinput", **environment)

    def start(*options, **more):
        command = [python, "-m", "gunicorn", *options]
        return Service(command, faulty.path, tmp_path / "service.log", **environment | more)

    return start
