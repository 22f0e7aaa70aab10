"""`make lint-migrations` rejects new migrations that would break the running release."""

import subprocess

import pytest

pytestmark = [pytest.mark.network, pytest.mark.server]

MIGRATION = """
from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db import migrations, models

class Migration(migrations.Migration):
    atomic = {atomic}
    dependencies = [("blog", "0001_initial")]
    operations = [{operation}]
"""
FIELD = "models.CharField(max_length=200{})"
INDEX = 'models.Index(fields=["title"], name="blog_title")'
UNSAFE = {
    "drop_column": 'migrations.RemoveField("blog", "body")',
    "rename_column": 'migrations.RenameField("blog", "body", "text")',
    "drop_table": 'migrations.DeleteModel("Blog")',
    "rename_table": 'migrations.RenameModel("Blog", "Post")',
    "not_null": 'migrations.AddField("blog", "words", models.IntegerField(default=0))',
    "lock_for_index": f'migrations.AddIndex("blog", {INDEX})',
    "unique": f'migrations.AlterField("blog", "title", {FIELD.format(", unique=True")})',
    "change_type": 'migrations.AlterField("blog", "id", models.UUIDField(primary_key=True))',
}
SAFE = {
    "nullable": 'migrations.AddField("blog", "words", models.IntegerField(null=True))',
    "db_default": 'migrations.AddField("blog", "words", models.IntegerField(db_default=0))',
    "new_table": 'migrations.CreateModel("Tag", [("id", models.BigAutoField(primary_key=True))])',
    "concurrent_index": f'AddIndexConcurrently("blog", {INDEX})',
    "concurrent_removal": 'RemoveIndexConcurrently("blog", "blog_newest")',
    "state_only": "migrations.SeparateDatabaseAndState("
    'state_operations=[migrations.RemoveField("blog", "body")])',
    "options": 'migrations.AlterModelOptions("blog", {"ordering": ["id"]})',
}


@pytest.fixture
def changed(project, tmp_path):
    """Return a copy of the project with a git history, whose only tag is its first commit."""
    copy = project.copy(tmp_path, shares_packages=True)

    def git(*arguments):
        identity = ("-c", "user.name=Ada", "-c", "user.email=ada@example.com")
        subprocess.run(["git", *identity, *arguments], cwd=copy.path, check=True)

    git("init", "--quiet")
    git("add", "--all")
    git("commit", "--quiet", "--message=First")
    git("tag", "before")
    for name, operation in {**UNSAFE, **SAFE}.items():
        atomic = "oncurrently" not in operation
        file = copy.path / f"acme_blog/blog/migrations/0002_{name}.py"
        file.write_text(MIGRATION.format(atomic=atomic, operation=operation))
    git("add", "--all")
    return copy


def test_unsafe_migrations_are_rejected(changed, postgres_url):
    with pytest.raises(AssertionError) as failed:
        changed.run("make", "lint-migrations", "BASE=before", DATABASE_URL=postgres_url)

    lines = [line for line in str(failed.value).splitlines() if line.startswith("(blog, ")]
    verdicts = dict(line.removeprefix("(blog, 0002_").split(")... ") for line in lines)
    assert verdicts == dict.fromkeys(UNSAFE, "ERR") | dict.fromkeys(SAFE, "OK")


def test_only_new_migrations_are_checked(changed, postgres_url):
    subprocess.run(["git", "tag", "--force", "before", "HEAD"], cwd=changed.path, check=True)
    for name in UNSAFE:
        (changed.path / f"acme_blog/blog/migrations/0002_{name}.py").unlink()

    changed.run("make", "lint-migrations", "BASE=before", DATABASE_URL=postgres_url)


def test_sqlite_is_rejected_with_a_reason(project):
    with pytest.raises(AssertionError, match="Set DATABASE_URL to a PostgreSQL"):
        project.run("make", "lint-migrations", DATABASE_URL="sqlite:///db.sqlite3")
