"""Read the takes of open collections (CMU, Quaternius, Mesh2Motion, AnimatedDrawings, DeepMimic) as 22 joints.

    python -m training.data.readers.takes --source actions --deepmimic motions --out data/takes.npz

Every collection has its own rig, up axis and frame rate; ``COLLECTIONS`` lists them. The file has one array a take,
float32 [T, 22, 3] in metres at 20 fps, Y up, on the floor; ``training.data.readers.actions`` cuts clips from them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from scamo.atomic import write_npz
from scamo.io.bvh_read import BvhMotion, read_bvh
from scamo.io.retarget import retarget
from scamo.io.rigs import SIDED, plain
from scamo.io.upright import Axis, find_up, turned_up
from scamo.motion import canonical_joints, resample_joints
from training.data.readers.asf import read_amc
from training.data.readers.deepmimic import read_deepmimic
from training.data.readers.glb import read_glb
from training.data.readers.posed_rig import PosedRig


def _rig(spine: str, chest: str, neck: str, head: str, left: str, right: str, *limbs: str) -> dict[str, str]:
    """Our joints' names -> a rig's. The limbs' names are patterns that a side's letter or word is put in."""
    sides = {f"{side}_{ours}": theirs.format(mark) for side, mark in (("left", left), ("right", right))
             for ours, theirs in zip(SIDED, limbs, strict=True)}  # fmt: skip
    return {"spine2": spine, "spine3": chest, "neck": neck, "head": head} | sides


CMU = _rig("spine", "spine1", "neck", "head", "left", "right", "{}shoulder", "{}arm", "{}forearm", "{}hand", "{}upleg",
           "{}leg", "{}foot", "{}toebase")  # fmt: skip
POSER = _rig("abdomen", "chest", "neck", "head", "l", "r", "{}Collar", "{}Shldr", "{}ForeArm", "{}Hand", "{}Thigh",
             "{}Shin", "{}Foot", "{}FootTip")  # fmt: skip
ASF = _rig("upperback", "thorax", "lowerneck", "head", "l", "r", "{}clavicle", "{}humerus", "{}radius", "{}wrist",
           "{}femur", "{}tibia", "{}foot", "{}toes")  # fmt: skip
DRAWN = _rig("chest", "chest2", "neck", "head", "left", "right", "{}collar", "{}shoulder", "{}elbow", "{}wrist",
             "{}hip", "{}knee", "{}ankle", "{}toe")  # fmt: skip
SPINED = _rig("spine1", "spine2", "neck", "head", "left", "right", "{}shoulder", "{}arm", "{}forearm", "{}hand",
              "{}upleg", "{}leg", "{}foot", "{}toebase")  # fmt: skip
NEO = {ours: "Neo" + theirs for ours, theirs in SPINED.items()}
UNREAL = _rig("spine_02", "spine_03", "neck_01", "head", "l", "r", "clavicle_{}", "upperarm_{}", "lowerarm_{}",
              "hand_{}", "thigh_{}", "calf_{}", "foot_{}", "ball_{}")  # fmt: skip
RIGIFY = _rig("DEF-spine.002", "DEF-spine.003", "DEF-neck", "DEF-head", "L", "R", "DEF-shoulder.{}",
              "DEF-upper_arm.{}", "DEF-forearm.{}", "DEF-hand.{}", "DEF-thigh.{}", "DEF-shin.{}", "DEF-foot.{}",
              "DEF-toe.{}")  # fmt: skip
MIMIC = _rig("chest", "chest", "neck", "head", "left", "right", *(f"{{}}_{name}" for name in SIDED[:-1]),
             "{}_toe")  # fmt: skip


@dataclass(frozen=True)
class Collection:
    """A folder of takes: the rig by our joints' names, what differs from its files, and which of them count.

    up: None where it follows from head and feet. fps: frames a second where the files are wrong. skip: frames at the
    beginning that are no motion (a T-pose). Units are not needed, because bodies get HumanML3D's legs.
    """

    folder: str
    rig: dict[str, str]
    up: Axis | None = "y"
    fps: float | None = None
    skip: int = 0
    pattern: str = "*.bvh"


COLLECTIONS = (
    Collection("cmu-bvh-01-09", CMU, skip=1),
    Collection("cmu-bvh-12-16", POSER, skip=1, pattern="1[234]_*.bvh"),
    Collection("cmu-bvh-12-16", ASF, fps=120.0, skip=1, pattern="16_*.bvh"),
    Collection("cmu-amc-131-135", ASF, pattern="*.amc"),
    Collection("cmu-fbx-91", POSER, up="z", skip=1),
    Collection("cmu-fbx-isaacgym", CMU, up="z", skip=1),
    Collection("cmu-fbx-keijiro", NEO, up=None, skip=1),
    Collection("animated-drawings/cmu1", DRAWN, skip=1),
    Collection("animated-drawings/fair1", SPINED, up=None),
    Collection("animated-drawings/rokoko", SPINED),
    Collection("quaternius-ual1", RIGIFY, pattern="*_2025-05.glb"),
    Collection("mesh2motion-addon", UNREAL, pattern="*.glb"),
)


def with_toe_tips(motion: BvhMotion) -> PosedRig:
    """A recording with joints ``lFootTip`` and ``rFootTip`` at the End Sites of the feet, for rigs without toes."""
    names, positions = list(motion.names), [motion.positions]
    for foot in ("lFoot", "rFoot"):
        names.append(f"{foot}Tip")
        positions.append(motion.tips[:, [motion.tip_joints.index(motion.joint(foot))]])
    parents = (*motion.parents, *map(motion.joint, ("lFoot", "rFoot")))
    return PosedRig(tuple(names), parents, np.concatenate(positions, axis=1), motion.fps)


def read_takes(root: Path, collection: Collection) -> Iterator[tuple[str, PosedRig]]:
    """Name and motion of every take of a collection, in the file's own units."""
    for path in sorted((root / collection.folder).rglob(collection.pattern)):
        if path.suffix == ".glb":
            yield from ((f"{collection.folder}/{name}", motion) for name, motion in read_glb(path).items())
            continue
        if path.suffix == ".amc":
            motion = read_amc(path, next(path.parent.glob(path.stem.split("_")[0] + "*.asf")))
        else:
            bvh = read_bvh(path)
            motion = PosedRig(bvh.names, bvh.parents, bvh.positions, bvh.fps)
            if collection.rig is POSER:
                motion = with_toe_tips(bvh)
        yield f"{collection.folder}/{path.stem}", motion


