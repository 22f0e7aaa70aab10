"""The names that documents can use: those of code, files, commands, settings and values."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

CODE = {".py", ".toml", ".yaml", ".yml", ".json", ".tpl", ".lua", ".html", ".example"}
CODE_WITHOUT_SUFFIX = {"Makefile", "Dockerfile", ".gitignore"}
MODULES_OF_SETTINGS = {f"{name}.py" for name in "conf environment settings table variables".split()}
COMMENT = re.compile(r"(?<![\w\"'])#.*$|^ *--.*$", re.MULTILINE)


def code_of(path: Path) -> str:
    """Return the text of a file without comments and docstrings."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        return COMMENT.sub("", text)
    docstrings = {
        node.body[0].lineno
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and ast.get_docstring(node) is not None
    }
    return "\n".join(
        token.string
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type != tokenize.COMMENT
        and not (token.type == tokenize.STRING and token.start[0] in docstrings)
    )


@dataclass(frozen=True)
class Project:
    """A folder whose code defines the names in its documents."""

    root: Path
    files: list[Path]

    @cached_property
    def code(self) -> str:
        """The text of all code, without tests."""
        return "\n".join(
            code_of(self.root / path)
            for path in self.files
            if path.suffix in CODE or path.name in CODE_WITHOUT_SUFFIX
        )

    @cached_property
    def words(self) -> set[str]:
        """Every word of the code."""
        return set(re.findall(r"\w+", self.code))

    @cached_property
    def targets(self) -> set[str]:
        """The targets of all Makefiles."""
        return set(self._find("Makefile", r"^([a-z][\w-]*):"))

    @cached_property
    def commands(self) -> set[str]:
        """The management commands that the project defines."""
        return {path.stem for path in self.files if path.parent.name == "commands"}

    @cached_property
    def settings(self) -> set[str]:
        """Settings, environment variables, and the variables of Makefiles and workflows."""
        names = set(self._find("Makefile", r"\b([A-Z][A-Z_]+)\b ?[:?]?="))
        names |= set(self._find("*.yml", r"\b(?:secrets|vars)\.([A-Z_]+)"))
        for path in self.files:
            if path.name in MODULES_OF_SETTINGS:
                names |= set(_settings_in(ast.parse((self.root / path).read_text())))
        return names

    @cached_property
    def values(self) -> set[str]:
        """The dotted paths of all values of the charts."""
        found: set[str] = set()
        for path in self.files:
            if path.name == "values.yaml":
                found |= set(_paths(yaml.safe_load((self.root / path).read_text())))
        return found

    def defines(self, dotted: str) -> bool:
        """Return whether a name such as `service_runtime.logging.log_event` is defined."""
        path, rest = self.root / "packages/service-runtime/src", dotted.split(".")
        while rest and (path / rest[0]).is_dir():
            path /= rest.pop(0)
        if rest and (path / f"{rest[0]}.py").exists():
            path /= f"{rest.pop(0)}.py"
        module = path / "__init__.py" if path.is_dir() else path
        return module.exists() and set(rest) <= set(re.findall(r"\w+", code_of(module)))

    def _find(self, name: str, pattern: str) -> Iterator[str]:
        for path in self.files:
            if path.match(name):
                yield from re.findall(pattern, (self.root / path).read_text(), re.MULTILINE)


def _settings_in(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from re.findall(r"^[A-Z][A-Z_]+$", node.value)


def _paths(values: Any, prefix: str = "") -> Iterator[str]:
    for name, value in (values or {}).items() if isinstance(values, dict) else ():
        yield prefix + name
        yield from _paths(value, f"{prefix}{name}.")
