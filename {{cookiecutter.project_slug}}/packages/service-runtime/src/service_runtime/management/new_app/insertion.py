"""Insert an item into a list or dictionary of a Python file, and leave all other text as it is."""

import ast
import re
from dataclasses import dataclass
from pathlib import Path

_END_OF_ITEM = re.compile(rb"\s*,\s*(#.*)?")


@dataclass(frozen=True)
class Line:
    """An item for the list or dictionary that a file assigns to a name.

    Attributes:
        file: the file.
        name: the variable. If its value is a call, the item belongs in its dictionary argument.
        code: the item, with a comma.
        after: the item follows the last one with a string of this prefix, or else the last one.
    """

    file: Path
    name: str
    code: str
    after: str = ""


class DuplicateItemError(Exception):
    """The list has the item, or the dictionary its key."""


class NoPlaceError(Exception):
    """The file has no such list or dictionary with one item per line."""


def insert(source: str, line: Line) -> str:
    """Return the source with the item in its place.

    Raises:
        DuplicateItemError: the item would be there twice.
        NoPlaceError: a person has to insert the item.
    """
    found = _collection(ast.parse(source), line.name)
    items = _items(found)
    if not items:
        raise NoPlaceError
    wrapped = f"[{line.code}]" if isinstance(found, ast.List) else f"{{{line.code}}}"
    ((new, _),) = _items(ast.parse(wrapped, mode="eval").body)
    if ast.unparse(new) in [ast.unparse(start) for start, _ in items]:
        raise DuplicateItemError
    own = [item for item in items if line.after and _has_string(item[0], line.after)]
    start, end = (own or items)[-1]
    # Offsets of the syntax tree count bytes.
    rows = source.encode().split(b"\n")
    indent = rows[start.lineno - 1][: start.col_offset]
    rest = rows[(end.end_lineno or 0) - 1][end.end_col_offset :]
    if indent.strip() or not _END_OF_ITEM.fullmatch(rest):
        raise NoPlaceError
    rows.insert(end.end_lineno or 0, indent + line.code.encode())
    return b"\n".join(rows).decode()


def _collection(tree: ast.Module, name: str) -> ast.expr | None:
    """Return what a module assigns to a name, or the dictionary argument of that call."""
    for node in tree.body:
        match node:
            case (
                ast.Assign(targets=[ast.Name(id=target)], value=value)
                | ast.AnnAssign(target=ast.Name(id=target), value=ast.expr() as value)
            ) if target == name:
                if isinstance(value, ast.Call):
                    arguments = [keyword.value for keyword in value.keywords]
                    return next((a for a in arguments if isinstance(a, ast.Dict)), None)
                return value
    return None


def _items(collection: ast.expr | None) -> list[tuple[ast.expr, ast.expr]]:
    """Return the first and the last expression of each item; of a list's item, both are one."""
    match collection:
        case ast.List(elts=items):
            return [(item, item) for item in items]
        case ast.Dict(keys=keys, values=values):
            return [(key, value) for key, value in zip(keys, values, strict=True) if key]
    return []


def _has_string(item: ast.expr, prefix: str) -> bool:
    strings = [node.value for node in ast.walk(item) if isinstance(node, ast.Constant)]
    return any(isinstance(text, str) and text.startswith(prefix) for text in strings)
