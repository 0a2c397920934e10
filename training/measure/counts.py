"""Measure whether a model counts: "a person takes four steps", "a person jumps twice".

    python -m training.measure.counts --data data/many-actions --out docs/tables/counts

Steps, jumps, bows and kicks are counted on the joints. How often the counting agrees with the labels of the corpus'
clips of so many says what it is worth.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.signal import find_peaks

import scamo
from scamo.motion import Motion, first_facing
from training.data.dataset import Dataset
from training.measure.joint_measures import ANKLES, HEAD, TOES, Joints
from training.measure.tables import write_table

LEFT_FOOT, RIGHT_FOOT = ANKLES
NUMBERS = ("no", "one", "two", "three", "four", "five", "six")
TIMES = ("never", "once", "twice", "three times")


def steps(joints: Joints, stride: float = 0.12) -> int:
    """How often the foot in front changes; in front is one by 12 cm or more."""
    ahead = ((joints[:, LEFT_FOOT] - joints[:, RIGHT_FOOT]) * first_facing(joints)).sum(-1)
    sides = np.sign(ahead[np.abs(ahead) > stride])
    return int((sides[1:] != sides[:-1]).sum())


def jumps(joints: Joints, clearance: float = 0.07, shortest: int = 3) -> int:
    """Times that both feet are off the floor, of ``shortest`` frames or more."""
    low = joints[:, [*TOES, *ANKLES], 1]
    free = np.r_[False, (low > np.quantile(low, 0.1, axis=0) + clearance).all(1), False]
    starts, ends = np.flatnonzero(np.diff(free.astype(int)) == 1), np.flatnonzero(np.diff(free.astype(int)) == -1)
    return int((ends - starts >= shortest).sum())


def bows(joints: Joints) -> int:
    """Times that the head comes down by 12 cm and up again."""
    return len(find_peaks(-joints[:, HEAD, 1], prominence=0.12)[0])


def kicks(joints: Joints) -> int:
    """Times that a foot comes up by 40 cm and down again."""
    height = joints[:, ANKLES, 1].max(1)
    return len(find_peaks(height, height=float(np.quantile(height, 0.1)) + 0.4, prominence=0.25)[0])


class Counted(NamedTuple):
    """What is asked for in which words, for how many, and how it is counted; the clips that show it.

    labels: theirs. clips: what the names of those begin with that hold a known number.
    """

    name: str
    words: Callable[[int], str]
    most: int
    count: Callable[[Joints], int]
    labels: tuple[str, ...]
    clips: str = "repeated-"


def _in_words(verb: str) -> Callable[[int], str]:
    return lambda number: f"a person {verb} {TIMES[number]}"


ASKED = (
    Counted(
        "steps forward",
        lambda n: f"a person takes {NUMBERS[n]} step{'s' * (n > 1)} forward",
        6,
        steps,
        ("walk",),
        "counted-",
    ),
    Counted(
        "steps back",
        lambda n: f"a person takes {NUMBERS[n]} step{'s' * (n > 1)} back",
        6,
        steps,
        ("walk-back",),
        "counted-",
    ),
    Counted("jumps", _in_words("jumps"), 3, jumps, ("jump",)),
    Counted("bows", _in_words("bows"), 3, bows, ("bow",)),
    Counted("kicks", _in_words("kicks"), 3, kicks, ("kick", "kick-right", "kick-left")),
)


@dataclass(frozen=True)
class Args:
    """Count what was asked for by number."""

    data: Path
    """The corpus of training.data.many_actions."""
    codebook: int | None = None
    size: str | None = None
    seeds: int = 20
    clips: int = 60
    """At most so many clips of every number."""
    out: Path | None = None
    """Write OUT.json and OUT.md here."""


def real_counts(data: Dataset, asked: Counted, clips: int) -> list[tuple[int, int]]:
    """(number, counted) of clips of the training split in which one action is done so many times."""
    found: dict[int, int] = {}
    rows = []
    for clip in data.split("train"):
        contents: Sequence[str] = clip.labels.get("contents", ())
        number = len(contents)
        is_counted = clip.name.startswith(asked.clips) and set(contents) <= set(asked.labels)
        if is_counted and 1 <= number <= asked.most and found.get(number, 0) < clips:
            found[number] = found.get(number, 0) + 1
            rows.append((number, asked.count(Motion(np.asarray(data[clip])).joints.astype(np.float64))))
    return rows


def made_counts(pipeline: scamo.MotionPipeline, asked: Counted, seeds: int) -> list[tuple[int, int]]:
    """(number, counted) of motions that were asked for."""
    numbers = [number for number in range(1, asked.most + 1) for _ in range(seeds)]
    made = pipeline.generate_batch([asked.words(number) for number in numbers], seeds=range(len(numbers)))
    counts = [asked.count(one.motion.joints.astype(np.float64)) for one in made]
    return list(zip(numbers, counts, strict=True))


def shares(rows: Sequence[tuple[int, int]]) -> tuple[float, float]:
    """How many are counted right, and how many are at most one off."""
    off = np.array([abs(number - counted) for number, counted in rows])
    return float((off == 0).mean()), float((off <= 1).mean())


def main(args: Args) -> None:
    """Print the table, and write it to ``--out``."""
    data, pipeline = Dataset(args.data), scamo.load(codebook=args.codebook, size=args.size)
    lines = ["| asked for | of real clips counted right | of motions | at most one off | by number |",
             "|---|---|---|---|---|"]  # fmt: skip
    rows: list[dict[str, Any]] = []
    for asked in ASKED:
        real, made = real_counts(data, asked, args.clips), made_counts(pipeline, asked, args.seeds)
        right, near = shares(made)
        by_number = {
            number: shares([row for row in made if row[0] == number])[0] for number in range(1, asked.most + 1)
        }
        real_right = shares(real)[0] if real else None
        rows.append({"asked": asked.name, "real": real_right, "real_clips": len(real), "right": right, "near": near,
                     "by_number": by_number})  # fmt: skip
        of_real = "–" if real_right is None else f"{100 * real_right:.0f} % of {len(real)}"
        each = ", ".join(f"{number}: {100 * share:.0f} %" for number, share in by_number.items())
        lines.append(f"| {asked.name} | {of_real} | {100 * right:.0f} % of {len(made)} | {100 * near:.0f} % | {each} |")
    print("\n".join(lines))
    if args.out:
        write_table(args.out, {"model": pipeline.card.name, "seeds": args.seeds, "rows": rows}, "\n".join(lines))


if __name__ == "__main__":
    from training.command_line import run_command

    run_command(main, Args)
