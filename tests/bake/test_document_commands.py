"""Every command in a document is run by a test, or listed with the reason why none runs it."""

import ast
import re
import shlex
import tomllib
from collections.abc import Iterator
from textwrap import dedent

import pytest
import yaml
from markdown_it import MarkdownIt

from tests.bake.test_documents import documents_of, repository, service
from tests.support import ROOT

# What runs the commands that start with these words.
RUN_BY = {
    ".ci/run": ["make demo", "make test", "make peers", "make e2e"],
    ".github/workflows/ci.yml": ["make matrix"],
    "Makefile": ["make lint", "make test-runtime", "with-redis pytest"],
    "tests/bake/test_cookiecutter.py::test_the_oldest_cookiecutter_generates_the_same_service": [
        "uvx cookiecutter"
    ],
    "tests/updates.py::cruft_create": ["cruft create"],
    "tests/bake/test_sources.py::test_cruft_link_adds_updates_to_a_service": ["cruft link"],
    "tests/bake/test_sources.py::test_cruft_update_applies_a_change_of_the_template": [
        "cruft update"
    ],
    "tests/bake/test_sources.py::test_cruft_diff_is_a_patch_that_undoes_local_edits": [
        "cruft diff"
    ],
    "tests/repository/test_release.py::test_make_release_creates_it": ["make release"],
    "tests/service/test_readme.py::test_examples_give_the_output_in_the_document": [
        "make run",
        "curl",
    ],
    "tests/service/test_new_app.py::with_app": ["make app"],
    "tests/service/test_new_app.py::test_the_tables_of_the_example_are_removed_as_documented": [
        ".venv/bin/python manage.py migrate blog zero"
    ],
    "tests/service/test_pip.py::test_pip_installs_the_service": ["pip install"],
    "tests/e2e/cluster.py::execute": ["kubectl exec"],
    "tests/e2e/test_commands.py::test_a_cron_job_deletes_an_expired_session": ["kubectl logs"],
    "tests/e2e/test_failures.py::test_drills": ["make drill"],
    "tests/e2e/test_redis.py::test_a_password_is_replaced_without_a_failed_request": ["helm test"],
    "tests/e2e/web.py::restart": ["kubectl rollout"],
    "tests/e2e/web.py::upgrade": ["helm upgrade"],
    "runtime/tests/configuration/test_command.py": [".venv/bin/python manage.py settings"],
    "runtime/tests/throttling/test_operations.py": ["python manage.py throttles"],
}
NOT_RUN = {
    "an alias of pytest, with the other targets of the Makefile": ["make test-fast"],
    "40 minutes; tests/repository/test_bench.py checks the sections": ["make bench"],
    "needs Docker; tests/e2e builds the same Dockerfile": ["make image"],
    "needs Docker; tests/charts/test_observe.py checks what it starts": ["make observe"],
    "needs a registry": ["docker push", "cosign verify"],
    "changes a remote; tests run the workflow that the tag starts": ["git push", "git tag"],
    "tests/e2e creates the same objects with the API": [
        "kubectl create namespace",
        "kubectl create secret",
        "kubectl label namespace",
        "kubectl config set-context",
    ],
    "a pod of tests/e2e sends the requests": ["kubectl port-forward"],
    "filters for a terminal": ["jq", "sort", "head"],
}
LISTED = [words for lists in (RUN_BY, NOT_RUN) for listed in lists.values() for words in listed]
WHAT_TO_DO = """
No test is listed for these commands. For each, add its first words to RUN_BY in {file}, next to
the test that runs it; write that test if there is none. If no test can run it here, add it to
NOT_RUN with the reason. If it is no command, extend `is_code`.

"""

SHELLS = {"sh", "bash", "shell", "console"}
BUILTINS = {"cd", "done", "export", "for", "sleep", "..."}
KEYWORDS = re.compile(r"do|until|while|[A-Z_]+=.*", re.DOTALL)
OTHER_CODE = re.compile(
    r"HTTP/|[{~]|SELECT |ALTER |[^\s]*/\s"  # responses, ACL rules, SQL, folders
    r"|(?:[A-Z_]+=\S+\s)+\Z"  # variables
)


