"""The aims of the measurements, and what was found for each."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Reports = Mapping[str, dict[str, Any]]  # by the names of their files


@dataclass(frozen=True)
class Target:
    """An aim and what was found; `below` where less is better. found None: not measured."""

    what: str
    aim: float
    found: float | None
    below: bool = False
    unit: str = ""

    def row(self) -> list[str]:
        """What, aim, found, and by how much it was missed."""
        aim = f"{'<=' if self.below else '>='} {self.aim:g}{self.unit}"
        if self.found is None:
            return [self.what, aim, "", "not measured on this machine"]
        met = self.found <= self.aim if self.below else self.found >= self.aim
        off = abs(self.found / self.aim - 1)
        return [self.what, aim, f"{self.found:.3g}{self.unit}", "met" if met else f"**missed** by {off:.0%}"]


def targets(reports: Reports) -> Iterator[Target]:
    """Every aim with what was found."""
    yield from generation_targets(reports)
    yield from rendering_targets(reports.get("rendering", {}))
    yield from app_targets(reports.get("app", {}))
    yield from click_targets(reports.get("click", {}))
    yield from training_targets(reports)
    yield from growth_targets(reports.get("growth", {}))


def generation_targets(reports: Reports) -> Iterator[Target]:
    """Of the token loop, by size and threads."""
    for name in ("44M-1", "44M-2", "111M-2", "343M-2"):
        size, threads = name.split("-")
        rows = _variants(reports, f"generation-{name}")
        where = f"tokens, {size}, {threads} thread{'s'[: threads != '1']}"
        equal = rows["ours"]["equal"] / rows["ours"]["of"] if rows else None
        yield Target(f"{where}, float32: times the reference", 8, _median(rows, "ours", "ratios"), unit="x")
        yield Target(f"{where}, float32: share equal to the reference's", 1, equal)
        floor = 1.5 if threads == "1" else 1.3
        yield Target(f"{where}, float32: times the floor", floor, _median(rows, "ours", "floors"), True, "x")
        yield Target(f"{where}, float16: times the reference", 8, _median(rows, "float16", "ratios"), unit="x")
        yield Target(f"{where}, int8: times the reference", 10, _median(rows, "int8", "ratios"), unit="x")
    on_gpu = _median(_variants(reports, "generation-3B-gpu"), "ours", "floors")
    yield Target("tokens, 3B on a GPU: times weights / bandwidth", 2, on_gpu, True, "x")


def rendering_targets(report: dict[str, Any]) -> Iterator[Target]:
    """Of drawing, encoding and decoding."""
    faster = report.get("ratios", {}).get("the same in the picture")
    yield Target("stick figure, 960 pixels: times plain matplotlib", 50, faster, unit="x")
    clip = report.get("variants", {}).get("stick", {}).get("together")
    yield Target("196 frames drawn and encoded", 2.5, clip, True, " s")
    for name in ("person, numpy", "person, pyrender"):
        clip = report.get("variants", {}).get(name, {}).get("together")
        yield Target(f"196 frames of a {name}, drawn and encoded", 4, clip, True, " s")
    decoded = sum(report["steps"].values()) if report.get("steps") else None
    yield Target("196 frames decoded at width 512, with joints", 0.3, decoded, True, " s")


def app_targets(report: dict[str, Any]) -> Iterator[Target]:
    """Of the page."""
    yield Target("from `python app.py` to a page that answers", 6, _middle(report.get("cold")), True, " s")
    yield Target("click to the joints of the figure, warm", 0.5, _middle(report.get("figure")), True, " s")
    yield Target("click to the video, warm", 0.6, _middle(report.get("click")), True, " s")
    served = [row["per_second"] for row in report.get("users", []) if row["video"] and row["clients"] == 16]
    yield Target("requests with videos, 16 clients: a second", 5, served[0] if served else None)
    yield Target("side by side / the sum of each alone", 1, report.get("side_by_side", {}).get("ratio"), True)


def click_targets(report: dict[str, Any]) -> Iterator[Target]:
    """Of what a browser shows."""
    starts = report.get("starts", [])
    for event, aim in (("first figure", 1), ("all figures", 3)):
        first = _middle([start["first"][event] for start in starts])
        yield Target(f"first click to {event} of three sizes, in a browser", aim, first, True, " s")


def training_targets(reports: Reports) -> Iterator[Target]:
    """Of the training loops."""
    for part, name, words in (
        ("transformer", "straightforward, text encoded anew", "the plain loop"),
        ("transformer", "straightforward", "the plain loop with stored embeddings"),
        ("tokenizer", "straightforward", "the plain loop"),
    ):
        loops = {row["name"]: row for row in reports.get("training", {}).get(part, {}).get("loops", [])}
        faster = loops.get(name, {}).get("ours_is_faster")
        yield Target(f"training, {part}: times {words}", 2, faster, unit="x")
    on_gpu = reports.get("training-343M-gpu", {}).get("transformer", {}).get("loops", [{}])[0]
    yield Target("training, 343M on a GPU: utilisation", 0.4, on_gpu.get("utilisation"))


def growth_targets(report: dict[str, Any]) -> Iterator[Target]:
    """Of how cost grows with a clip, and of what a load takes."""
    for part in report.get("series", []):
        if part["name"] == "length":
            for task, slope in part["exponents"].items():
                yield Target(f"growth with a clip's length, {task}: exponent", 1.15, slope, True)
                if task == "tokens":
                    yield Target("growth with a clip's length, memory: exponent", 1.15, _memory_exponent(part), True)
        if part["name"] == "batch":
            speeds = {p["value"]: p["value"] / p["seconds"]["tokens"] for p in part["points"]}
            for rows in (16, 64):
                faster = speeds[rows] / speeds[1] if {1, rows} <= speeds.keys() else None
                yield Target(f"tokens a second in a batch of {rows} / alone, 4M", 6, faster, unit="x")
    for row in report.get("loading", []):
        what = f"load of {row['size']}, stored in {row['stored']}, computed in {row['computed']}: peak / weights"
        yield Target(what, 1.1, row["peak"] / row["weights"], True)


def _memory_exponent(series: dict[str, Any]) -> float:
    points = [(point["x"], max(point["bytes"], 1)) for point in series["points"]]
    (x0, y0), (x1, y1) = points[len(points) // 2], points[-1]
    return math.log(y1 / y0) / math.log(x1 / x0)


def _variants(reports: Reports, name: str) -> dict[str, Any]:
    return {row["name"]: row for row in reports.get(name, {}).get("variants", [])}


def _median(rows: dict[str, Any], name: str, key: str) -> float | None:
    return statistics.median(rows[name][key]) if name in rows else None


def _middle(values: list[float] | None) -> float | None:
    return statistics.median(values) if values else None
