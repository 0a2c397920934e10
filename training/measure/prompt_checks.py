"""Measure what a model can do: prompts whose motions can be checked on their joints, over many seeds.

    python -m training.measure.prompt_checks --seeds 20 --out docs/abilities

Each check is plain geometry on the joints: where the root goes, how the heading turns, which wrist is above the head.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import scamo
from scamo.motion import first_facing
from training.measure.tables import write_table

HEAD, LEFT_WRIST, RIGHT_WRIST = 15, 20, 21


def forward_metres(joints: np.ndarray) -> float:
    """Metres that the root moves along the facing: each frame's step, projected on the facing of that frame, in sum."""
    steps = np.diff(joints[:, 0], axis=0)
    return float((steps * first_facing(joints[:-1])).sum())


def turned_degrees(joints: np.ndarray) -> float:
    """Heading at the end minus heading at the start, in degrees; left is positive."""
    facing = first_facing(joints)
    heading = np.unwrap(np.arctan2(facing[:, 0], facing[:, 2]))
    return float(np.degrees(heading[-1] - heading[0]))


def above_head(joints: np.ndarray, wrist: int) -> bool:
    """Whether the wrist is above the head joint for a quarter of a second or more."""
    return int((joints[:, wrist, 1] > joints[:, HEAD, 1]).sum()) >= 5


def speed(joints: np.ndarray) -> float:
    """Speed of the root over the floor in its fastest second, in metres a second (at 20 frames a second)."""
    step = np.linalg.norm(np.diff(joints[:, 0], axis=0)[:, [0, 2]], axis=-1)
    return float(np.convolve(step, np.ones(20), "valid").max()) if len(step) >= 20 else float(step.sum())


def sways(joints: np.ndarray, wrist: int) -> int:
    """How often the wrist changes its sideways direction while it is above the neck."""
    facing = first_facing(joints)
    side = np.stack([facing[:, 2], np.zeros(len(joints)), -facing[:, 0]], -1)
    offset = ((joints[:, wrist] - joints[:, 0]) * side).sum(-1)[joints[:, wrist, 1] > joints[:, 12, 1]]
    moves = np.diff(offset)
    moves = moves[np.abs(moves) > 0.01]
    return int((np.sign(moves[1:]) != np.sign(moves[:-1])).sum())


def _left_only(joints: np.ndarray) -> bool:
    return above_head(joints, LEFT_WRIST) and not above_head(joints, RIGHT_WRIST)


def _right_only(joints: np.ndarray) -> bool:
    return above_head(joints, RIGHT_WRIST) and not above_head(joints, LEFT_WRIST)


@dataclass(frozen=True)
class PromptCheck:
    """A prompt, what its motion must do in words, and the check on its joints [T, 22, 3] in metres."""

    prompt: str
    meaning: str
    check: Callable[[np.ndarray], bool]
    seconds: float = 4.0


CHECKS = (
    PromptCheck(
        "a person walks forward",
        "goes 2 m or more forward, never faster than 2 m/s",
        lambda j: forward_metres(j) > 2 and speed(j) < 2,
    ),
    PromptCheck("an old man walks forward", "goes 1 m or more forward", lambda j: forward_metres(j) > 1),
    PromptCheck("a person runs forward", "1.8 m/s or more over a second", lambda j: speed(j) > 1.8),
    PromptCheck("someone walks backwards", "goes 1 m or more backward", lambda j: forward_metres(j) < -1),
    # The recorded turns take 5.3 s, most of it the steps before and after.
    PromptCheck(
        "a person turns left",
        "turns 45 degrees or more to the left",
        lambda j: turned_degrees(j) > 45,
        seconds=5.0,
    ),
    PromptCheck(
        "a person turns right", "turns 45 degrees or more to the right", lambda j: turned_degrees(j) < -45, 5.0
    ),
    PromptCheck("a person raises the left hand", "the left wrist is above the head, the right one never", _left_only),
    PromptCheck("a person raises the right hand", "the right wrist is above the head, the left one never", _right_only),
    PromptCheck(
        "a person raises both hands",
        "both wrists are above the head",
        lambda j: above_head(j, LEFT_WRIST) and above_head(j, RIGHT_WRIST),
    ),
    PromptCheck(
        "a man waves with his left hand",
        "the left wrist alone is above the head, and changes direction three times or more",
        lambda j: _left_only(j) and sways(j, LEFT_WRIST) >= 3,
    ),
    PromptCheck(
        "a person bows", "the head comes down by 15 cm or more", lambda j: j[0, HEAD, 1] - j[:, HEAD, 1].min() > 0.15
    ),
    PromptCheck(
        "a person walks forward, then waves with the left hand",
        "goes 1 m or more forward; in the second half the left wrist alone is above the head",
        lambda j: forward_metres(j) > 1 and _left_only(j[len(j) // 2 :]),
        seconds=8.0,
    ),
)


@dataclass(frozen=True)
class Args:
    """Measure what a model can do; by default the largest bundled one."""

    codebook: int | None = None
    size: str | None = None
    model: Path | None = None
    """A model folder instead of a bundled one."""
    seeds: int = 20
    temperature: float | None = None
    """None: the model's own."""
    out: Path | None = None
    """Write OUT.json and OUT.md here."""


def measure(pipeline: scamo.MotionPipeline, seeds: int, temperature: float | None) -> list[dict[str, object]]:
    """One row for each check: prompt, meaning, how many of the seeds pass."""
    rows: list[dict[str, object]] = []
    for check in CHECKS:
        passed = 0
        for seed in range(seeds):
            generation = pipeline.generate(check.prompt, seconds=check.seconds, seed=seed, temperature=temperature)
            passed += bool(check.check(generation.motion.joints.astype(np.float64)))
        rows.append({"prompt": check.prompt, "asked": check.meaning, "passed": passed, "seeds": seeds})
    return rows


def main(args: Args) -> None:
    """Print the table, and write it to ``--out``."""
    pipeline = scamo.load(args.model, codebook=args.codebook, size=args.size)
    rows = measure(pipeline, args.seeds, args.temperature)
    lines = ["| prompt | what is checked | passes |", "|---|---|---|"]
    lines += [f"| {r['prompt']} | {r['asked']} | {r['passed']} of {r['seeds']} |" for r in rows]
    print("\n".join(lines))
    if args.out:
        used = pipeline.card.sampling.get("temperature", 1.0) if args.temperature is None else args.temperature
        facts = {"model": pipeline.card.name, "temperature": used, "rows": rows}
        write_table(args.out, facts, "\n".join(lines))


if __name__ == "__main__":
    from training.command_line import run_command

    run_command(main, Args)
