"""Read a folder of BVH files of any rig with two arms and two legs.

    python -m training.prepare.bvh --source 100STYLE --out data/100style

The rigs of CMU (BVH conversion), 100STYLE, LAFAN1, Mixamo and what scamo exports are known by their joints' names; for
another give ``--joints map.json``, our names to the rig's: {"left_hip": "LThigh", ...}. The frame rate is the file's,
the up axis follows from head and feet; both can be given. Units need not be known: bodies get HumanML3D's legs.

Sentences come from NAME.txt beside each file or in ``--texts``, one a line, as HumanML3D writes them or plain.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from scamo.bvh import BvhMotion, read_bvh
from scamo.motion import FPS, canonical_joints, features_from_joints, resample_joints
from scamo.skeleton import BONE_LENGTHS, JOINTS, PARENTS
from training.prepare.bandai import TRUNK
from training.prepare.humanml3d import cut, read_captions
from training.prepare.sources import Piece, called, pieces_of, prepare, read_splits

SIDED = ("collar", "shoulder", "elbow", "wrist", "hip", "knee", "ankle", "toe")


def _rig(spine: str, chest: str, neck: str, head: str, *limbs: str) -> dict[str, str]:
    sides = {
        f"{side}_{ours}": side + theirs for side in ("left", "right") for ours, theirs in zip(SIDED, limbs, strict=True)
    }
    return {"spine": spine, "chest": chest, "neck": neck, "head": head} | sides


_ARM = ("shoulder", "arm", "forearm", "hand")
_LEG = ("upleg", "leg", "foot")
RIGS = {
    "100style": _rig("chest2", "chest3", "neck", "head", "collar", "shoulder", "elbow", "wrist", "hip", "knee", "ankle",
                     "toe"),
    "mixamo": _rig("spine1", "spine2", "neck", "head", *_ARM, *_LEG, "toebase"),
    "lafan1": _rig("spine1", "spine2", "neck", "head", *_ARM, *_LEG, "toe"),
    "cmu": _rig("spine", "spine1", "neck", "head", *_ARM, *_LEG, "toebase"),
}  # fmt: skip
"""Our joint names -> a rig's, in small letters and without what stands before a colon."""

LIMBS = {4: ("hip", "knee"), 7: ("knee", "ankle"), 10: ("ankle", "toe"), 16: ("collar", "shoulder"),
         18: ("shoulder", "elbow"), 20: ("elbow", "wrist")}  # fmt: skip
"""Left joint of ours (the right one is the next) -> the two joints of the rig whose line is its bone's direction."""


def plain(name: str) -> str:
    """A joint's name without namespace, case and punctuation."""
    return "".join(letter for letter in name.split(":")[-1].lower() if letter.isalnum())


def find_rig(names: tuple[str, ...], given: dict[str, str] | None = None) -> dict[str, int]:
    """Our joint names -> places in the file. ValueError that lists the file's joints where no rig fits."""
    places = {plain(name): place for place, name in enumerate(names)}
    rigs = RIGS.values() if given is None else [given]
    for rig in rigs:
        if all(plain(theirs) in places for theirs in rig.values()):
            return {ours: places[plain(theirs)] for ours, theirs in rig.items()}
    what = "No known rig has" if given is None else "The joint map does not fit"
    raise ValueError(f"{what} these joints: {', '.join(names)}; give --joints with names for {', '.join(RIGS['cmu'])}.")


def upright(positions: np.ndarray, rig: dict[str, int], up: str = "auto") -> np.ndarray:
    """Turn a recording [T, J, 3] so that Y is up; ``auto``: the axis along which the head is above the toes."""
    if up == "auto":
        toes = (positions[:, rig["left_toe"]] + positions[:, rig["right_toe"]]) / 2
        height = (positions[:, rig["head"]] - toes).mean(0)
        axis = int(np.abs(height).argmax())
        if height[axis] < 0:
            raise ValueError("the head is below the feet on average; give --up x, y or z")
        up = "xyz"[axis]
    x, y, z = np.moveaxis(positions, -1, 0)
    return np.stack({"x": (-y, x, z), "y": (x, y, z), "z": (x, z, -y)}[up], axis=-1)


