"""Lines and points as one SVG that fits any width, with a legend and the same numbers as a table.

Places are percentages of the picture, so that text keeps its size on a phone. Colours are the style sheet's.
"""

from __future__ import annotations

import html
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Axis:
    """How a value becomes a place. ticks: value -> its short label; without any, round values are chosen for y."""

    title: str
    show: Callable[[float], str]
    log: bool = False
    ticks: Mapping[float, str] = field(default_factory=dict)

    def at(self, value: float) -> float:
        """The value on this axis's scale."""
        return math.log10(value) if self.log else value


@dataclass(frozen=True)
class Series:
    """A line's points as x -> y. look: a class of the style sheet. shade: 0 to 1, a place on its scale of colours."""

    name: str
    points: Mapping[float, float]
    look: str = ""
    shade: float | None = None


# The point nearest to the pointer shows its value and brings its line forward; a button copies the table.
POINTER_SCRIPT = """const forget = () => element.querySelectorAll(".plot").forEach((plot) => {
    plot.classList.remove("picking");
    plot.querySelectorAll(".on").forEach((line) => line.classList.remove("on"));
});
const point = (event) => {
    forget();
    const plot = event.target.closest(".plot");
    if (!plot) return;
    const distance = (dot) => {
        const box = dot.getBoundingClientRect();
        return Math.hypot(box.x + box.width / 2 - event.clientX, box.y + box.height / 2 - event.clientY);
    };
    const dots = [...plot.querySelectorAll("circle")].sort((one, other) => distance(one) - distance(other));
    if (!dots.length || distance(dots[0]) > 40) return;
    plot.classList.add("picking");
    dots[0].closest("g").classList.add("on");
    dots[0].classList.add("on");
    const tip = plot.querySelector(".tip"), frame = plot.getBoundingClientRect(), box = dots[0].getBoundingClientRect();
    tip.textContent = dots[0].dataset.says;
    const left = box.x + box.width / 2 - frame.x - tip.offsetWidth / 2;
    tip.style.left = `${Math.max(0, Math.min(left, frame.width - tip.offsetWidth))}px`;
    tip.style.top = `${Math.max(0, box.y - frame.y - tip.offsetHeight - 8)}px`;
};
element.addEventListener("pointermove", point);
element.addEventListener("pointerdown", point);
element.addEventListener("pointerleave", forget);
element.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-copy]");
    if (!button) return;
    const range = document.createRange();
    range.selectNode(button.closest("details").querySelector("table"));
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    document.execCommand("copy");  // the clipboard's own interface is not allowed on every page
    button.textContent = "Copied";
});"""


def chart(x: Axis, y: Axis, series: Sequence[Series], rule: tuple[str, float] | None = None) -> str:
    """A figure as HTML. rule: a horizontal line's name and height. Raises ValueError where there is nothing to draw."""
    xs = [x.at(value) for one in series for value in one.points]
    heights = [value for one in series for value in one.points.values()] + ([rule[1]] if rule else [])
    if not xs:
        raise ValueError("There is nothing to draw.")
    rungs = dict(y.ticks) or {value: y.show(value) for value in ticks(min(heights), max(heights), y.log)}
    ys = [y.at(value) for value in (*heights, *rungs)]
    across, up = _scale(min(xs), max(xs)), _scale(max(ys), min(ys))

    parts = []
    for value, label in rungs.items():
        parts.append(_horizontal("rung", up(y.at(value))))
        parts.append(f'<text class="height" x="-8" y="{up(y.at(value))}" dy="0.32em">{html.escape(label)}</text>')
    for value, label in _thinned(x, across):
        parts.append(f'<text class="step" x="{across(x.at(value))}" y="100%" dy="20">{html.escape(label)}</text>')
    if rule:
        parts.append(_horizontal("rule", up(y.at(rule[1]))))
        parts.append(f'<text class="rule" x="0" y="{up(y.at(rule[1]))}" dy="-5">{html.escape(rule[0])}</text>')
    for one in series:
        places = [(value, across(x.at(value)), up(y.at(one.points[value]))) for value in sorted(one.points)]
        words = {value: f"{x.show(value)}: {y.show(height)}" for value, height in one.points.items()}
        parts.append(_line(one, places, words))

    key = "".join(f"<li {_look(one)}><i></i>{html.escape(one.name)}</li>" for one in series)
    title = html.escape(f"{y.title} against {x.title}")
    return (
        f'<figure class="chart"><figcaption>{html.escape(y.title)}</figcaption>'
        f'<div class="plot"><svg role="img" aria-label="{title}; the numbers are in the table below">{"".join(parts)}'
        f'</svg><div class="tip"></div></div><p class="axis">{html.escape(x.title)}</p><ul class="key">{key}</ul>'
        f"{table(x, y, series)}</figure>"
    )


