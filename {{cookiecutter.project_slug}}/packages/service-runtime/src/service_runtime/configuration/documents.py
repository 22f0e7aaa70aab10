"""The tables of variables in Markdown documents."""

import re

from .variable import Variable

_TABLE = re.compile(r"(<!-- variables: ([^\n]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def updated(text: str, groups: dict[str, list[Variable]]) -> str:
    """Return a document with up-to-date tables.

    The table of a group is between `<!-- variables: GROUP -->` and `<!-- end -->`.

    Raises:
        KeyError: there is no such group.
    """
    return _TABLE.sub(lambda found: f"{found[1]}{table(groups[found[2]])}{found[3]}", text)


def table(variables: list[Variable]) -> str:
    """Return variables as a table; empty if there are none."""
    rows = [
        f"| `{variable.name}` | {variable.described_type} | {variable.described_default} |"
        f" {variable.meaning.replace('|', chr(92) + '|')} |"
        for variable in variables
    ]
    if not rows:
        return ""
    head = ["| variable | type | default | meaning |", "|---|---|---|---|"]
    return "\n".join(["", *head, *rows, "", ""])
