"""Read the takes of the action sources (CMU, Quaternius, Mesh2Motion, AnimatedDrawings, DeepMimic) as 22 joints.

    python -m training.prepare.takes --source actions --deepmimic motions --out data/takes.npz

Every source has its own rig, up axis and frame rate; ``SOURCES`` lists them. What comes out is one array a take,
float32 [T, 22, 3] in metres at 20 fps, Y up, on the floor; ``training.prepare.actions`` cuts clips from them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from scamo.bvh import BvhMotion, read_bvh
from training.prepare.asf import read_amc
from training.prepare.bvh import _rig, find_rig, plain, retarget, upright
from training.prepare.deepmimic import read_deepmimic
from training.prepare.glb import read_glb

SIDED = ("collar", "shoulder", "elbow", "wrist", "hip", "knee", "ankle", "toe")


def _sides(spine: str, chest: str, neck: str, head: str, left: str, right: str, *limbs: str) -> dict[str, str]:
    """A rig whose limbs' names are patterns that a side's letter is put in."""
    sides = {f"{side}_{ours}": theirs.format(mark) for side, mark in (("left", left), ("right", right))
             for ours, theirs in zip(SIDED, limbs, strict=True)}  # fmt: skip
    return {"spine": spine, "chest": chest, "neck": neck, "head": head} | sides


CMU = _rig("spine", "spine1", "neck", "head", "shoulder", "arm", "forearm", "hand", "upleg", "leg", "foot", "toebase")
POSER = _sides("abdomen", "chest", "neck", "head", "l", "r", "{}Collar", "{}Shldr", "{}ForeArm", "{}Hand", "{}Thigh",
               "{}Shin", "{}Foot", "{}FootTip")  # fmt: skip
ASF = _sides("upperback", "thorax", "lowerneck", "head", "l", "r", "{}clavicle", "{}humerus", "{}radius", "{}wrist",
             "{}femur", "{}tibia", "{}foot", "{}toes")  # fmt: skip
DRAWN = _rig("chest", "chest2", "neck", "head", "collar", "shoulder", "elbow", "wrist", "hip", "knee", "ankle", "toe")
SPINED = _rig("spine1", "spine2", "neck", "head", "shoulder", "arm", "forearm", "hand", "upleg", "leg", "foot",
              "toebase")  # fmt: skip
NEO = {ours: "Neo" + theirs for ours, theirs in SPINED.items()}
UNREAL = _sides("spine_02", "spine_03", "neck_01", "head", "l", "r", "clavicle_{}", "upperarm_{}", "lowerarm_{}",
                "hand_{}", "thigh_{}", "calf_{}", "foot_{}", "ball_{}")  # fmt: skip
RIGIFY = _sides("DEF-spine.002", "DEF-spine.003", "DEF-neck", "DEF-head", "L", "R", "DEF-shoulder.{}",
                "DEF-upper_arm.{}", "DEF-forearm.{}", "DEF-hand.{}", "DEF-thigh.{}", "DEF-shin.{}", "DEF-foot.{}",
                "DEF-toe.{}")  # fmt: skip
MIMIC = _sides("chest", "chest", "neck", "head", "left", "right", *(f"{{}}_{name}" for name in SIDED))


@dataclass(frozen=True)
class Source:
    """A folder of takes: licence, rig by our joints' names, up axis, metres a unit, frames a second where the file is
    wrong, and how many frames at the beginning are no motion (a T-pose)."""

    folder: str
    licence: str
    rig: dict[str, str]
    up: str = "y"
    unit: float = 1.0
    fps: float | None = None
    skip: int = 0
    pattern: str = "*.bvh"


_INCH = 0.0254 / 0.45  # CMU's unit of length, metres
SOURCES = (
    Source("cmu-bvh-01-09", "CMU", CMU, unit=_INCH, skip=1),
    Source("cmu-bvh-12-16", "CMU", POSER, unit=0.01, skip=1, pattern="1[234]_*.bvh"),
    Source("cmu-bvh-12-16", "CMU", ASF, unit=_INCH, fps=120.0, skip=1, pattern="16_*.bvh"),
    Source("cmu-amc-131-135", "CMU", ASF, unit=_INCH, pattern="*.amc"),
    Source("cmu-fbx-91", "CMU", POSER, up="z", unit=0.01, skip=1),
    Source("cmu-fbx-isaacgym", "CMU", CMU, up="z", unit=_INCH, skip=1),
    Source("cmu-fbx-keijiro", "CMU", NEO, up="auto", unit=0.01, skip=1),
    Source("animated-drawings/cmu1", "MIT", DRAWN, unit=_INCH, skip=1),
    Source("animated-drawings/fair1", "MIT", SPINED, up="auto"),
    Source("animated-drawings/rokoko", "MIT", SPINED, unit=0.01),
    Source("quaternius-ual1", "CC0-1.0", RIGIFY, pattern="*_2025-05.glb"),
    Source("mesh2motion-addon", "CC0-1.0", UNREAL, pattern="*.glb"),
)


def with_toe_tips(path: Path, motion: BvhMotion) -> BvhMotion:
    """Joints ``lFootTip`` and ``rFootTip`` at the end sites of the feet, for rigs without toes."""
    head = path.read_text(encoding="utf-8").partition("MOTION")[0].split()
    names, positions = list(motion.names), [motion.positions]
    for foot in ("lFoot", "rFoot"):
        place = head.index("End", head.index(foot))
        tip = np.array(head[place + 4 : place + 7], dtype=np.float64)
        joint = motion.joint(foot)
        positions.append((motion.positions[:, joint] + motion.rotations[:, joint] @ tip)[:, None])
        names.append(f"{foot}Tip")
    return replace(motion, names=tuple(names), positions=np.concatenate(positions, axis=1))


def read_takes(root: Path, source: Source) -> Iterator[tuple[str, BvhMotion]]:
    """Name and motion of every take of a source, in the file's own units."""
    for path in sorted((root / source.folder).rglob(source.pattern)):
        if path.suffix == ".glb":
            yield from ((f"{source.folder}/{name}", motion) for name, motion in read_glb(path).items())
            continue
        if path.suffix == ".amc":
            motion = read_amc(path, next(path.parent.glob(path.stem.split("_")[0] + "*.asf")))
        else:
            motion = read_bvh(path)
            if source.rig is POSER:
                motion = with_toe_tips(path, motion)
        yield f"{source.folder}/{path.stem}", motion