def _frame(left: np.ndarray, up: np.ndarray) -> np.ndarray:
    """Right-angled columns left, up, forward of rough directions. [T, 3] each -> [T, 3, 3]."""
    up = up / np.maximum(np.linalg.norm(up, axis=-1, keepdims=True), 1e-9)
    left = left - (left * up).sum(-1, keepdims=True) * up
    left = left / np.maximum(np.linalg.norm(left, axis=-1, keepdims=True), 1e-9)
    return np.stack([left, up, np.cross(left, up)], axis=-1)


def retarget(positions: np.ndarray, rig: dict[str, int], fps: float) -> np.ndarray:
    """Positions [T, J, 3] of a rig, Y up, any unit -> canonical joints float64 [T', 22, 3] at 20 fps, in metres.

    Limbs take the directions of the rig's bones. Rigs differ in where their trunk has joints, so ours sit at fixed
    directions in the frames of pelvis and chest, which the rig's hips, spine and shoulders span.
    """
    at = {name: positions[:, place] for name, place in rig.items()}
    leg = np.linalg.norm(at["right_hip"][0] - at["right_knee"][0])
    leg += np.linalg.norm(at["right_knee"][0] - at["right_ankle"][0])
    if not leg > 0:
        raise ValueError("the right leg has no length in the first frame")
    across = at["left_collar"] - at["right_collar"]
    if np.linalg.norm(across[0]) < 0.02 * leg:  # collars in one place say nothing; shoulders move with the arms
        across = at["left_shoulder"] - at["right_shoulder"]
    middle = (at["left_hip"] + at["right_hip"]) / 2
    hips = _frame(at["left_hip"] - at["right_hip"], at["spine"] - middle)
    above = at["neck"] - at["chest"]
    if np.linalg.norm(above[0]) < 0.02 * leg:  # CMU's BVH files have both in one place
        above = at["neck"] - at["spine"]
    chest = _frame(across, above)
    spine = _frame(hips[..., 0] + chest[..., 0], hips[..., 1] + chest[..., 1])
    frames = {"Hips": hips, "Spine": spine, "Chest": chest}
    directions = np.zeros((len(positions), 22, 3))
    for joint, (frame, direction) in TRUNK.items():
        if frame in frames:
            directions[:, joint] = frames[frame] @ np.array(direction)
    directions[:, 15] = at["head"] - at["neck"]
    for joint, (start, end) in LIMBS.items():
        for side, offset in (("left", 0), ("right", 1)):
            directions[:, joint + offset] = at[f"{side}_{end}"] - at[f"{side}_{start}"]
    directions /= np.maximum(np.linalg.norm(directions, axis=-1, keepdims=True), 1e-9)
    joints = np.empty_like(directions)
    pelvis_to_hips = (directions[:, 1] * BONE_LENGTHS[1] + directions[:, 2] * BONE_LENGTHS[2]) / 2
    joints[:, 0] = middle * (BONE_LENGTHS[5] + BONE_LENGTHS[8]) / leg - pelvis_to_hips
    for joint in range(1, 22):
        joints[:, joint] = joints[:, PARENTS[joint]] + directions[:, joint] * BONE_LENGTHS[joint]
    return canonical_joints(resample_joints(joints, fps))


