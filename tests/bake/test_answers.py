"""Any value gives a service whose files parse, or a one-line error; then no files remain."""

import json
import re
import subprocess
import sys
import tomllib
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from cookiecutter.environment import StrictEnvironment

from tests.support import ROOT, BakedProject, bake, generate, template

PROMPTS = [
    "project_name",
    "project_slug",
    "description",
    "author",
    "image_repository",
    "example_app",
    "license",
]
SLUG_RULE = (
    "it must be lower-case ASCII letters and digits, in words joined by single underscores, "
    "start with a letter and have at most 40 characters."
)
IMAGE_RULE = (
    "it must be an image name without tag, digest or scheme, such as "
    "registry.example.com:5000/team/app, in lower case, with at most 255 characters."
)
PRINTABLE_RULE = (
    "it must be one line without control, text-direction or other unprintable characters."
)
NEXT_STEP = (
    "Nothing was generated. Correct this and run the command again. "
    "A traceback after this line is Cookiecutter's report of the same error."
)
TAGS_RULE = "it must not contain {%, {#, {{, which open tags of the template language."

REJECTED_ON_THE_COMMAND_LINE = [
    ("project_slug", "", SLUG_RULE),
    ("project_slug", "..", SLUG_RULE),
    ("project_slug", "new/deep/folder", SLUG_RULE),
    ("project_slug", "../outside", SLUG_RULE),
    ("project_slug", "a" * 300, SLUG_RULE),
    ("project_slug", "blog", "it must not be a name that the service itself uses."),
    ("project_name", "", "it must not be blank."),
    ("description", "a" * 501, "it must have at most 500 characters, not 501."),
    ("description", "two\nlines", PRINTABLE_RULE),
    ("author", "\u202eevil", PRINTABLE_RULE),
    ("author", "{{ '{{' }}", TAGS_RULE),
    ("image_repository", "ghcr.io/example/app:1.0", IMAGE_RULE),
    ("example_app", "maybe", "it must be yes or no."),
    ("license", "WTFPL", "it must be MIT, Apache-2.0, BSD-3-Clause or Proprietary."),
]

HOSTILE_TEXTS = {
    "quotes": 'O\'Brien said "hello", \'\'\'twice\'\'\' and """thrice"""',
    "backslashes": 'C:\\new\\table \\u0041 \\" \\',
    "braces": "{ { } }} %} #} {0} ${HOME} $(touch canary) `touch canary` %s %(name)s",
    "yaml": "- key: [value, *anchor] # comment --- !!python/object: &a | > @",
    "markup": "<script>alert(1)</script> & &amp; [link](x) | a | b |",
    "unicode": "日本語 ümlaut 👩‍👩‍👧‍👦 🏴󠁧󠁢󠁥󠁮󠁧󠁿 \U0001fae8 مرحبا",
    "long": "a" * 500,
}


def load_hook(name: str) -> ModuleType:
    """Import a hook from the working tree, without running it."""
    loader = SourceFileLoader(name, str(ROOT / "hooks" / f"{name}.py"))
    module = ModuleType(name)
    loader.exec_module(module)
    return module


