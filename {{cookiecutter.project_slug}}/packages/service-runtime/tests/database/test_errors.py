"""The reason why no connection can be opened, for a person who starts a command."""

from typing import Any

import pytest
from django.db.utils import ConnectionHandler

from service_runtime.database import connection_failure
from tests.database.conftest import handler_for

SQLITE = {"ENGINE": "django.db.backends.sqlite3"}
POSTGRESQL = {"ENGINE": "django.db.backends.postgresql", "HOST": "127.0.0.1", "PORT": "1"}


def connection_to(**entry: Any) -> Any:
    return ConnectionHandler({"default": entry})["default"]


def test_a_database_that_can_be_reached_has_no_failure(postgres, tmp_path):
    assert connection_failure(handler_for(postgres.port)["default"]) is None
    assert connection_failure(connection_to(**SQLITE, NAME=tmp_path / "db")) is None


def test_reason_of_the_server_is_named_instead_of_the_pools_timeout(postgres):
    handler = handler_for(postgres.port)
    handler["default"].settings_dict["NAME"] = "missing"

    failure = connection_failure(handler["default"])

    assert failure
    assert failure.endswith('FATAL:  database "missing" does not exist')
    assert "\n" not in failure


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({**POSTGRESQL, "NAME": "a"}, "Connection refused"),
        ({**POSTGRESQL, "NAME": "a", "OPTIONS": {"ssl": "1"}}, 'invalid connection option "ssl"'),
        ({**SQLITE, "NAME": "/nowhere/db"}, "unable to open database file"),
    ],
)
def test_reason_of_the_driver_is_named(entry, reason):
    assert reason in (connection_failure(connection_to(**entry)) or "")
