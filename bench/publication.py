"""Publish the results of benchmarks in docs/benchmarks: a table, its data and a figure."""

import json
import os
import platform
import re
import statistics
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.service.servers import redis_program
from tests.support import ROOT

# A trial run writes elsewhere.
RESULTS = Path(os.environ.get("BENCH_RESULTS", ROOT / "docs" / "benchmarks"))
TEXT_COLOUR = "#808080"  # readable on white and on black


def publish(
    name: str, table: str, data: Any = None, figure: Callable[[], Any] | None = None
) -> None:
    """Print a benchmark's table, and write it to NAME.md, its data to NAME.json.

    Args:
        name: the section's name.
        table: the results as Markdown.
        data: the figures of all rounds, for JSON.
        figure: a function that draws a matplotlib figure, for NAME.svg.
    """
    text = f"{machine()}\n\n{table.strip()}\n"
    print(text)
    RESULTS.mkdir(parents=True, exist_ok=True)
    if figure:
        _save(figure, RESULTS / f"{name}.svg")
        text += f"\n![{name}]({name}.svg)\n"
    (RESULTS / f"{name}.md").write_text(text, encoding="utf-8")
    if data is not None:
        document = {"machine": machine(), "data": data}
        (RESULTS / f"{name}.json").write_text(_lines(document), encoding="utf-8")


def machine() -> str:
    """Return a line with the processor, its cores, and the versions of what runs on it."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    words = [
        f"{_processor()}, {max(cores or 1, os.cpu_count() or 1)} cores",
        f"{platform.system()} {platform.release()}",
        f"Python {platform.python_version()}",
        f"Redis {_redis_version()}",
    ]
    return "; ".join(words) + "."


def _lines(document: Any) -> str:
    """Return JSON with a line for each list of numbers, so that a difference can be read."""
    indented = json.dumps(document, indent=1, ensure_ascii=False)
    innermost = re.compile(r"\[\n[^\[\]{}]*\]")
    return innermost.sub(lambda found: re.sub(r"\n *", "", found[0]), indented) + "\n"


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def _redis_version() -> str:
    command = [redis_program(), "--version"]
    output = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    return output.partition("v=")[2].split()[0]  # Redis server v=8.2.3 sha=…


def table_of(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a table as Markdown.

    Args:
        head: the titles of the columns.
        rows: the cells of each row.

    Raises:
        ValueError: a row has not as many cells as the head.
    """
    for row in rows:
        if len(row) != len(head):
            raise ValueError(f"{len(row)} cells for {len(head)} columns: {row}")
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, cells))} |" for cells in lines).replace("|  |", "| |")


def spread(values: Sequence[float], digits: int = 0) -> str:
    """Return the median of values and, in brackets, the lowest and the highest."""
    low, high = (f"{value:.{digits}f}" for value in (min(values), max(values)))
    return f"{statistics.median(values):.{digits}f} ({low} to {high})"


def pyplot() -> Any:
    """Return matplotlib.pyplot, configured for SVG files that are the same for the same data.

    Text and lines are mid-grey on a transparent background, for light and dark pages.
    """
    import matplotlib

    matplotlib.use("svg")
    names = "text.color axes.edgecolor axes.labelcolor axes.titlecolor xtick.color ytick.color"
    settings: Any = matplotlib.rcParams
    settings.update(dict.fromkeys(names.split(), TEXT_COLOUR))
    # Text as text is small, and can be searched.
    settings.update({"svg.hashsalt": "bench", "svg.fonttype": "none"})
    settings.update({"font.sans-serif": ["DejaVu Sans"]})
    settings.update({"axes.spines.top": False, "axes.spines.right": False})
    import matplotlib.pyplot

    return matplotlib.pyplot


def bars(
    rows: Sequence[tuple[str, float, str]], colours: dict[str, str], *, title: str, unit: str
) -> Any:
    """Return a figure of horizontal bars, each with its value.

    Args:
        rows: the name, value and group of each bar, from the top.
        colours: the colour of each group, for the legend too.
        title: the figure's title.
        unit: the label of the axis.
    """
    figure, axes = pyplot().subplots(figsize=(9, 0.36 * len(rows) + 1.2))
    for group, colour in colours.items():
        found = [(-n, value) for n, (_, value, each) in enumerate(rows) if each == group]
        if found:
            places, values = zip(*found, strict=True)
            drawn = axes.barh(places, values, height=0.7, color=colour, label=group)
            axes.bar_label(drawn, fmt="{:,.0f}", padding=4)
    axes.set_yticks([-n for n in range(len(rows))], [name for name, *_ in rows])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(unit)
    axes.set_title(title)
    axes.margins(x=0.12, y=0.02)
    axes.legend(frameon=False, loc="lower right")
    return figure


def _save(figure: Callable[[], Any], path: Path) -> None:
    drawn = figure()
    if not drawn.get_layout_engine():
        drawn.tight_layout()
    # The date, and trailing blanks, would differ or be removed by editors.
    drawn.savefig(path, metadata={"Date": None}, transparent=True, dpi=144)
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join(line.rstrip() for line in lines) + "\n", encoding="utf-8")
    pyplot().close(drawn)
