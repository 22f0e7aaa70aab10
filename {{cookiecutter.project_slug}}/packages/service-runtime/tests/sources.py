"""What the source of the package, and of the libraries that it uses, has in it."""

import ast
import importlib.util
import inspect
import re
from functools import cache
from pathlib import Path
from typing import Any

SOURCES = Path(importlib.import_module("service_runtime").__path__[0])
MODULES = {
    ".".join(path.relative_to(SOURCES.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(SOURCES.rglob("*.py"))
}


def parameters(path: str) -> list[str]:
    """Return the parameters that a function has in its source, whatever has replaced it.

    Args:
        path: the module's name, then those of a class, if any, and of the function.
    """
    parts = path.split(".")
    size = next(n for n in range(len(parts), 0, -1) if _is_module(".".join(parts[:n])))
    module = importlib.import_module(".".join(parts[:size]))
    found: Any = ast.parse(inspect.getsource(module))
    for name in parts[size:]:
        found = next(
            node
            for node in found.body
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name
        )
    arguments = found.args
    every = [*arguments.posonlyargs, *arguments.args, arguments.vararg, *arguments.kwonlyargs]
    return [one.arg for one in [*every, arguments.kwarg] if one]


def _is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


@cache
def names_in(path: Path) -> tuple[frozenset[str], frozenset[str]]:
    """Return the names that a module defines, and its other attributes, imports and strings."""
    defined, used = set(), set()
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.arg(arg=name):
                defined.add(name)
            case ast.Name(id=name, ctx=ast.Store()):
                defined.add(name)
            case ast.Attribute(value=ast.Name(id="self" | "cls"), attr=name, ctx=ast.Store()):
                defined.add(name)
            case ast.Attribute(attr=name) | ast.Constant(value=str(name)):
                used.add(name)
            case ast.ImportFrom(names=aliases):
                used.update(alias.name for alias in aliases)
    return frozenset(defined), frozenset(used)


def modules_with(name: str) -> list[str]:
    """Return the modules of the package in whose source a name occurs."""
    return [module for module, path in MODULES.items() if re.search(rf"\b{name}", path.read_text())]