def joints_of(motion: PosedRig, collection: Collection) -> np.ndarray:
    """A take -> joints float64 [T, 22, 3], 20 fps, metres, Y up, on the floor. ValueError where the rig is another."""
    places = {plain(name): place for place, name in enumerate(motion.names)}
    missing = [name for name in collection.rig.values() if plain(name) not in places]
    if missing:
        raise ValueError(f"it has no joints {', '.join(missing)}; it has {', '.join(motion.names)}")
    positions = motion.positions[collection.skip :]
    at = {ours: positions[:, places[plain(theirs)]] for ours, theirs in collection.rig.items()}
    up = collection.up or _up_axis(positions, at)
    joints = retarget({joint: turned_up(place, up) for joint, place in at.items()})
    return canonical_joints(resample_joints(joints, collection.fps or motion.fps))


def _up_axis(positions: np.ndarray, at: dict[str, np.ndarray]) -> Axis:
    leg = float(np.linalg.norm(at["right_hip"][0] - at["right_ankle"][0]))
    return find_up(positions, at["head"], (at["left_foot"] + at["right_foot"]) / 2, None, leg)


@dataclass(frozen=True)
class Args:
    """Read the takes of every collection."""

    source: Path
    """The folder with one folder a collection."""
    deepmimic: Path | None = None
    """The folder of humanoid3d_*.txt."""
    out: Path = Path("data/takes.npz")


def main(args: Args) -> None:
    """Read every take and write joints by name; prints how many, and which could not be read."""
    found: dict[str, np.ndarray] = {}
    broken: dict[str, str] = {}
    for collection in COLLECTIONS:
        for name, motion in read_takes(args.source, collection):
            try:
                found[name] = joints_of(motion, collection).astype(np.float32)
            except ValueError as error:
                broken[name] = str(error)
    mimic = Collection("deepmimic", MIMIC)
    for path in sorted(args.deepmimic.glob("humanoid3d_*.txt")) if args.deepmimic else ():
        motion = read_deepmimic(path)
        x, y, z = np.moveaxis(motion.positions, -1, 0)
        turned = replace(motion, positions=np.stack([-z, y, x], axis=-1))
        found[f"deepmimic/{path.stem.removeprefix('humanoid3d_')}"] = joints_of(turned, mimic).astype(np.float32)
    write_npz(args.out, **found)
    minutes = sum(len(joints) for joints in found.values()) / 20 / 60
    print(json.dumps({"takes": len(found), "minutes": round(minutes, 1), "broken": broken}))


if __name__ == "__main__":
    from training.command_line import run_command

    run_command(main, Args)
