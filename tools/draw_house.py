"""Draws the rooms of scamo by floors, with the imports between them, as docs/architecture.svg shows it.

python tools/draw_house.py --out docs/architecture.svg

A line leads from a room down to a room it imports. Left out are lines to the ground floor, which every room may use,
and lines that a longer way contains: where pipeline imports engine and engine imports transformer, none is drawn from
pipeline to transformer.
"""

from __future__ import annotations

import argparse
import ast
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # so that it runs as a script

from tools import house  # noqa: E402

COLOURS = {"room": "#eef6fb", "package": "#fdf1e7", "line": "#9aa4b2", "ink": "#33404f", "floor": "#d9d5cd"}
WIDTH, FLOOR_HEIGHT, BOX_WIDTH, BOX_HEIGHT = 16.0, 1.5, 2.2, 0.9
# How far to the right a room stands, 0 to 1, so that few lines cross. A floor with a room that is not here is spread.
COLUMNS = {
    "checkpoint": 0.08, "configs": 0.25, "skeleton": 0.72, "motion": 0.82, "stream": 0.47, "transformer": 0.08,
    "tokenizer": 0.22, "text": 0.36, "metrics": 0.93, "body": 0.7, "render": 0.82, "io": 0.6, "fast_step": 0.08,
    "engine": 0.23, "convert": 0.38, "registry": 0.53, "generation": 0.68, "pipeline": 0.83, "ui": 0.53, "cli": 0.75,
    "app.py": 0.53, "benchmarks": 0.75, "training": 0.93,
}  # fmt: skip

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--out", type=Path, default=Path("out/architecture.svg"), help=".svg, .png or .pdf")


def floors() -> list[list[str]]:
    """The rooms that there are, from the ground up, the programs around the library on top."""
    graph = house.room_imports()
    inside = [[room for room in floor if room in graph] for floor in house.FLOORS]
    return [*filter(None, inside), ["app.py", "training", "benchmarks"]]


def direct_imports(graph: Mapping[str, frozenset[str]]) -> list[tuple[str, str]]:
    """The imports that no longer way between the same two rooms contains."""

    def below(room: str) -> set[str]:
        return {room}.union(*(below(other) for other in graph[room]))

    return [
        (room, other)
        for room, used in sorted(graph.items())
        for other in sorted(used - {*house.FLOORS[0]})
        if not any(other in below(way) for way in used - {other})
    ]


def purpose(room: str) -> str:
    """The first sentence of a room's docstring, shortened."""
    if room in ("training", "benchmarks"):
        return {"training": "data, tasks, measurements", "benchmarks": "how fast everything is"}[room]
    folder = ROOT / "scamo" / room
    path = ROOT / room if room == "app.py" else folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")
    words = (ast.get_docstring(house.tree(path)) or "").split("\n\n")[0].replace("\n", " ")
    words = words.replace("`", "").split(". ")[0].rstrip(".")
    return textwrap.shorten(words, 64, placeholder=" ...")


def positions() -> dict[str, tuple[float, float]]:
    """The middle of every room's box."""
    places = {}
    for number, floor in enumerate(floors()):
        is_spread = not {*floor} <= COLUMNS.keys()
        for place, room in enumerate(floor):
            column = (place + 0.5) / len(floor) if is_spread else COLUMNS[room]
            places[room] = (WIDTH * column, FLOOR_HEIGHT * (number + 0.5))
    return places


def draw(out: Path) -> None:
    """Draw the house into a file."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "house"  # the same house gives the same file
    import matplotlib.pyplot as plt
    from matplotlib.patches import FancyBboxPatch

    places, height = positions(), FLOOR_HEIGHT * len(floors())
    figure, axes = plt.subplots(figsize=(WIDTH, height), layout="constrained")
    axes.set(xlim=(0, WIDTH), ylim=(0, height))
    axes.set_axis_off()
    for number in range(len(floors())):
        axes.axhline(FLOOR_HEIGHT * number, color=COLOURS["floor"], linewidth=0.8)
    for room, other in direct_imports(house.room_imports()):
        (x0, y0), (x1, y1) = places[room], places[other]
        same_floor = y0 == y1
        start = (x0 + 0.1, y0 + BOX_HEIGHT / 2) if same_floor else (x0, y0 - BOX_HEIGHT / 2)
        end = (x1 - 0.1 if same_floor else x1, y1 + BOX_HEIGHT / 2)
        bend = f"arc3,rad={0.5 / abs(x1 - x0) * (1 if x1 < x0 else -1):.2f}" if same_floor else "arc3,rad=0"
        arrow = {"arrowstyle": "-|>", "color": COLOURS["line"], "linewidth": 1.0, "connectionstyle": bend}
        axes.annotate("", end, start, arrowprops=arrow, zorder=1)
    for room, (x, y) in places.items():
        colour = COLOURS["package" if room in (*house.WHOLE, "training", "benchmarks") else "room"]
        corner = (x - BOX_WIDTH / 2, y - BOX_HEIGHT / 2)
        box = FancyBboxPatch(
            corner, BOX_WIDTH, BOX_HEIGHT, "round,pad=0,rounding_size=0.1", fc=colour, ec=COLOURS["ink"]
        )
        axes.add_patch(box)
        axes.text(x, y + 0.24, room, ha="center", va="center", weight="bold", size=11, color=COLOURS["ink"])
        lines = textwrap.fill(purpose(room), 34, max_lines=2, placeholder=" …")
        axes.text(x, y - 0.12, lines, ha="center", va="center", size=7.5, color=COLOURS["ink"], linespacing=1.15)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=70, metadata={"Date": None} if out.suffix == ".svg" else None)
    plt.close(figure)


if __name__ == "__main__":
    target = parser.parse_args().out
    draw(target)
    print(f"{len(positions())} rooms on {len(floors())} floors -> {target}")
