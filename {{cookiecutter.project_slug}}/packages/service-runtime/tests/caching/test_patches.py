import pytest
from django.contrib.auth.models import Group
from django.db import connection, transaction
from psycopg import sql

from service_runtime.caching.patches import is_sql_dirty

UPDATE = sql.SQL("UPDATE {} SET name = 'new'").format(sql.Identifier("auth_group"))
SELECT = sql.Composed([sql.SQL("SELECT "), sql.Literal("an update")])


@pytest.mark.parametrize(
    ("statement", "writes"),
    [(UPDATE, True), ("DELETE FROM a", True), (b"INSERT", True), (sql.SQL("SELECT 1"), False)],
)
def test_sql_that_writes_is_recognized(statement, writes):
    assert is_sql_dirty(statement) is writes


@pytest.mark.redis
@pytest.mark.django_db(transaction=True)
def test_composed_sql_runs_in_a_transaction_and_a_write_bypasses_the_cache():
    Group.objects.create(name="old")
    assert Group.objects.get().name == "old"
    is_composed = connection.vendor == "postgresql"

    with transaction.atomic(), connection.cursor() as cursor:
        for statement in (SELECT, UPDATE):
            cursor.execute(statement if is_composed else statement.as_string(None))
        assert Group.objects.get().name == "new"
