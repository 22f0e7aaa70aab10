"""The examples in the service's README give the output that the README shows."""

import re
import shutil
from collections.abc import Iterator

import pytest
from markdown_it import MarkdownIt

from ..running import Service
from ..support import BakedProject

pytestmark = [pytest.mark.network, pytest.mark.server]

LIMIT = "THROTTLE_BLOG_LIMIT=5/minute"
# What differs from one run to the next.
VARYING = re.compile(r"[0-9a-f]{32}|[0-9][0-9TZ:.-]*")
SHORTENED = re.compile(r'(?:(?<=")[0-9a-f]{4})?\.\.\.')


def examples(project: BakedProject) -> Iterator[tuple[str, list[str]]]:
    """Yield each command with a prompt, and the lines of its output."""
    tokens = MarkdownIt().parse(project.read("README.md"))
    text = "\n\n".join(token.content for token in tokens if token.type == "code_block")
    for block in re.split(r"\n{2,}", text.replace("\\\n", " ")):
        command, *output = block.splitlines() or [""]
        if command.startswith("$ "):
            yield command.removeprefix("$ "), output


def comparable(line: str) -> str:
    """Return a line up to the place where the document shortens it, without varying values."""
    shown = SHORTENED.split(line)[0].strip()
    return shown if shown.startswith("HTTP/") else VARYING.sub("#", shown)


@pytest.fixture
def service(project, tmp_path) -> Iterator[Service]:
    """Run the service as the README does, with the limit of its example."""
    copy = project.copy(tmp_path)
    user = {"DJANGO_SUPERUSER_PASSWORD": "correct horse", "ENV_FILE": ".env"}
    python = copy.path / ".venv/bin/python"
    copy.run(python, "manage.py", "migrate", "--verbosity=0", **user)
    options = ["--noinput", "--username=ada", "--email=ada@example.com"]
    copy.run(python, "manage.py", "createsuperuser", *options, **user)
    variable, _, limit = LIMIT.partition("=")
    environment = {"ENV_FILE": ".env", variable: limit}
    with Service(["make", "run"], copy.path, tmp_path / "run.log", **environment) as service:
        yield service


def test_examples_give_the_output_in_the_document(project, service):
    assert LIMIT in project.read("README.md")
    assert shutil.which("curl"), "Install curl, with which the README sends its requests."
    ports = {"localhost:8000": service.port, "localhost:8001": service.ops_port}
    ran = 0
    for command, output in examples(project):
        for address, port in ports.items():
            command = command.replace(address, f"127.0.0.1:{port}")
        command = command.replace("curl ", r"curl --silent --write-out '\n' ")
        printed = project.run("bash", "-c", command.replace('"..."', '"correct horse"'))
        lines = [comparable(line) for line in printed.splitlines()]
        for line in map(comparable, output):
            assert any(found.startswith(line) for found in lines), f"{command}\n{line}\n{printed}"
        ran += 1

    assert ran >= 6
