"""How far rigid bones move a generated motion: what a BVH file is off by, and how close any such file could come.

    python -m benchmarks.rigid --out docs/tables/rigid.json

The default model makes motions of twelve prompts and several seeds; each is fitted as BVH files are (`scamo.io.rigid`).
"closest found" is a search for the smallest mean error that bones of one length allow: all joints count alike, and the
lengths and the shape of pelvis and chest are fitted too, in turns with the poses. It is a local search, not a proof.
Writes JSON to --out, and the table beside it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.machine import OUT, markdown_table, recorded
from scamo.io.rigid import fit_rigid, rigid_joints
from scamo.rotation import fit_rotation, quat_to_matrix, unit
from scamo.skeleton import JOINTS, PARENTS, bone_lengths, forward_kinematics, joint_rotations, rest_offsets

Array = NDArray[np.floating]

PROMPTS = (
    "a person walks forward", "a person runs", "a person kicks", "a person punches", "a person dances",
    "a person jumps", "a person bows", "a person waves with the right hand", "a person sits down",
    "a person picks something up", "a person crawls", "a person does jumping jacks",
)  # fmt: skip
FEET = [JOINTS.index(f"{side}_{end}") for side in ("left", "right") for end in ("ankle", "foot")]
HANDS = [JOINTS.index(f"{side}_wrist") for side in ("left", "right")]
GROUPS = {0: [1, 2, 3], 9: [12, 13, 14]}  # bones that are fixed to each other: those of pelvis and chest
GROSS = 0.010  # metres of a frame's mean error that count as a gross one


@dataclass(frozen=True)
class Args:
    """Measure what rigid bones cost."""

    out: Path = OUT / "rigid.json"
    threads: int = 1
    prompts: tuple[str, ...] = PROMPTS
    seeds: int = 4
    seconds: float = 6.0
    rounds: int = 8
    """Of the search for better lengths."""
    quick: bool = False
    """One prompt, one seed, one round."""


def main(args: Args) -> None:
    """Measure, print and write."""
    with recorded(args) as report:
        report |= measure(args)
    written = json.loads(args.out.read_text(encoding="utf-8"))  # with as many digits as everybody sees
    args.out.with_suffix(".md").write_text(rigid_table(written), encoding="utf-8")
    print(rigid_table(written) + "\n" + summary(written))


def measure(args: Args) -> dict[str, Any]:
    """The figures of every prompt, and of all; millimetres."""
    import scamo

    pipeline = scamo.load()
    prompts, seeds, rounds = (args.prompts[:1], 1, 1) if args.quick else (args.prompts, args.seeds, args.rounds)
    found: dict[str, dict[str, float]] = {}
    for prompt in prompts:
        motions = [pipeline.generate(prompt, seed=seed, seconds=args.seconds).motion for seed in range(seeds)]
        found[prompt] = measure_motions([motion.joints.astype(np.float64) for motion in motions], rounds)
    rows = list(found.values())
    found["all"] = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
    found["all"]["worst"] = max(row["worst"] for row in rows)
    return {"model": pipeline.card.name, "prompts": found}


def measure_motions(motions: Sequence[Array], rounds: int) -> dict[str, float]:
    """Averages over motions [T, 22, 3] in metres. Errors are in millimetres.

    stretch: the standard deviation of a bone's length, by its length, of the bone that changes most. mean, feet, hands:
    the fit's error. worst: the largest mean of a motion. gross: the share of frames whose mean is over 10 mm. turned:
    the mean if bones only kept their directions. closest: the smallest mean found. jerk: the fit's by the motion's.
    """
    rows = []
    for joints in motions:
        lengths = bone_lengths(joints)[:, 1:]
        start = time.process_time()
        offsets, rotations, root = fit_rigid(joints)
        elapsed = time.process_time() - start
        ours = forward_kinematics(rotations, root, offsets)
        errors = 1e3 * np.linalg.norm(ours - joints, axis=-1)
        turned = forward_kinematics(joint_rotations(joints, offsets), joints[:, 0], offsets)
        rows.append({
            "stretch": float((lengths.std(axis=0) / lengths.mean(axis=0)).max()),
            "mean": float(errors.mean()), "feet": float(errors[:, FEET].mean()),
            "hands": float(errors[:, HANDS].mean()), "gross": float((errors.mean(axis=1) > 1e3 * GROSS).mean()),
            "turned": mean_error(turned, joints), "closest": mean_error(closest(joints, rounds), joints),
            "jerk": jerk(ours) / jerk(joints), "seconds_of_200_frames": elapsed * 200 / len(joints),
        })  # fmt: skip
    found = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
    return {**found, "worst": max(row["mean"] for row in rows)}


def mean_error(some: Array, other: Array) -> float:
    """Mean distance of joints, in millimetres."""
    return 1e3 * float(np.linalg.norm(some - other, axis=-1).mean())


def jerk(joints: Array) -> float:
    """Mean size of the third difference in time."""
    return float(np.linalg.norm(np.diff(joints, 3, axis=0), axis=-1).mean())


def closest(joints: Array, rounds: int) -> Array:
    """Joints [T, 22, 3] on bones of one length with the smallest mean error that was found."""
    alike = np.ones(22)
    offsets = rest_offsets(joints)
    best = rigid_joints(joints, offsets, alike)
    for _ in range(rounds):
        offsets = refitted(joints, best, offsets)
        placed = rigid_joints(joints, offsets, alike)
        best = min(best, placed, key=lambda some: mean_error(some, joints))
    return best


def refitted(joints: Array, placed: Array, offsets: Array) -> Array:
    """The skeleton [22, 3] that is closest to `joints` while its bones point as those of `placed` do.

    Least squares, reweighted so that distances count, not their squares; the pelvis is free to move.
    """
    bones = placed[:, 1:] - placed[:, PARENTS[1:]]
    directions, slots = [], []  # each of an unknown, [T, 3], and the bone that it moves
    for joint in range(1, 22):
        if PARENTS[joint] not in GROUPS:
            directions.append(unit(bones[:, joint - 1]))
            slots.append(joint)
    singles = list(slots)
    for fixed in GROUPS.values():
        turns = quat_to_matrix(fit_rotation(offsets[fixed], bones[:, [joint - 1 for joint in fixed]]))
        for joint in fixed:
            directions += [turns[:, :, axis] for axis in range(3)]
            slots += [joint] * 3
    below = np.array([[_is_below(joint, slot) for slot in slots] for joint in range(22)], dtype=float)
    moves = np.einsum("js,stx->tjxs", below, np.stack(directions))
    weights = 1 / np.sqrt(((placed - joints) ** 2).sum(-1) + 1e-6)
    share = (weights / weights.sum(axis=1, keepdims=True))[..., None]
    moves = moves - (share[..., None] * moves).sum(axis=1, keepdims=True)
    wanted = joints - (share * joints).sum(axis=1, keepdims=True)
    root = np.sqrt(weights)[..., None]
    found = np.linalg.lstsq((root[..., None] * moves).reshape(-1, len(slots)), (root * wanted).reshape(-1), rcond=None)
    new = offsets.copy()
    new[singles] = unit(offsets[singles]) * found[0][: len(singles), None]
    for number, fixed in enumerate(GROUPS.values()):
        start = len(singles) + 9 * number
        new[fixed] = found[0][start : start + 9].reshape(3, 3)
    return new


def _is_below(joint: int, bone: int) -> bool:
    """Whether a joint hangs on the bone that ends in joint `bone`."""
    while joint > bone:
        joint = PARENTS[joint]
    return joint == bone


def rigid_table(report: dict[str, Any]) -> str:
    """The figures as Markdown."""
    head = ["prompt", "mean, mm", "worst motion", "feet", "hands", "frames over 10 mm", "closest found",
            "directions alone", "jerk", "stretch of the worst bone"]  # fmt: skip
    rows = [
        [prompt, *(f"{row[name]:.1f}" for name in ("mean", "worst", "feet", "hands")), f"{row['gross']:.0%}",
         *(f"{row[name]:.1f}" for name in ("closest", "turned")), f"x {row['jerk']:.2f}", f"{row['stretch']:.0%}"]
        for prompt, row in report["prompts"].items()
    ]  # fmt: skip
    return markdown_table(head, rows)


def summary(report: dict[str, Any]) -> str:
    """The figures over all prompts as Markdown, which docs/animators.md quotes."""
    names = {
        "mean": "all joints",
        "feet": "feet",
        "hands": "hands",
        "worst": "worst motion",
        "closest": "closest found",
    }
    row = report["prompts"]["all"]
    return markdown_table(["", *names.values()], [["mean error", *(f"{row[name]:.1f} mm" for name in names)]])


if __name__ == "__main__":
    import tyro

    main(tyro.cli(Args))
