"""A service that its team has edited in ten places, and ten later commits of the template."""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cruft
import pytest

from .support import BakedProject, run, template

ADDRESS = "https://github.com/acme/template.git"
# The team has edited both.
DELETED, MOVED = "docs/migrations.md", ("docs/failures.md", "docs/outages.md")
# Template and team change the same lines, or add the same file, or one deletes what one edits.
CONFLICTS = ["acme_blog/settings.py", "deploy/production.yaml", DELETED, "docs/orders.md"]

# File, text, and the text that replaces it; "" appends to the file or creates it.
Edit = tuple[str, str, str]
EDITS: list[Edit] = [
    (
        "acme_blog/settings.py",
        '    "acme_blog.users",\n',
        '    "acme_blog.users",\n    "orders",\n',
    ),
    ("acme_blog/settings.py", '"PAGE_SIZE": 20', '"PAGE_SIZE": 50'),
    ("acme_blog/urls.py", "", 'urlpatterns += [path("api/orders/", include("orders.urls"))]\n'),
    ("acme_blog/blog/views.py", '"""Authors, by name."""', '"""All authors, by name."""'),
    ("README.md", "## The first minute", "The team of the orders owns it.\n\n## The first minute"),
    ("Makefile", "", "\nreport: install\n\t$(PYTHON) manage.py report\n"),
    ("deploy/production.yaml", "maxReplicas: 10", "maxReplicas: 20"),
    ("Dockerfile", "EXPOSE 8000 8001\n", "EXPOSE 8000 8001\nLABEL team=orders\n"),
    ("pyproject.toml", '    "whitenoise', '    "tzdata~=2026.6",\n    "whitenoise'),
    ("orders/__init__.py", "", ""),
    (
        "orders/urls.py",
        "",
        "from django.urls import URLPattern\n\nurlpatterns: list[URLPattern] = []\n",
    ),
    ("docs/orders.md", "", "# Orders of the team\n"),
    (DELETED, "", "\nThe orders have no migrations.\n"),
    (MOVED[0], "", "\nThe orders never fail.\n"),
    (".env.example", "", "ORDERS_URL=https://orders.example.com\n"),
]
COMMITS: list[list[Edit]] = [
    [("{slug}/settings.py", '"PAGE_SIZE": 20', '"PAGE_SIZE": 25')],
    [("{slug}/settings.py", "USE_I18N = False", "USE_I18N = False\nUSE_THOUSAND_SEPARATOR = True")],
    [("{slug}/urls.py", "handler400 =", "# Errors are JSON under /api/.\nhandler400 =")],
    [("{slug}/blog/views.py", '"""One author."""', '"""An author."""')],
    [
        ("README.md", "\n## Tokens\n", "\n## Tokens of the API\n"),
        ("docs/orders.md", "", "# Orders\n"),
    ],
    [("Makefile", "\trm -rf .venv", "\trm -rf build .venv")],
    [("deploy/production.yaml", "maxReplicas: 10", "maxReplicas: 12")],
    [("Dockerfile", "PYTHONUNBUFFERED=1", "PYTHONUNBUFFERED=1 PYTHONUTF8=1")],
    [
        (
            "pyproject.toml",
            "[project.optional-dependencies]",
            "[project.optional-dependencies]\nlocal = []",
        ),
        (".env.example", "# LOG_LEVEL=INFO", "# LOG_LEVEL=WARNING"),
    ],
    [
        (".github/workflows/ci.yml", "name: CI\n", "name: Checks\n"),
        # A private value, which has to be that of the new version.
        ("../cookiecutter.json", '"helm/*.*",', '"helm/*.*",\n    "docs/raw/*.*",'),
        ("docs/raw/braces.md", "", "{{ braces }}\n"),
    ],
]


def git(path: Path, *arguments: str) -> str:
    """Run git in a folder and return its output."""
    return run(["git", *arguments], cwd=path)


def commit(path: Path) -> None:
    """Commit all files in a folder."""
    git(path, "add", "--all")
    git(path, "commit", "--quiet", "--message", "A change")


def template_repository(parent: Path) -> Path:
    """Create the template as a git repository with one commit."""
    path = parent / "cookiecutter-django-kubernetes"
    shutil.copytree(template(), path, symlinks=True)
    git(path, "init", "--quiet")
    commit(path)
    return path


def cruft_create(address: Path | str, parent: Path, **values: str) -> BakedProject:
    """Generate a service with cruft and commit it to a new git repository."""
    path = cruft.create(str(address), parent, extra_context=values, no_input=True)
    git(path, "init", "--quiet")
    commit(path)
    return BakedProject(path, values)


def edit(folder: Path, edits: list[Edit]) -> None:
    """Edit files; fail if a text is not in its file exactly once."""
    for name, old, new in edits:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        text = path.read_text() if path.exists() else ""
        assert not old or text.count(old) == 1, f"{old!r} is not in {name} once"
        path.write_text(text.replace(old, new) if old else text + new)


def change_template(repository: Path) -> None:
    """Commit ten changes and tag the last one as a release."""
    folder = next(repository.glob("*cookiecutter.project_slug*"))
    for edits in COMMITS:
        edit(folder, [(name.format(slug=folder.name), old, new) for name, old, new in edits])
        if edits == COMMITS[-1]:
            (folder / DELETED).unlink()
            (folder / MOVED[0]).rename(folder / MOVED[1])
        commit(repository)
    git(repository, "tag", "v0.10.0")


@contextmanager
def edited_service(parent: Path) -> Iterator[tuple[Path, BakedProject]]:
    """Yield the template's repository with a release, and an edited service of that release.

    The service knows the template as ADDRESS, which git redirects to the repository.
    """
    repository = template_repository(parent)
    git(repository, "tag", "v0.9.0")
    config = parent / "gitconfig"
    config.write_text(
        f"[include]\n    path = {os.environ['GIT_CONFIG_GLOBAL']}\n"
        f'[url "{repository}"]\n    insteadOf = {ADDRESS}\n'
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GIT_CONFIG_GLOBAL", str(config))
        project = cruft_create(ADDRESS, parent / "generated", project_name="Acme Blog")
        edit(project.path, EDITS)
        commit(project.path)
        yield repository, project


def update(project: BakedProject, *arguments: str, **environment: str) -> str:
    """Run the command of `make update` with the cruft of the tests."""
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    return project.run(sys.executable, "scripts/update.py", *arguments, PATH=path, **environment)