@dataclass(frozen=True)
class Args:
    """Read a folder of BVH files; run again to go on, or to add what is new."""

    source: Path
    """A folder; every .bvh below it is read."""
    out: Path
    """The dataset folder to write."""
    joints: Path | None = None
    """A JSON file that names the rig's joints, where it is none of the known ones."""
    fps: float | None = None
    """Frames a second of the files, where what they say is wrong."""
    up: Literal["auto", "x", "y", "z"] = "auto"
    texts: Path | None = None
    """A folder with NAME.txt for each file (default: beside it)."""
    splits: Path | None = None
    """A folder with train.txt, val.txt, test.txt that name files, without suffix (default: 80 : 15 : 5 by the name)."""
    longest: int = 200
    """Longer takes are cut in equal parts of at most this many frames (0: never); 200 is the paper's 50 tokens."""
    shortest: int = 20
    """Frames below which a clip is left out."""
    name: str = ""
    """What cards call the data (default: the folder's name)."""
    licence: str = "see the source"
    attribution: str = ""


def read_clips(path: Path, args: Args, given: dict[str, str] | None) -> Iterator[Piece]:
    """The clips of a file."""
    bvh: BvhMotion = read_bvh(path)
    fps = args.fps or bvh.fps
    if given is None and set(JOINTS) <= set(bvh.names):  # ours already, as scamo exports it
        joints = canonical_joints(resample_joints(bvh.positions[:, [bvh.joint(name) for name in JOINTS]], fps))
    else:
        rig = find_rig(bvh.names, given)
        joints = retarget(upright(bvh.positions, rig, args.up), rig, fps)
    name = called(path, args.source)
    yield from clips_of(name, joints, sentences_of(path, args.source, args.texts), args.longest, args.shortest)


def sentences_of(path: Path, source: Path, texts: Path | None) -> Path:
    """Where a take's sentences are: beside it, or in ``texts``, in the same folder as below the source or in none."""
    if texts is None:
        return path.with_suffix(".txt")
    same = texts / f"{called(path, source)}.txt"
    return same if same.exists() else texts / f"{path.stem}.txt"


def clips_of(name: str, joints: np.ndarray, texts: Path, longest: int, shortest: int) -> Iterator[Piece]:
    """Canonical joints [T, 22, 3] of a take -> its clips, each brought to its own canonical place.

    With sentences about parts of the take (from, to in seconds) the parts are the clips; else equal pieces are.
    """
    lines = read_captions(texts) if texts.exists() else []
    if any(line.end > 0 for line in lines):
        found = [(p.name, p.features, p.captions) for p in cut(name, joints, lines, FPS, shortest)]
    else:
        # T frames of joints are T - 1 of features, so neighbours share a frame.
        edges = pieces_of(len(joints) - 1, longest)
        words = tuple(line.caption for line in lines)
        found = [(f"{name}_{i}" if len(edges) > 1 else name, joints[a : b + 1], words)
                 for i, (a, b) in enumerate(edges) if b - a >= shortest]  # fmt: skip
    for clip, part, captions in found:
        yield Piece(clip, features_from_joints(canonical_joints(part, lengths=None)), captions, {"group": name})


def main(args: Args) -> None:
    """Read every BVH file below the folder."""
    files = sorted(path for path in args.source.rglob("*") if path.suffix.lower() == ".bvh")
    if not files:
        raise ValueError(f"No .bvh file below {args.source}.")
    given = None if args.joints is None else json.loads(args.joints.read_text())
    missing = set(RIGS["cmu"]) - set(given or RIGS["cmu"])
    if missing:
        raise ValueError(f"{args.joints} lacks names for {', '.join(sorted(missing))}.")
    about = {"source": args.name or args.source.name, "licence": args.licence, "attribution": args.attribution}
    if args.texts and not args.texts.is_dir():
        raise ValueError(f"There is no folder {args.texts}; --texts is the folder of NAME.txt for each file.")
    splits = read_splits(args.splits) if args.splits else None
    options = {"up": args.up, "fps": args.fps, "longest": args.longest, "shortest": args.shortest, "joints": given}
    prepare(args.out, files, args.source, lambda path: read_clips(path, args, given), about, options=options,
            splits=splits, texts=lambda path: sentences_of(path, args.source, args.texts))  # fmt: skip


if __name__ == "__main__":
    from training.command import run_command

    run_command(main, Args)
