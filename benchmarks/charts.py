"""Draws the main results: how long an edit makes others wait, and how near to one statement an encryption comes."""

from pathlib import Path
from typing import Any

import pygal
from pygal.style import CleanStyle

FLOOR = "one statement"
SHORT = {
    "the engine, one": "one process",
    "the engine, two workers, their start included": "two workers",
    "bare code, batches of 1,000, not verified": "bare code in batches",
}


def write(folder: Path, found: dict[str, Any]) -> None:
    """Writes `stalls.svg` and `encryption.svg`.

    Args:
        folder: where.
        found: what `stalls` and `backfill` have measured, by these names.
    """
    (folder / "stalls.svg").write_bytes(_stalls(found["stalls"]["results"]).render())
    (folder / "encryption.svg").write_bytes(_encryption(found["backfill"]["groups"]).render())


def _chart(title: str, **options: Any) -> Any:
    style = CleanStyle(background="white", plot_background="white", font_family="sans-serif", title_font_size=15)
    return pygal.HorizontalBar(
        title=title, width=800, style=style, js=(), no_prefix=True, print_values=True, legend_at_bottom=True, **options
    )


def _stalls(results: dict[str, Any]) -> Any:
    chart = _chart("Longest wait of a writer, in milliseconds", height=560, logarithmic=True)
    chart.x_labels = [*results]
    for number, name in enumerate(("plain", "as autogenerate writes it here")):
        chart.add(name, [round(ways[number][0], 1) for ways in results.values()])
    return chart


def _encryption(groups: list[dict[str, Any]]) -> Any:
    shown = [group for group in groups if any(line["way"] in SHORT for line in group["lines"][1:2])]
    chart = _chart("Encrypting a column: share of the speed of one UPDATE of all rows", height=420, range=(0, 1))
    chart.x_labels = [group["title"] for group in shown]
    for way, name in SHORT.items():
        lines = [{line["way"]: line["of_floor"] for line in group["lines"]} for group in shown]
        chart.add(name, [line.get(way) for line in lines])
    return chart
