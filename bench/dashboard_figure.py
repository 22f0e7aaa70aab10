"""A figure of the dashboard's panels, in the dashboard's grid."""

import math
from typing import Any, NamedTuple

from bench.prometheus import Series
from bench.publication import TEXT_COLOUR, pyplot

# The label and the factor of each unit of Grafana.
UNITS: dict[str, tuple[str, float]] = {
    "bytes": ("MiB", 2**-20),
    "eps": ("records/s", 1),
    "percentunit": ("%", 100),
    "reqps": ("requests/s", 1),
    "s": ("ms", 1000),
    "short": ("", 1),
}
COLOURS = ("tab:red", "tab:purple", "tab:orange")
COLUMNS = 24  # of Grafana's grid
LEGEND_COLUMNS = 4


class Phase(NamedTuple):
    """A fault, and its start and end in Unix seconds."""

    name: str
    start: float
    end: float


class Panel(NamedTuple):
    """A panel of the dashboard, and its series by their names in the legend."""

    definition: dict[str, Any]
    series: dict[str, Series]


def draw(panels: list[Panel], faults: list[Phase]) -> Any:
    """Return a figure of the panels, in which the time of each fault is shaded."""
    times = [time for panel in panels for each in panel.series.values() for time in each.times]
    start, end = min(times), max(times)
    places = [panel.definition["gridPos"] for panel in panels]
    width = math.gcd(*(place[side] for place in places for side in "xw"))
    height = math.gcd(*(place[side] for place in places for side in "yh"))
    rows = max(place["y"] + place["h"] for place in places)
    figure = pyplot().figure(figsize=(15, 0.34 * rows), layout="constrained")
    grid = figure.add_gridspec(rows // height, COLUMNS // width)
    for panel, place in zip(panels, places, strict=True):
        x, y = place["x"] // width, place["y"] // height
        cell = grid[y : y + place["h"] // height, x : x + place["w"] // width]
        axes = figure.add_subplot(cell)
        axes.set_xlim(0, end - start)
        spans = [
            axes.axvspan(fault.start - start, fault.end - start, alpha=0.12, lw=0, color=colour)
            for fault, colour in zip(faults, COLOURS, strict=True)
        ]
        _draw_panel(axes, panel, start)
    names = [fault.name for fault in faults]
    figure.legend(spans, names, loc="outside upper center", ncols=len(names), frameon=False)
    return figure


def _draw_panel(axes: Any, panel: Panel, start: float) -> None:
    defaults = panel.definition["fieldConfig"]["defaults"]
    label, factor = UNITS[defaults["unit"]]
    for name, series in sorted(panel.series.items()):
        times = [time - start for time in series.times]
        values = [value * factor for value in series.values]
        axes.plot(times, values, lw=1, label=name, clip_on=False, zorder=3)  # above the axis
    axes.set_ylim(bottom=defaults["min"])
    if "max" in defaults:
        axes.set_ylim(top=defaults["max"] * factor * 1.03)
    elif axes.get_ylim()[1] < 1:
        axes.set_ylim(top=1)
    axes.set_title(panel.definition["title"], loc="left", fontsize=10, fontweight="bold")
    axes.set_ylabel(label, fontsize=8)
    axes.tick_params(labelsize=8)
    axes.xaxis.set_major_formatter(lambda seconds, _: f"{seconds // 60:.0f}:{seconds % 60:02.0f}")
    axes.xaxis.set_major_locator(pyplot().MultipleLocator(60))
    axes.yaxis.set_major_locator(pyplot().MaxNLocator(nbins=5, integer=defaults["unit"] == "short"))
    axes.grid(color=TEXT_COLOUR, alpha=0.2, lw=0.5)
    axes.legend(
        loc="upper left",
        bbox_to_anchor=(0, -0.12),
        ncols=LEGEND_COLUMNS,
        fontsize=7.5,
        frameon=False,
        handlelength=1,
        columnspacing=1,
        borderpad=0,
    )
