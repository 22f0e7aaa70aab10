"""The descriptions of variables are those of the code that reads them."""

import pytest

from service_runtime.configuration import GROUPS, VARIABLES, Variable
from service_runtime.configuration.documents import updated
from service_runtime.configuration.variable import EnvironmentSettings

DESCRIBED = {variable.name: variable for variable in VARIABLES}


def test_every_variable_that_is_read_is_described_and_the_reverse(read):
    env = read(DATABASE_URL="sqlite:///x", CACHE_KEY_PREFIX="acme")

    assert env.errors == {}
    assert env.fields.keys() == {name for name, each in DESCRIBED.items() if not each.prefix}
    assert len(DESCRIBED) == len(VARIABLES)  # none is described twice


def test_every_variable_has_a_meaning_and_a_type():
    assert [each.name for each in VARIABLES if not each.meaning or not each.described_type] == []


def test_default_of_a_setting_is_the_value_without_the_variable(read):
    values = read().values
    settings = {
        name for name in DESCRIBED.keys() & values.keys() if hasattr(EnvironmentSettings, name)
    }
    plain = {name for name in settings if not DESCRIBED[name].derived} - {"SECRET_KEY"}

    assert len(plain) > 30
    assert [name for name in plain if values[name] != getattr(EnvironmentSettings, name)] == []


@pytest.mark.parametrize(
    ("name", "kind", "default"),
    [
        ("DEBUG", "boolean", "`false`"),
        ("SECRET_KEY", "text", ""),
        ("ALLOWED_HOSTS", "list", ""),
        ("DATABASE_URL", "URL", "a SQLite file"),
        ("DATABASE_MAX_IDLE", "integer, seconds", "`60`"),
        ("DATABASE_STATEMENT_TIMEOUT", "number, seconds", "`10`"),
        ("REDIS_SOCKET_TIMEOUT", "number, seconds", "`0.05`"),
        ("REQUEST_BODY_MAX_BYTES", "integer, bytes", "`10485760`"),
        ("LOG_FORMAT", "`json`, `console`", "`json`"),
        ("LOG_FIELDS", "list", ""),
        ("NUM_PROXIES", "integer", "`0`"),
        ("SECURE_SSL_REDIRECT", "boolean", "`true` behind a proxy"),
    ],
)
def test_type_and_default(name, kind, default):
    assert (DESCRIBED[name].described_type, DESCRIBED[name].described_default) == (kind, default)


def test_document_receives_the_table_of_each_group():
    text = "Before\n\n<!-- variables: One -->\nold\n<!-- end -->\n\n<!-- variables: Two -->\nold\n"
    text += "<!-- end -->\n\nAfter\n"
    groups = {"One": [Variable("PORT", "this | that")], "Two": []}

    written = updated(text, groups)

    assert written == (
        "Before\n\n<!-- variables: One -->\n\n| variable | type | default | meaning |\n"
        "|---|---|---|---|\n| `PORT` | integer | `8000` | this \\| that |\n\n<!-- end -->\n\n"
        "<!-- variables: Two -->\n<!-- end -->\n\nAfter\n"
    )
    assert updated(written, groups) == written


def test_document_with_an_unknown_group_is_rejected():
    with pytest.raises(KeyError, match="Servers"):
        updated("<!-- variables: Servers -->\n<!-- end -->", GROUPS)
