"""The steps in docs/adding-an-app.md turn a service with the example into one without it."""

import ast
import re
import shutil
import sys
from pathlib import Path

from tests.support import BakedProject, bake

PAGE = "docs/adding-an-app.md"


def delete_lines(path: Path, texts: list[str]) -> None:
    """Delete each line that contains one of the texts, each of which must occur."""
    lines = path.read_text().splitlines(keepends=True)
    for text in texts:
        assert any(text in line for line in lines), (path, text)
    path.write_text("".join(line for line in lines if not any(text in line for text in texts)))


def delete_function(path: Path, name: str) -> None:
    """Delete a function with its decorators."""
    text = path.read_text()
    functions = [node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)]
    (function,) = (function for function in functions if function.name == name)
    lines = text.splitlines(keepends=True)
    del lines[function.decorator_list[0].lineno - 1 : function.end_lineno]
    path.write_text("".join(lines))


def follow(steps: str, project: BakedProject) -> None:
    """Do in a service what the steps on the page say."""
    (folder,) = re.findall(r"Delete the folder `(.+?)`", steps)
    shutil.rmtree(project.path / folder)
    for file, texts in re.findall(r"^ +\| `(.+?)` \| (.+) \|$", steps, re.MULTILINE):
        delete_lines(project.path / file, re.findall(r"`(.+?)`", texts))
    ((fixture, file),) = re.findall(r"Delete the fixture `(.+?)` from `(.+?)`", steps)
    delete_function(project.path / file, fixture)
    _, recipe = project.read("Makefile").split("\nformat: ")
    for command in re.findall(r"^\t(ruff .+)$", recipe.split("\n\n")[0], re.MULTILINE):
        project.run(sys.executable, "-m", *command.split(), "--no-cache")


def test_the_steps_leave_a_service_without_the_example(tmp_path):
    project = bake().copy(tmp_path)
    _, steps = project.read(PAGE).split("## Removing the example app")

    follow(steps, project)

    def code(service: BakedProject) -> dict[str, tuple[bytes, bool]]:
        documents = {str(path) for path in service.files() if path.suffix == ".md"}
        return {k: v for k, v in service.contents().items() if k not in documents}

    assert code(project) == code(bake(example_app="no"))