def _horizontal(name: str, place: str) -> str:
    return f'<line class="{name}" x1="0" x2="100%" y1="{place}" y2="{place}"/>'


def _line(one: Series, places: Sequence[tuple[float, str, str]], words: Mapping[float, str]) -> str:
    """A series as an SVG group: lines between its points, and a dot with its words on each. places: value, x, y."""
    parts = [f"<g {_look(one)}>"]
    for (_, left, top), (_, right, bottom) in itertools.pairwise(places):
        parts.append(f'<line x1="{left}" y1="{top}" x2="{right}" y2="{bottom}"/>')
    for value, left, top in places:
        says = html.escape(f"{one.name}, {words[value]}")
        parts.append(f'<circle cx="{left}" cy="{top}" r="4" data-says="{says}"/>')
    return "".join([*parts, "</g>"])


def table(x: Axis, y: Axis, series: Sequence[Series]) -> str:
    """A chart's numbers, folded away: a row for every x, a column for every series."""
    head = "".join(f"<th>{html.escape(one.name)}</th>" for one in series)
    rows = "".join(
        f"<tr><th>{html.escape(x.show(value))}</th>"
        + "".join(f"<td>{y.show(one.points[value]) if value in one.points else ''}</td>" for one in series)
        + "</tr>"
        for value in sorted({value for one in series for value in one.points})
    )
    return (
        f'<details><summary>The numbers</summary><div class="sheet"><table><thead><tr><th>{html.escape(x.title)}</th>'
        f'{head}</tr></thead><tbody>{rows}</tbody></table></div><div class="take"><button type="button" data-copy>'
        "Copy the table</button></div></details>"
    )


def ticks(low: float, high: float, log: bool) -> list[float]:
    """Three to seven round values from below `low` to above `high`."""
    if log:
        decades = math.log10(high / low)
        steps = (1,) if decades > 2.2 else (1, 2, 5) if decades > 0.9 else (1, 1.5, 2, 3, 4, 5, 6, 8)
        powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        values = [step * 10.0**power for power in powers for step in steps]
        below = max((value for value in values if value <= low), default=low)
        above = min((value for value in values if value >= high), default=high)
        return [value for value in values if below <= value <= above]
    rough = (high - low or abs(high) or 1) / 4
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * unit for factor in (1, 2, 2.5, 5, 10) if factor * unit >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [step * count for count in range(first, max(last, first + 1) + 1)]


def _scale(start: float, end: float) -> Callable[[float], str]:
    """Turns a value into its share of the way from start to end, as SVG writes it; a single value is in the middle."""
    return lambda value: f"{round(100 * (value - start) / (end - start), 2) + 0.0 if end != start else 50:.2f}%"


def _thinned(x: Axis, across: Callable[[float], str]) -> list[tuple[float, str]]:
    """The ticks whose labels leave room for each other on a phone."""
    kept: list[tuple[float, str]] = []
    for value, label in sorted(x.ticks.items()):
        place = float(across(x.at(value))[:-1])
        if not -1 <= place <= 101 or (kept and place - float(across(x.at(kept[-1][0]))[:-1]) < 9):
            continue
        kept.append((value, label))
    return kept


def _look(one: Series) -> str:
    shade = "" if one.shade is None else f' style="--shade: {one.shade:.3f}"'
    return f'class="line {one.look}"{shade}'
