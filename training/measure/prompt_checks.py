"""Measure what a model can do: prompts whose motion can be checked by looking at joints, over many seeds.

    python -m training.measure.prompt_checks --seeds 20 --out docs/abilities

Each check is plain geometry on the joints: where the root goes, how the heading turns, which wrist is above the head.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import scamo
from scamo.motion import first_facing

HEAD, LEFT_WRIST, RIGHT_WRIST = 15, 20, 21


def forward_metres(joints: np.ndarray) -> float:
    """How far the root gets along the way the body faces: the sum of each frame's step along that frame's facing."""
    steps = np.diff(joints[:, 0], axis=0)
    return float((steps * first_facing(joints[:-1])).sum())


def turned_degrees(joints: np.ndarray) -> float:
    """Heading at the end minus heading at the start; left is positive."""
    facing = first_facing(joints)
    heading = np.unwrap(np.arctan2(facing[:, 0], facing[:, 2]))
    return float(np.degrees(heading[-1] - heading[0]))


def above_head(joints: np.ndarray, wrist: int) -> bool:
    """Whether the wrist is above the head joint for a quarter of a second or more."""
    return int((joints[:, wrist, 1] > joints[:, HEAD, 1]).sum()) >= 5


def speed(joints: np.ndarray) -> float:
    """The fastest second of the root over the floor, metres a second."""
    step = np.linalg.norm(np.diff(joints[:, 0], axis=0)[:, [0, 2]], axis=-1)
    return float(np.convolve(step, np.ones(20), "valid").max()) if len(step) >= 20 else float(step.sum())


def sways(joints: np.ndarray, wrist: int) -> int:
    """How often the wrist changes direction sideways while it is above the shoulders."""
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
class Ability:
    """A prompt, what is asked of the motion in words, and the check."""

    prompt: str
    meaning: str
    check: Callable[[np.ndarray], bool]
    seconds: float = 4.0


ABILITIES = (
    Ability(
        "a person walks forward",
        "goes 2 m or more forward, never faster than 2 m/s",
        lambda j: forward_metres(j) > 2 and speed(j) < 2,
    ),
    Ability("an old man walks forward", "goes 1 m or more forward", lambda j: forward_metres(j) > 1),
    Ability("a person runs forward", "1.8 m/s or more over a second", lambda j: speed(j) > 1.8),
    Ability("someone walks backwards", "goes 1 m or more backward", lambda j: forward_metres(j) < -1),
    # The recorded turns take 5.3 s, most of it the steps before and after.
    Ability("a person turns left", "turns 45 degrees or more to the left", lambda j: turned_degrees(j) > 45, 5.0),
    Ability("a person turns right", "turns 45 degrees or more to the right", lambda j: turned_degrees(j) < -45, 5.0),
    Ability("a person raises the left hand", "the left wrist is above the head, the right one never", _left_only),
    Ability("a person raises the right hand", "the right wrist is above the head, the left one never", _right_only),
    Ability(
        "a person raises both hands",
        "both wrists are above the head",
        lambda j: above_head(j, LEFT_WRIST) and above_head(j, RIGHT_WRIST),
    ),
    Ability(
        "a man waves with his left hand",
        "the left wrist alone is above the head, and changes direction three times or more",
        lambda j: _left_only(j) and sways(j, LEFT_WRIST) >= 3,
    ),
    Ability(
        "a person bows", "the head comes down by 15 cm or more", lambda j: j[0, HEAD, 1] - j[:, HEAD, 1].min() > 0.15
    ),
    Ability(
        "a person walks forward, then waves with the left hand",
        "goes 1 m or more forward; in the second half the left wrist alone is above the head",
        lambda j: forward_metres(j) > 1 and _left_only(j[len(j) // 2 :]),
        seconds=8.0,
    ),
)


@dataclass(frozen=True)
class Args:
    """Measure what a model can do; without further words the largest that is bundled."""

    codebook: int | None = None
    size: str | None = None
    model: Path | None = None
    """A model folder instead of a bundled one."""
    seeds: int = 20
    temperature: float | None = None
    """None: the model's own."""
    out: Path | None = None
    """Write OUT.json and OUT.md here."""


def measure(generator: scamo.Generator, seeds: int, temperature: float | None) -> list[dict[str, object]]:
    """One row an ability: prompt, meaning, how many of the seeds pass."""
    rows: list[dict[str, object]] = []
    for ability in ABILITIES:
        passed = 0
        for seed in range(seeds):
            made = generator.generate(ability.prompt, seconds=ability.seconds, seed=seed, temperature=temperature)
            passed += bool(ability.check(made.motion.joints.astype(np.float64)))
        rows.append({"prompt": ability.prompt, "asked": ability.meaning, "passed": passed, "seeds": seeds})
    return rows


def main(args: Args) -> None:
    """Print the table, and write it where ``--out`` says."""
    generator = scamo.load(args.model, codebook=args.codebook, size=args.size)
    rows = measure(generator, args.seeds, args.temperature)
    lines = ["| prompt | what is checked | passes |", "|---|---|---|"]
    lines += [f"| {r['prompt']} | {r['asked']} | {r['passed']} of {r['seeds']} |" for r in rows]
    print("\n".join(lines))
    if args.out:
        used = generator.card.sampling.get("temperature", 1.0) if args.temperature is None else args.temperature
        facts = {"model": generator.card.name, "temperature": used, "rows": rows}
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.with_suffix(".json").write_text(json.dumps(facts, indent=1) + "\n")
        args.out.with_suffix(".md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    from training.command_line import run_command

    run_command(main, Args)
