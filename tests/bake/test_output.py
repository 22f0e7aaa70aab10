"""Properties of every generated service, whatever the values of the prompts."""

import ast
import json
import re
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml

from tests.support import ROOT, BakedProject, bake, generate, template

VARIANTS: dict[str, dict[str, str]] = {
    "default": {},
    "no-example-app": {"example_app": "no"},
    "one-character-slug": {"project_slug": "a"},
    "last-slug": {"project_slug": "z", "example_app": "no"},
    "longest-slug": {"project_slug": "x" * 40},
    "longest-slug-no-example-app": {"project_slug": "x" * 40, "example_app": "no"},
    "other-license": {"license": "Apache-2.0"},
}

# Files whose format uses double braces; no other file in a service can contain `{{` or `{%`.
FILES_WITH_DOUBLE_BRACES = [
    "*/templates/*.html",
    ".github/workflows/*.yml",
    "helm/redis/templates/*",
    "helm/web/ci/argocd-values.yaml",
    "helm/web/files/dashboard.json",
    "helm/web/templates/*",
    "packages/*",  # f-strings and route converters
]

# Files that are allowed to name the template, for provenance and updates.
FILES_THAT_NAME_THE_TEMPLATE = [
    "README.md",
    "packages/service-runtime/CHANGELOG.md",
    "packages/service-runtime/LICENSE",
    "scripts/update.py",
]

LICENSE_TITLES = {
    "MIT": "MIT License",
    "BSD-3-Clause": "BSD 3-Clause License",
    "Apache-2.0": "Apache License",
    "Proprietary": "All rights reserved",
}


@pytest.fixture(params=VARIANTS.values(), ids=list(VARIANTS))
def project(request) -> BakedProject:
    """Return a service of each variant."""
    return bake(**request.param)


def test_same_values_give_the_same_bytes_and_modes(tmp_path):
    first, second = (generate(template(), tmp_path / name) for name in ["first", "second"])
    assert first.contents() == second.contents()
    assert [mode(first, name) for name in first.files()] == [
        mode(second, name) for name in second.files()
    ]


def mode(project: BakedProject, name: Path) -> int:
    """Return a file's permission bits."""
    return (project.path / name).stat().st_mode


def test_every_file_parses(project):
    for name in project.files():
        is_chart_template = fnmatch(str(name), "helm/*/templates/*")
        text = project.read(name)
        match name.suffix:
            case ".py":
                ast.parse(text, filename=str(name))
            case ".toml":
                tomllib.loads(text)
            case ".json":
                json.loads(text)
            case ".yaml" | ".yml" if not is_chart_template:
                list(yaml.safe_load_all(text))


def test_no_template_language_is_left(project):
    names = [str(name) for name in project.files()]
    assert [name for name in names if re.search(r"cookiecutter|\{\{|\{%", name)] == []
    naming = [name for name in names if re.search("cookiecutter", project.read(name), re.I)]
    assert [name for name in naming if name not in FILES_THAT_NAME_THE_TEMPLATE] == []
    assert [name for name in naming if "cookiecutter." in project.read(name)] == []


def test_only_known_files_contain_double_braces(project):
    found = [str(name) for name in project.files() if re.search(r"\{\{|\{%", project.read(name))]
    unknown = [
        name
        for name in found
        if not any(fnmatch(name, pattern) for pattern in FILES_WITH_DOUBLE_BRACES)
    ]
    unused = [
        pattern
        for pattern in FILES_WITH_DOUBLE_BRACES
        if not any(fnmatch(name, pattern) for name in found)
    ]
    assert (unknown, unused) == ([], [])


def test_ruff_finds_nothing(project):
    ruff = [sys.executable, "-m", "ruff"]
    project.run(*ruff, "check", "--no-cache", ".")
    project.run(*ruff, "format", "--no-cache", "--diff", ".")


def test_text_is_tidy(project):
    for name in project.files():
        text = project.read(name)
        assert not re.search(r"[ \t]+$|\r", text, re.MULTILINE), f"trailing white space in {name}"
        assert text == "" or text.endswith("\n"), f"no newline at the end of {name}"
        assert not text.endswith("\n\n"), f"empty lines at the end of {name}"


def test_no_file_contains_a_path_of_the_generating_machine(project):
    paths = [str(ROOT), str(template()), str(project.path)]
    for name in project.files():
        assert [path for path in paths if path in project.read(name)] == []


def test_no_lock_file_is_generated(project):
    assert [name for name in project.files() if name.name == "uv.lock"] == []


def test_executable_files_are_those_with_an_interpreter_line(project):
    executable = [name for name, (_, is_executable) in project.contents().items() if is_executable]
    scripts = [str(name) for name in project.files() if project.read(name).startswith("#!")]
    assert executable == scripts


def test_example_app_is_left_out():
    with_app, without_app = bake(), bake(example_app="no")
    left_out = set(with_app.files()) - set(without_app.files())
    assert Path("acme_blog/blog/models.py") in left_out
    assert set(without_app.files()) < set(with_app.files())
    assert not (without_app.path / "acme_blog/blog").exists()
    for name in without_app.files():
        assert "acme_blog.blog" not in without_app.read(name), name


@pytest.mark.parametrize("license_name", LICENSE_TITLES)
def test_license_is_the_chosen_one(license_name):
    text = bake(license=license_name, author="Jane Doe").read("LICENSE")
    assert [name for name, title in LICENSE_TITLES.items() if title in text] == [license_name]
    assert "Jane Doe" in text.splitlines()[0] + text.splitlines()[2]
    assert not re.search(r"\b20\d\d\b.*Jane Doe", text)


def test_no_folder_matches_a_pattern_of_files_to_copy():
    """Cookiecutter replaces a matching folder as a whole and deletes the team's files in it."""
    patterns = json.loads((template() / "cookiecutter.json").read_text())["_copy_without_render"]
    project = bake()
    folders = [path for path in project.path.rglob("*") if path.is_dir()]
    names = [str(path.relative_to(project.path)) for path in folders]
    assert [name for name in names if any(fnmatch(name, pattern) for pattern in patterns)] == []


@pytest.mark.parametrize("folder", ["helm", "packages"])
def test_charts_and_packages_are_the_same_bytes_in_every_service(folder):
    source = next(template().glob("*cookiecutter.project_slug*")) / folder
    copy = bake(project_slug="z", example_app="no").path / folder
    names = sorted(path.relative_to(source) for path in source.rglob("*") if path.is_file())
    assert names
    for name in names:
        assert (source / name).read_bytes() == (copy / name).read_bytes(), name
