"""Generate the tables of values in the charts' READMEs from values.yaml: `make values`.

Each row has a value, its default and the comment above it (`# --`, or the comment of its block).
"""

import json
import re
from pathlib import Path
from typing import Any

import yaml

from tests.charts.conftest import CHARTS

BEGIN, END = "<!-- values: begin -->\n", "<!-- values: end -->\n"
KEY = re.compile(r"^( *)([A-Za-z]\w*):(.*)$")


def described(text: str) -> list[tuple[tuple[str, ...], str]]:
    """Return the path and the comment of each key in a values file, in order."""
    found: list[tuple[tuple[str, ...], str]] = []
    path: list[tuple[int, str]] = []
    comment: list[str] = []
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith("#"):
            if stripped.startswith("# --"):
                comment.clear()
            comment.append(stripped.removeprefix("# --").removeprefix("#").strip())
        elif match := KEY.match(line):
            indent, key, rest = len(match[1]), match[2], match[3]
            path = [(other, name) for other, name in path if other < indent] + [(indent, key)]
            inline = rest.partition("  # --")[2].strip()
            found.append((tuple(name for _, name in path), " ".join(comment) or inline))
            comment.clear()
        else:
            comment.clear()
    return found


def table(chart: Path) -> str:
    """Return the table of a chart's values in Markdown."""
    text = (chart / "values.yaml").read_text(encoding="utf-8")
    values = yaml.safe_load(text)
    schema = json.loads((chart / "values.schema.json").read_text(encoding="utf-8"))
    rows = ["| Value | Default | |", "|---|---|---|"]
    for path, comment in described(text):
        default: Any = values
        shape: Any = schema
        for name in path:
            default = default[name] if isinstance(default, dict) else None
            shape = shape.get("properties", {}).get(name, {})
        is_fixed = shape.get("additionalProperties") is False and "properties" in shape
        if not shape:  # inside a free-form value
            continue
        shown = "" if is_fixed and isinstance(default, dict) and default else code(default)
        cell = comment.replace("|", "\\|")
        rows.append(f"| `{'.'.join(path)}` | {shown} | {cell} |")
    return "\n".join(rows) + "\n"


def code(default: Any) -> str:
    """Format a default; refer to values.yaml if it is long."""
    written = json.dumps(default, ensure_ascii=False)
    return f"`{written}`" if len(written) <= 60 else "see values.yaml"


def readme(chart: Path) -> str:
    """Return a chart's README with an up-to-date table."""
    text = (chart / "README.md").read_text(encoding="utf-8")
    head, _, rest = text.partition(BEGIN)
    return f"{head}{BEGIN}\n{table(chart)}\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    for chart in (CHARTS / "web", CHARTS / "redis"):
        (chart / "README.md").write_text(readme(chart), encoding="utf-8")