def joints_of(motion: BvhMotion, source: Source) -> np.ndarray:
    """A take -> joints float64 [T, 22, 3], 20 fps, metres, Y up, on the floor."""
    names = tuple(name for name in motion.names)
    given = {ours: plain(theirs) for ours, theirs in source.rig.items()}
    rig = find_rig(names, given)
    positions = upright(motion.positions[source.skip :], rig, source.up)
    return retarget(positions, rig, source.fps or motion.fps)


@dataclass(frozen=True)
class Args:
    """Read the action sources."""

    source: Path
    """The folder with one folder a source."""
    deepmimic: Path | None = None
    """The folder of humanoid3d_*.txt."""
    out: Path = Path("data/takes.npz")


def main(args: Args) -> None:
    """Read every take and write joints by name; prints how many, and which could not be read."""
    found: dict[str, np.ndarray] = {}
    broken: dict[str, str] = {}
    for source in SOURCES:
        for name, motion in read_takes(args.source, source):
            try:
                found[name] = joints_of(motion, source).astype(np.float32)
            except ValueError as error:
                broken[name] = str(error)
    mimic = Source("deepmimic", "MIT", MIMIC)
    for path in sorted(args.deepmimic.glob("humanoid3d_*.txt")) if args.deepmimic else ():
        motion = read_deepmimic(path)
        x, y, z = np.moveaxis(motion.positions, -1, 0)
        turned = replace(motion, positions=np.stack([-z, y, x], axis=-1))
        found[f"deepmimic/{path.stem.removeprefix('humanoid3d_')}"] = joints_of(turned, mimic).astype(np.float32)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(args.out, allow_pickle=False, **found)
    minutes = sum(len(joints) for joints in found.values()) / 20 / 60
    print(json.dumps({"takes": len(found), "minutes": round(minutes, 1), "broken": broken}))


if __name__ == "__main__":
    from training.command import run_command

    run_command(main, Args)