def run_cli(
    output_dir: Path, *arguments: str, typed: list[str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the cookiecutter command with arguments, or with values typed at its prompts."""
    return subprocess.run(
        [sys.executable, "-X", "utf8", "-m", "cookiecutter", template(), *arguments],
        cwd=output_dir,
        input=None if typed is None else "".join(f"{line}\n" for line in typed),
        stdin=subprocess.DEVNULL if typed is None else None,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT if typed is None else subprocess.PIPE,
        encoding="utf-8",
        check=False,
    )


def tree(folder: Path) -> dict[str, bytes]:
    """Return the bytes of each file in a folder by path, and b"" for each folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b""
        for path in folder.rglob("*")
    }


def typed_texts(project: BakedProject) -> tuple[str, str, str]:
    """Return the name, description and author in the generated pyproject.toml."""
    document = tomllib.loads(project.read("pyproject.toml"))
    return (
        document["tool"]["service"]["title"],
        document["project"]["description"],
        document["project"]["authors"][0]["name"],
    )


@pytest.mark.parametrize(("name", "value", "rule"), REJECTED_ON_THE_COMMAND_LINE)
def test_rejected_value_gives_a_one_line_error_and_leaves_no_files(tmp_path, name, value, rule):
    output_dir = tmp_path / "outer" / "inner"
    output_dir.mkdir(parents=True)
    result = run_cli(output_dir, "--no-input", f"{name}={value}")
    first_line, next_step = result.stdout.splitlines()[:2]
    assert re.fullmatch(rf"{name} '.*' is invalid: {re.escape(rule)}", first_line)
    assert next_step == NEXT_STEP
    assert result.returncode == 1
    assert sorted(tree(tmp_path)) == ["outer", "outer/inner"]


@pytest.mark.parametrize("slug", ["", "..", "django", "taken/deeper"])
def test_rejected_value_leaves_an_existing_folder_unchanged(tmp_path, slug):
    output_dir = tmp_path / "work"
    for name in ["django", "taken/deeper", "other"]:
        (output_dir / name).mkdir(parents=True)
        (output_dir / name / "mine.txt").write_text("mine")
    before = tree(tmp_path)
    result = run_cli(output_dir, "--no-input", "--overwrite-if-exists", f"project_slug={slug}")
    assert result.stdout.startswith(f"project_slug '{slug}' is invalid: ")
    assert result.returncode == 1
    assert tree(tmp_path) == before


def test_existing_folder_is_left_unchanged(tmp_path):
    (tmp_path / "acme_blog").mkdir()
    (tmp_path / "acme_blog" / "mine.txt").write_text("mine")
    result = run_cli(tmp_path, "--no-input")
    assert result.stdout == 'Error: "acme_blog" directory already exists\n'
    assert result.returncode == 1
    assert tree(tmp_path) == {"acme_blog": b"", "acme_blog/mine.txt": b"mine"}


def test_overwriting_preserves_files_that_the_template_does_not_have(tmp_path):
    project = bake().copy(tmp_path)
    own_files = [
        Path("mine.txt"),
        Path("helm/web/values-mine.yaml"),
        Path("helm/own/Chart.yaml"),
        Path("acme_blog/blog/mine.py"),
    ]
    for name in own_files:
        (project.path / name).parent.mkdir(parents=True, exist_ok=True)
        (project.path / name).write_text("mine")
    generate(template(), tmp_path, overwrite=True)
    assert [project.read(name) for name in own_files] == ["mine"] * len(own_files)


def test_overwriting_does_not_remove_an_existing_example_app(tmp_path):
    project = bake().copy(tmp_path)
    before = tree(tmp_path)
    result = run_cli(tmp_path, "--no-input", "--overwrite-if-exists", "example_app=no")
    assert result.stdout.splitlines()[0] == (
        f"example_app 'no' is rejected: {project.slug}/blog exists and would be removed. "
        "Remove it first, or use 'yes'."
    )
    assert result.returncode == 1
    assert tree(tmp_path) == before


@pytest.mark.parametrize("text", HOSTILE_TEXTS.values(), ids=HOSTILE_TEXTS)
def test_typed_text_is_preserved(tmp_path, text):
    name = text[:100].strip()
    result = run_cli(tmp_path, typed=[name, "acme_blog", text, text, "", "", ""])
    assert result.returncode == 0, result.stderr
    project = BakedProject(tmp_path / "acme_blog", {})
    assert typed_texts(project) == (name, text, text)
    assert text in project.read("LICENSE")
    assert sorted(tmp_path.iterdir()) == [project.path]


def test_no_python_source_depends_on_free_text(tmp_path):
    texts = {"project_name": HOSTILE_TEXTS["quotes"], "project_slug": "acme_blog"}
    texts |= {"description": HOSTILE_TEXTS["backslashes"], "author": HOSTILE_TEXTS["yaml"]}
    hostile, ordinary = bake(**texts), bake()
    sources = [name for name in ordinary.files() if name.suffix in {".py", ".html", ".toml"}]
    different = [name for name in sources if hostile.read(name) != ordinary.read(name)]
    assert different == [Path("pyproject.toml")]


@pytest.mark.parametrize("prompt", ["project_name", "project_slug", "description", "author"])
def test_typed_template_language_is_rejected_and_not_executed(tmp_path, prompt):
    code = "{{ lipsum.__globals__['os'].system('touch canary') }}"
    typed = dict.fromkeys(PROMPTS, "") | {"project_slug": "acme_blog", prompt: code}
    result = run_cli(tmp_path, typed=list(typed.values()))
    assert result.stderr.startswith(f"{prompt} {ascii(code)[:55]}")
    assert result.returncode == 1
    assert tree(tmp_path) == {}
    assert not (template() / "canary").exists()


def test_command_line_is_rendered_by_cookiecutter_itself(tmp_path):
    """Show that the canary of the test above works: here cookiecutter executes the code."""
    code = "A{{ lipsum.__globals__['os'].system('touch canary') }}"
    run_cli(tmp_path, "--no-input", f"description={code}")
    assert (tmp_path / "canary").exists()


@pytest.mark.parametrize(
    ("project_name", "slug"),
    [
        ("Acme Blog", "acme_blog"),
        ("  Ünïcode & Söhne  ", "unicode_sohne"),
        ("42 answers", "service_42_answers"),
        ("!!!", "service"),
        ("word " * 20, "word_word_word_word_word_word_word_word"),
    ],
)
def test_default_slug_is_valid(project_name, slug):
    default = json.loads((template() / "cookiecutter.json").read_text())["project_slug"]
    rendered = StrictEnvironment().from_string(default)
    assert rendered.render(cookiecutter={"project_name": project_name}) == slug
    assert load_hook("pre_gen_project").check_project_slug(slug) is None


@pytest.mark.parametrize("slug", ["a", "a1", "acme_blog", "a_1_b", "django_app", "z" * 40])
def test_slug_is_accepted(slug):
    assert load_hook("pre_gen_project").check_project_slug(slug) is None


RESERVED_SLUGS = {
    "a Python keyword": "class match type",
    "a module of Python's standard library": "test unittest imp distutils annotationlib",
    "a package that the service depends on": "django rest_framework redis pytest opentelemetry",
    "a name that the service itself uses": "blog users service_runtime tests helm manage settings",
    "a word that YAML does not parse as a string": "null on y",
}


@pytest.mark.parametrize(("kind", "slugs"), RESERVED_SLUGS.items())
def test_reserved_slug_is_rejected(kind, slugs):
    hook = load_hook("pre_gen_project")
    for slug in slugs.split():
        assert hook.check_project_slug(slug) == f"it must not be {kind}"


MALFORMED_SLUGS = (
    "A Acme acme-blog acme.blog 1acme _acme acme_ acme__blog a/b . \u00e9 acme\u0131 \uff41"
)


@pytest.mark.parametrize("slug", [*MALFORMED_SLUGS.split(), "acme\n", "a b", " a", "a" * 41])
def test_malformed_slug_is_rejected(slug):
    assert "lower-case" in load_hook("pre_gen_project").check_project_slug(slug)


def test_distribution_names_of_dependencies_are_rejected():
    groups = []
    for folder in (".", "packages/service-runtime"):
        document = tomllib.loads(bake().read(f"{folder}/pyproject.toml"))
        groups += [
            document["project"]["dependencies"],
            *document["project"]["optional-dependencies"].values(),
            *document.get("dependency-groups", {}).values(),
        ]
    names = [re.split(r"[^\w.-]", requirement)[0] for group in groups for requirement in group]
    hook = load_hook("pre_gen_project")
    slugs = [re.sub(r"[-.]", "_", name.lower()) for name in names]
    assert [slug for slug in slugs if not hook.check_project_slug(slug)] == []


def test_names_used_inside_the_service_are_rejected():
    project = bake()
    names = [*project.path.iterdir(), *(project.path / project.slug).iterdir()]
    modules = {path.stem for path in names if path.is_dir() or path.suffix == ".py"}
    hook = load_hook("pre_gen_project")
    accepted = {name for name in modules if not hook.check_project_slug(name)}
    assert accepted == {project.slug}


@pytest.mark.parametrize(
    "repository",
    [
        "app",
        "ghcr.io/example/app",
        "localhost:5000/x",
        "r.example.com:443/a/b_c/d__e/f--g.h",
        "1/2",
    ],
)
def test_image_repository_is_accepted(repository):
    assert load_hook("pre_gen_project").check_image_repository(repository) is None


@pytest.mark.parametrize(
    "repository",
    [
        "",
        " ",
        "app:1.0",
        "localhost:5000/x:1",
        "app@sha256:" + "0" * 64,
        "https://ghcr.io/example/app",
        "ghcr.io/Example/app",
        "ghcr.io/example/",
        "/app",
        "a//b",
        "a___b",
        "-a/b/C",
        "app\n",
        "a/" * 130 + "a",
    ],
)
def test_invalid_image_repository_is_rejected(repository):
    assert load_hook("pre_gen_project").check_image_repository(repository)


@pytest.mark.parametrize("tag", ["{{", "a{%b", "{#"])
def test_text_that_opens_a_tag_is_rejected(tag):
    assert "language" in load_hook("pre_gen_project").check_text(tag, 500)


UNPRINTABLE = "\n\r\t\0\x1b\x85\x9b\u2028\u2029\ud800\ufeff\ufffe\u202e\u2066"


@pytest.mark.parametrize("character", UNPRINTABLE)
def test_text_with_an_unprintable_character_is_rejected(character):
    assert "one line" in load_hook("pre_gen_project").check_text(f"a{character}b", 500)


@pytest.mark.parametrize("text", ["", " ", "\u00a0", " a", "a "])
def test_blank_or_padded_text_is_rejected(text):
    assert load_hook("pre_gen_project").check_text(text, 500)


def test_image_repository_that_looks_like_a_number_stays_a_string():
    project = bake(image_repository="1e3")
    for name in ("production", "staging"):
        values = yaml.safe_load(project.read(f"deploy/{name}.yaml"))
        assert values["image"]["repository"] == "1e3"


def test_generation_prints_the_next_command(tmp_path):
    printed = run_cli(tmp_path, "--no-input").stdout
    assert printed == "acme_blog is ready. Next: cd acme_blog && make run\n"