def commands_in(text: str) -> Iterator[list[str]]:
    """Yield the words of each command in the code blocks of a document."""
    for token in MarkdownIt().parse(text):
        if token.type not in {"code_block", "fence"}:
            continue
        text = dedent(token.content).replace("\\\n", " ")
        language = token.info.strip()
        if (language and language not in SHELLS) or is_code(text):
            continue
        # Indented blocks with only a blank line between them are one token.
        for block in text.split("\n\n"):
            lines = block.splitlines()
            prompted = [line[2:] for line in lines if line.startswith("$ ")]
            for line in prompted or ([] if is_code(block) else lines):
                yield from commands_of(line)


def commands_of(line: str) -> Iterator[list[str]]:
    """Yield the words of each command in a line of shell."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=";&|")
    lexer.whitespace_split = True
    words: list[str] = []
    for word in [*lexer, ";"]:
        if not re.fullmatch("[;&|]+", word):
            words += [word] if words or not KEYWORDS.fullmatch(word) else []
            continue
        if words and words[0] not in BUILTINS:
            yield words
        words = []


def is_code(block: str) -> bool:
    """Return whether a block without a prompt is something other than commands."""
    if OTHER_CODE.match(block) or "──" in block:
        return True
    try:
        parsed = yaml.safe_load(block)
        if isinstance(parsed, list) or (
            isinstance(parsed, dict) and not any(" " in str(name) for name in parsed)
        ):
            return True
    except yaml.YAMLError:
        pass
    try:
        return bool(tomllib.loads(block))
    except tomllib.TOMLDecodeError:
        pass
    try:
        # A program's name alone, or with an option, is a valid expression of Python too.
        return any(
            not isinstance(node, ast.Expr) or isinstance(node.value, ast.Call | ast.Tuple)
            for node in ast.parse(block).body
        )
    except SyntaxError:
        return False


def is_listed(command: list[str]) -> bool:
    """Return whether a command starts with the words of an entry."""
    return any(command[: len(entry)] == entry for entry in map(str.split, LISTED))


def documented() -> Iterator[tuple[str, list[str]]]:
    """Yield each command in the documents of the template and of a service, with its document."""
    for project in (repository(), service("yes"), service("no")):
        for path in documents_of(project):
            for command in commands_in((project.root / path).read_text()):
                yield str(path), command


def test_every_command_is_run_by_a_test_or_listed_with_a_reason():
    unlisted = {f"{path}: {shlex.join(each)}" for path, each in documented() if not is_listed(each)}

    assert not unlisted, WHAT_TO_DO.format(file=__file__) + "\n".join(sorted(unlisted))


def test_every_listed_command_is_in_a_document():
    commands = [command for _, command in documented()]
    unused = [
        words
        for words in LISTED
        if not any(command[: len(words.split())] == words.split() for command in commands)
    ]

    assert unused == []


@pytest.mark.parametrize("runner", RUN_BY)
def test_what_runs_a_command_exists_and_names_it(runner):
    path, _, function = runner.partition("::")
    source = (ROOT / path).read_text()

    assert not function or re.search(rf"def {function}\(", source)
    for words in RUN_BY[runner]:
        assert re.search(rf"(?<![\w-]){words.split()[-1]}(?![\w-])", source), words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("    make deploy\n", "make deploy"),
        ("    cd acme_blog && make deploy  # now\n", "make deploy"),
        ("```sh\nmake deploy\n```\n", "make deploy"),
        ("    $ make deploy\n    done\n", "make deploy"),
        ("    LOG_LEVEL=DEBUG make deploy\n", "make deploy"),
        ("- a list:\n\n      terraform apply \\\n        -auto-approve\n", "terraform apply"),
        ("    for i in 1 2; do ./request; done\n", "./request"),
        ("    kubectl get pods | xargs rm\n", "xargs rm"),
        ("    redis-server\n", "redis-server"),
    ],
)
def test_a_command_that_is_not_listed_is_found(text, words):
    found = [command for command in commands_in(text) if not is_listed(command)]

    assert words.split() in [command[: len(words.split())] for command in found]


@pytest.mark.parametrize(
    "block",
    [
        "throttle_scope = 'catalog'\n",
        "@cached_response(Product)\ndef list(self, request):\n    ...\n",
        "# deploy/production.yaml\ningress:\n  host: example.com\n",
        '[tool.cruft]\nskip = ["packages"]\n',
        "HTTP/1.1 200 OK\nCache-Status: hit\n",
        "THROTTLE_CATALOG=100/hour\n",
    ],
)
def test_other_code_is_not_a_command(block):
    text = "".join(f"    {line}\n" for line in block.splitlines())

    assert list(commands_in(text)) == []
