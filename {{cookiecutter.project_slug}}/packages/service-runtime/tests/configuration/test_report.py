"""Each variable has its value in force and the place where it is set."""

from types import SimpleNamespace

import pytest

from service_runtime.configuration.report import OWN, report


def row(env, name, settings=None):
    rows = [row for rows in report(env, settings).values() for row in rows]
    (found,) = [row for row in rows if row.variable.name == name]
    return found.value, found.source


@pytest.mark.parametrize(
    ("environment", "name", "expected"),
    [
        ({}, "PORT", (8000, "default")),
        ({"PORT": "81"}, "PORT", (81, "environment")),
        ({}, "HOST", ("127.0.0.1", "derived")),
        ({"HOST": "::"}, "HOST", ("::", "environment")),
        ({}, "SERVICE_VERSION", ("1.2", "derived")),
        ({"REDIS_URL": "redis://a"}, "CACHEOPS_REDIS_URL", ("redis://a", "derived")),
        ({"ALLOWED_HOSTS": "a, b"}, "ALLOWED_HOSTS", (["a", "b"], "environment")),
        ({"LOG_FIELDS": "uid=user"}, "LOG_FIELDS", ({"uid": "user"}, "environment")),
        ({}, "THROTTLE_LOGIN", ("10/minute", "settings.py")),
        ({"THROTTLE_LOGIN": "1/s"}, "THROTTLE_LOGIN", ("1/s", "environment")),
        ({"THROTTLE_NEW__PAID": "1/s"}, "THROTTLE_NEW__PAID", ("1/s", "environment")),
        ({"LOG_LEVEL_SHOP": "DEBUG"}, "LOG_LEVEL_SHOP", ("DEBUG", "environment")),
        ({}, "SECRET_KEY_FALLBACKS", ("", "default")),
        ({"PORT": "many"}, "PORT", (None, "environment")),
        ({"THROTTLE_LOGIN": "many"}, "THROTTLE_LOGIN", (None, "environment")),
    ],
)
def test_value_and_source(read, environment, name, expected):
    assert row(read(**environment), name) == expected


def test_database_without_a_url_is_a_file(read, tmp_path):
    assert row(read(), "DATABASE_URL") == (f"sqlite:///{tmp_path / 'db.sqlite3'}", "derived")


def test_sources_that_are_files(read, tmp_path):
    (tmp_path / "rate").write_text("5/min\n")
    env = read(
        file="PORT=81\nOPS_PORT=82\n", OPS_PORT="83", THROTTLE_LOGIN_FILE=str(tmp_path / "rate")
    )

    assert row(env, "PORT") == (81, ".env")
    assert row(env, "OPS_PORT") == (83, "environment")
    mounted = f"{tmp_path / 'rate'} (THROTTLE_LOGIN_FILE)"
    assert row(env, "THROTTLE_LOGIN") == ("5/min", mounted)


def test_file_that_cannot_be_read_is_an_error_of_its_variable(read):
    found = report(read(SECRET_KEY_FILE="/missing"))

    (key,) = [row for row in found["Required in production"] if row.variable.name == "SECRET_KEY"]
    assert key.value is None
    assert key.error.startswith("SECRET_KEY_FILE: '/missing' is not a file")


def test_setting_that_the_service_assigns_is_in_force(read):
    settings = SimpleNamespace(GRACEFUL_TIMEOUT=60, PORT=8000)

    assert row(read(), "GRACEFUL_TIMEOUT", settings) == (60, "settings.py")
    assert row(read(), "PORT", settings) == (8000, "default")


def test_variable_of_the_service_is_described_by_its_call(read):
    def own(env):
        env.int("PAGE_SIZE", 20, metadata={"meaning": "objects on a page"})
        env.path("MEDIA_ROOT", "/srv/media", metadata={"derived": "`media/`"})
        env.str("TITLE")
        env.bool("BETA", False)

    found = report(read(own, TITLE="Shop"))[OWN]

    assert [
        (
            row.variable.name,
            row.variable.described_type,
            row.variable.described_default,
            row.variable.meaning,
            str(row.value),
        )
        for row in found
    ] == [
        ("BETA", "boolean", "`false`", "", "False"),
        ("MEDIA_ROOT", "text", "`media/`", "", "/srv/media"),
        ("PAGE_SIZE", "integer", "`20`", "objects on a page", "20"),
        ("TITLE", "text", "", "", "Shop"),
    ]
