"""Documents use names that exist, in lines of at most 100 characters where they can wrap."""

import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.bake.names import Project
from tests.support import bake, template

SPAN = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", re.DOTALL)
BLOCK = re.compile(r"^(?: {4,}|\t)(?!- |\d\. ).*$", re.MULTILINE)
PATH = re.compile(
    r"\.?[\w*<>-][\w.*<>-]*(?:/[\w.*<>-]+)+/?|[\w-]+/|\.?[\w-]+\.(?:py|md|toml|ya?ml|json|lock|html|example)"
)
NOT_A_PATH = re.compile(
    r"\d|[a-z]+://|[\w.]+\.(com|io)/|(application|text|multipart)/|(deploy|deployment|job)/\w+-"
)
SETTING = re.compile(r"[A-Z][A-Z0-9]*(?:_+[A-Z0-9]+)+")
CODE_WITH_A_URL = re.compile(" {4}.*://")
OF_ANY_SCOPE = ("THROTTLE_", "LOG_LEVEL_")
DOTTED = re.compile(r"[A-Za-z]\w*(?:\.[A-Za-z]\w*)+")
IDENTIFIER = re.compile(r"\w+_\w+|[A-Za-z][a-z]+[A-Z]\w*")

# What neither this repository nor a service defines, by whose it is.
COMMANDS = set("check collectstatic createsuperuser invalidate shell".split())
OTHERS = {
    "Python": "threading.Thread",
    "Django": "AddIndexConcurrently RunPython RunSQL SeparateDatabaseAndState db_default"
    " PASSWORD_HASHERS SET_NULL bulk_create bulk_update request.user through update_fields"
    " update_or_create",
    "REST framework": "THROTTLE_RATES cache_format get_throttles rest_framework.throttling"
    " throttle_failure throttle_success",
    "python-json-logger": "datefmt defaults exc_info_as_array fmt rename_fields reserved_attrs"
    " stack_info_as_array static_fields",
    "cacheops": "cached_as file_cache invalidate invalidate_all invalidate_model invalidate_obj"
    " cacheops.no_invalidation no_invalidation get_all_blogs.invalidate",
    "gunicorn": "gunicorn.access",
    "PostgreSQL": "CHECK DETAIL",
    "Redis": "MISCONF NOREPLICAS evicted_keys noeviction valkey/valkey",
    "Kubernetes": "CreateContainerConfigError OOMKilled restricted",
    "W3C Trace Context": "traceparent",
    # The runtime composes these, or matches them by a pattern.
    "composed names": "throttle_failed_closed throttle_failed_open api_key sec"
    " MIGRATE_DATABASE_URL",
    "an app that `make app` creates": "orders.orders orders.orders.urls orders/orders/ orders_limit"
    " migrations/0001_initial.py tests/test_api.py",
    "the examples of the documents": "DB_PASSWORD paid request.auth.scope send_mails __names",
}
Check = Callable[[Project, Path, str], bool]
KNOWN = {name for names in OTHERS.values() for name in names.split()}


@cache
def service(example_app: str) -> Project:
    """Return a service with or without the example."""
    baked = bake(project_name="Orders", example_app=example_app)
    return Project(baked.path, [path for path in baked.files() if "tests" not in path.parts])


@cache
def repository() -> Project:
    """Return the template without what it generates."""
    paths = [path.relative_to(template()) for path in template().rglob("*") if path.is_file()]
    return Project(template(), [path for path in paths if "cookiecutter.project" not in str(path)])


def documents_of(project: Project) -> list[Path]:
    """Return the documents that describe the present, which changelogs do not."""
    names = [path for path in project.files if path.suffix == ".md"]
    past = {"CHANGELOG.md", "benchmarks", ".github"}
    return sorted(path for path in names if not past & set(path.parts))


def unknown_names(text: str, folder: Path, projects: list[Project]) -> Iterator[str]:
    """Yield each name in backticks that none of the projects defines."""
    for _, span in SPAN.findall(BLOCK.sub("", text)):
        for is_defined, name in names_in(span):
            if name not in KNOWN and not any(is_defined(each, folder, name) for each in projects):
                yield name


def names_in(span: str) -> Iterator[tuple[Check, str]]:
    """Yield each name in a span, and the check for it."""
    yield from ((is_target, name) for name in re.findall(r"\bmake ([a-z][\w-]*)", span))
    yield from ((is_command, name) for name in re.findall(r"\bmanage\.py (\w+)", span))
    if PATH.fullmatch(span) and not NOT_A_PATH.match(span):
        yield is_path, span
        return
    yield from ((is_setting, name) for name in SETTING.findall(span))
    rest = SETTING.sub("", re.sub(r"[a-z]+://\S+", "", span))
    yield from ((is_dotted_name, name) for name in DOTTED.findall(rest))
    words = IDENTIFIER.findall(DOTTED.sub("", rest))
    words += re.findall(r"^@?([A-Za-z]\w{2,})(?:\(.*\))?$", rest)
    yield from ((is_word, name) for name in words)


