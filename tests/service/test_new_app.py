"""`make app` gives a service that passes its tests and lint, and serves a new endpoint."""

import re
import socket
import sqlite3
from contextlib import closing

import pytest

from ..running import Service
from ..support import BakedProject

pytestmark = [pytest.mark.network, pytest.mark.server, pytest.mark.xdist_group("new_app")]

# Of `make lint`, without the checks of files that an app does not change.
LINT = [
    "ruff check --no-cache .",
    "ruff format --no-cache --check .",
    "mypy .",
    "python manage.py spectacular --validate --fail-on-warn --file=/dev/null",
]


@pytest.fixture(scope="module")
def orders(project, tmp_path_factory) -> BakedProject:
    """Return a service with an app that `make app` has created."""
    return with_app(project, tmp_path_factory)


@pytest.fixture(scope="module")
def orders_only(project_without_example, tmp_path_factory) -> BakedProject:
    """Return a service without the example, in which the app is the first one."""
    return with_app(project_without_example, tmp_path_factory)


def with_app(project: BakedProject, factory: pytest.TempPathFactory) -> BakedProject:
    """Create the app `orders` in a copy of a service."""
    copy = project.copy(factory.mktemp("service"), shares_packages=True)
    printed = copy.run("make", "app", "NAME=orders")
    created = "Created acme_blog.orders with the model Order, served at /api/orders/"
    assert created in printed
    return copy


def in_venv(project: BakedProject, command: str) -> str:
    """Run a program of the service's virtual environment."""
    program, *arguments = command.split()
    return project.run(f".venv/bin/{program}", *arguments)


def test_the_tests_of_the_app_and_those_of_all_routes_pass_at_once(orders_only):
    tests = "acme_blog/orders tests/test_isolation.py tests/test_schema.py"
    assert_passed(in_venv(orders_only, f"with-redis .venv/bin/pytest -q {tests}"))


def test_the_tests_of_the_app_pass_next_to_the_example(orders):
    assert_passed(in_venv(orders, "with-redis .venv/bin/pytest -q acme_blog/orders"))


def assert_passed(printed: str) -> None:
    """Fail unless ten tests or more have passed, and all without a warning or a skip."""
    assert re.search(r"^\d{2,} passed in", printed, re.MULTILINE), printed


@pytest.mark.parametrize("command", LINT, ids=[command.split(" -")[0] for command in LINT])
def test_lint_passes_at_once(orders, command):
    in_venv(orders, command)


def test_an_app_with_a_long_name_is_formatted(orders_only):
    orders_only.run("make", "app", "NAME=customer_purchase_order_lines", "MODEL=PurchaseOrderLine")

    in_venv(orders_only, "ruff check --no-cache .")
    in_venv(orders_only, "ruff format --no-cache --check .")
    in_venv(orders_only, "python manage.py makemigrations --check --dry-run")


def test_the_endpoint_is_cached_and_throttled_on_the_printed_urls(orders, tmp_path):
    gunicorn = [orders.path / ".venv/bin/with-redis", orders.path / ".venv/bin/gunicorn"]
    rates = {"THROTTLE_ORDERS_LIMIT": "2/hour"}
    with Service(["make", "run"], orders.path, tmp_path / "1.log", **rates) as service:
        responses = [service.get("/api/orders/") for _ in range(3)]
        ports = {"PORT": str(service.port), "OPS_PORT": str(service.ops_port)}
        in_the_way = Service(gunicorn, orders.path, tmp_path / "2.log", **ports)
        status = in_the_way.process.wait(60)
        with Service(gunicorn, orders.path, tmp_path / "3.log") as neighbour:
            other = neighbour.get("/api/orders/")

    assert [response.status for response in responses] == [200, 200, 429]
    assert responses[0].headers["Cache-Status"].endswith("; fwd=miss")
    assert "; hit" in responses[1].headers["Cache-Status"]
    assert int(responses[2].headers["Retry-After"]) > 0
    url = f"http://localhost:{service.port}"
    plain = [line.split()[0] for line in service.log.read_text().splitlines() if url in line]
    assert plain[-3:] == [f"{url}/", f"{url}/api/docs/", f"{url}/admin/"]
    assert status != 0
    assert f"PORT: {service.port} is not free" in in_the_way.log.read_text()
    assert "PORT=8010 OPS_PORT=8011 make run" in in_the_way.log.read_text()
    assert other.status == 200


def test_the_development_server_names_a_port_in_use(orders):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with pytest.raises(AssertionError, match=f"{port} is not free.*: PORT=8010 make dev\n"):
            orders.run("make", "dev", PORT=port)


def test_the_tables_of_the_example_are_removed_as_documented(orders, tmp_path):
    database = {"DATABASE_URL": f"sqlite:///{tmp_path}/db.sqlite3"}
    for arguments in ([], ["blog", "zero"]):
        orders.run(".venv/bin/python", "manage.py", "migrate", *arguments, **database)

    with closing(sqlite3.connect(tmp_path / "db.sqlite3")) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    assert "orders_order" in tables
    assert not {name for name in tables if name.startswith("blog_")}