def is_target(project: Project, folder: Path, name: str) -> bool:
    """Return whether a Makefile has the target."""
    return name in project.targets


def is_command(project: Project, folder: Path, name: str) -> bool:
    """Return whether `manage.py` has the command."""
    return name in COMMANDS | project.commands


def is_word(project: Project, folder: Path, name: str) -> bool:
    """Return whether the code contains the word."""
    return name in project.words


def is_path(project: Project, folder: Path, name: str) -> bool:
    """Return whether a path exists, seen from the document, the project or its package."""
    pattern = re.sub(r"<\w+>", "*", name).rstrip("/")
    packages = [path.parent for path in project.root.glob("*/settings.py")]
    created = {"uv.lock", *(project.root / ".gitignore").read_text().split()}
    return (
        name in created
        or name in {path.name for path in project.files}
        or any(
            list(root.glob(pattern)) for root in (project.root, project.root / folder, *packages)
        )
    )


def is_setting(project: Project, folder: Path, name: str) -> bool:
    """Return whether a setting or an environment variable is read."""
    is_read = {name, name.removesuffix("_FILE")} & project.settings
    return bool(is_read) or name.startswith(OF_ANY_SCOPE)


def is_dotted_name(project: Project, folder: Path, name: str) -> bool:
    """Return whether the runtime, a chart or a string of the code defines a dotted name."""
    if name.startswith("service_runtime."):
        return project.defines(name)
    is_text = re.search(rf"(?<![\w.]){re.escape(name)}(?![\w.])", project.code)
    return name in project.values or is_text is not None


@pytest.mark.parametrize("example_app", ["yes", "no"])
def test_every_name_in_a_document_of_the_service_exists(example_app):
    project = service(example_app)
    found = {
        (str(path), name)
        for path in documents_of(project)
        for name in unknown_names((project.root / path).read_text(), path.parent, [project])
    }

    assert sorted(found) == []


def test_every_name_in_a_document_of_the_template_exists():
    projects = [repository(), service("yes")]
    found = {
        (str(path), name)
        for path in documents_of(repository())
        for name in unknown_names((template() / path).read_text(), path.parent, projects)
    }

    assert sorted(found) == []


@pytest.mark.parametrize(
    "name",
    [
        *["cached_payload", "service_runtime.caching.cached_payload", "make tests"],
        *["manage.py throttle", "docs/cache.md", "CACHE_PREFIX", "server.worker", "LogEvent"],
        *["THROTTLING_FAIL_CLOSE=login", "cached_payload(Blog)", "docs/missing/x.py"],
    ],
)
def test_a_name_that_does_not_exist_is_found(name):
    text = f"Use `{name}`.\n\n    `a block of code is not checked`\n"

    assert list(unknown_names(text, Path("docs"), [service("yes")])) != []


def test_a_renamed_function_is_found(tmp_path):
    project = bake(project_name="Orders", example_app="yes").copy(tmp_path)
    for path in (project.path / "packages").rglob("*.py"):
        path.write_text(path.read_text().replace("public_page", "shared_page"))
    renamed = Project(project.path, service("yes").files)
    names = unknown_names(project.read("docs/caching.md"), Path("docs"), [renamed])

    assert "public_page" in names


@pytest.mark.parametrize("example_app", ["yes", "no"])
def test_lines_of_documents_are_at_most_100_characters(example_app):
    project = service(example_app)
    own = [path for path in documents_of(project) if "helm" not in path.parts]
    long = [
        (str(path), line)
        for path in own
        for line in (project.root / path).read_text().splitlines()
        if len(line) > 100 and not line.startswith("|") and not CODE_WITH_A_URL.match(line)
    ]

    assert long == []


def test_without_the_example_no_document_mentions_it():
    project = service("no")
    own = [path for path in documents_of(project) if path.parts[0] not in {"helm", "packages"}]
    others = [
        ".env.example",
        "compose.yaml",
        "Makefile",
        "pyproject.toml",
        "deploy/production.yaml",
    ]
    texts = {name: (project.root / name).read_text() for name in [*map(str, own), *others]}

    assert len(own) >= 6
    assert [
        name for name, text in texts.items() if re.search("blog|author_limit", text, re.I)
    ] == []
