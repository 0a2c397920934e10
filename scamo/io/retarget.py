"""Rigs of other skeletons, and the way of their motions onto the 22-joint skeleton.

A rig maps our joint names to its own. A file with all 22 joints of a rig gives them as they are. A rig that lacks some
of the trunk is retargeted: limbs take the directions of the rig's bones, the trunk's joints sit at fixed directions in
the frames of pelvis and chest, and everything gets HumanML3D's lengths.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from scamo.skeleton import BONE_LENGTHS, JOINTS, PARENTS

Array = NDArray[np.floating]
Axis = Literal["x", "y", "z"]

SIDED = ("collar", "shoulder", "elbow", "wrist", "hip", "knee", "ankle", "foot")
NEEDED = tuple(joint for joint in JOINTS if joint not in ("pelvis", "spine1"))  # the joints that retargeting reads
OTHER_NAMES = {"spine": "spine2", "chest": "spine3", "left_toe": "left_foot", "right_toe": "right_foot"}
"""Names of ours that older joint maps use."""


@dataclass(frozen=True)
class Rig:
    """A skeleton that is known by its joints' names.

    joints: our names -> its names, in small letters without prefix and punctuation; all 22, or at least NEEDED.
    is_ours: the skeleton is ours (or SMPL's, which is the same) under other names.
    """

    name: str
    joints: Mapping[str, str]
    is_ours: bool = False


def _rig(name: str, trunk: str, limbs: str) -> Rig:
    """trunk: pairs "ours=theirs"; limbs: what the rig calls SIDED, with "left" and "right" before each."""
    pairs = dict(pair.split("=") for pair in trunk.split())
    for side in ("left", "right"):
        pairs |= {f"{side}_{ours}": side + theirs for ours, theirs in zip(SIDED, limbs.split(), strict=True)}
    return Rig(name, pairs)


_SMPL = (
    "pelvis l_hip r_hip spine1 l_knee r_knee spine2 l_ankle r_ankle spine3 l_foot r_foot neck l_collar r_collar head "
    "l_shoulder r_shoulder l_elbow r_elbow l_wrist r_wrist"
)
_HIPS = "pelvis=hips spine1=spine spine2=spine1 spine3=spine2 neck=neck head=head"
RIGS = (
    Rig("humanml3d", {joint: joint for joint in JOINTS}, is_ours=True),
    Rig("smpl", dict(zip(JOINTS, _SMPL.split(), strict=True)), is_ours=True),
    _rig("100style", "spine2=chest2 spine3=chest3 neck=neck head=head",
         "collar shoulder elbow wrist hip knee ankle toe"),
    _rig("mixamo", _HIPS, "shoulder arm forearm hand upleg leg foot toebase"),
    _rig("lafan1", _HIPS, "shoulder arm forearm hand upleg leg foot toe"),
    _rig("cmu", "spine2=spine spine3=spine1 neck=neck head=head", "shoulder arm forearm hand upleg leg foot toebase"),
)  # fmt: skip
"""The rigs that are known, in the order in which they are tried."""

# Joint -> (the frame that carries it, its direction from its parent as (left, up, forward) in that frame).
TRUNK = {
    1: ("hips", (0.57, -0.82, -0.075)),
    2: ("hips", (-0.57, -0.82, -0.075)),
    3: ("hips", (0.0, 0.964, -0.266)),
    6: ("spine", (0.0, 0.97, 0.24)),
    9: ("spine", (0.0, 0.96, 0.28)),
    12: ("chest", (0.0, 1.0, 0.0)),
    13: ("chest", (0.55, 0.835, -0.02)),
    14: ("chest", (-0.55, 0.835, -0.02)),
    15: ("neck", (0.0, 0.8, 0.6)),
}
# Left joint of ours (the right one is the next) -> the two joints of a rig whose line is its bone's direction.
LIMBS = {4: ("hip", "knee"), 7: ("knee", "ankle"), 10: ("ankle", "foot"), 16: ("collar", "shoulder"),
         18: ("shoulder", "elbow"), 20: ("elbow", "wrist")}  # fmt: skip


def plain(name: str) -> str:
    """A joint's name without namespace, case and punctuation."""
    return "".join(letter for letter in name.split(":")[-1].lower() if letter.isalnum())


def find_rig(names: Sequence[str], joints: Mapping[str, str] | None = None) -> tuple[Rig, dict[str, int]]:
    """The rig of a file with these joints, and the place of each of its joints: (rig, our name -> index in `names`).

    joints: our names -> the file's, for a rig that is not known; a name that it leaves out is taken to be ours.
    ValueError lists the joints of the file, and what is missing.
    """
    places = {plain(name): index for index, name in enumerate(names)}
    if joints is not None:
        known = {OTHER_NAMES.get(ours, ours): theirs for ours, theirs in joints.items()}
        rigs: Sequence[Rig] = [Rig("given", {joint: known.get(joint, joint) for joint in JOINTS})]
    else:
        rigs = RIGS
    found = [{ours: places[plain(theirs)] for ours, theirs in rig.joints.items() if plain(theirs) in places}
             for rig in rigs]  # fmt: skip
    for wanted in (JOINTS, NEEDED):
        for rig, at in zip(rigs, found, strict=True):
            if set(wanted) <= set(at):
                return rig, at
    lacking = [joint for joint in NEEDED if joint not in found[0]] if joints is not None else NEEDED
    raise ValueError(
        f"it has the joints {', '.join(names)}; no known rig has them. Pass joints= (--joints) with what it calls "
        f"{', '.join(lacking)}."
    )


def turned_up(positions: Array, up: Axis) -> Array:
    """Positions [..., 3] whose up axis is `up`, turned so that Y is up."""
    x, y, z = np.moveaxis(positions, -1, 0)
    return np.stack({"x": (-y, x, z), "y": (x, y, z), "z": (x, z, -y)}[up], axis=-1)


def find_up(positions: Array, at: Mapping[str, int]) -> Axis:
    """The axis along which the head is above the feet on average, of positions [T, J, 3] of a rig.

    ValueError where the head is below the feet.
    """
    feet = (positions[:, at["left_foot"]] + positions[:, at["right_foot"]]) / 2
    height = (positions[:, at["head"]] - feet).mean(0)
    axis = int(np.abs(height).argmax())
    if height[axis] < 0:
        raise ValueError("the head is below the feet on average; pass up= (--up) x, y or z")
    axes: tuple[Axis, ...] = ("x", "y", "z")
    return axes[axis]


def retarget(
    at: Mapping[str, Array], frames: Mapping[str, Array] | None = None, foot_pitch: float = 0.0
) -> NDArray[np.float64]:
    """The 22 joints of a recording of another rig: float64 [T, 22, 3] in metres, Y up, at the recording's frame rate.

    at: positions [T, 3] of the rig's joints by our names, in any unit, Y up. frames: [T, 3, 3], columns left, up and
    forward of the "hips", "spine", "chest" and "neck"; without them the rig's hips, spine and shoulders span the first
    three, and the head follows the rig's neck. foot_pitch: radians by which the feet are turned away from the shins.
    ValueError where the right leg has no length in the first frame.
    """
    leg = np.linalg.norm(at["right_hip"][0] - at["right_knee"][0])
    leg += np.linalg.norm(at["right_knee"][0] - at["right_ankle"][0])
    if not leg > 0:
        raise ValueError("the right leg has no length in the first frame")
    middle = (at["left_hip"] + at["right_hip"]) / 2
    directions = np.zeros((len(middle), 22, 3))
    if frames is None:
        frames = _trunk_frames(at, middle, float(leg))
        directions[:, 15] = at["head"] - at["neck"]
    for joint, (frame, direction) in TRUNK.items():
        if frame in frames:
            directions[:, joint] = frames[frame] @ np.array(direction)
    for joint, (start, end) in LIMBS.items():
        for side, offset in (("left", 0), ("right", 1)):
            directions[:, joint + offset] = at[f"{side}_{end}"] - at[f"{side}_{start}"]
    directions /= np.maximum(np.linalg.norm(directions, axis=-1, keepdims=True), 1e-9)
    if foot_pitch:
        for ankle, foot in ((7, 10), (8, 11)):
            directions[:, foot] = _pitched_up(directions[:, foot], directions[:, ankle], foot_pitch)
    joints = np.empty_like(directions)
    pelvis_to_hips = (directions[:, 1] * BONE_LENGTHS[1] + directions[:, 2] * BONE_LENGTHS[2]) / 2
    joints[:, 0] = middle * (BONE_LENGTHS[5] + BONE_LENGTHS[8]) / leg - pelvis_to_hips
    for joint in range(1, 22):
        joints[:, joint] = joints[:, PARENTS[joint]] + directions[:, joint] * BONE_LENGTHS[joint]
    return joints


def _trunk_frames(at: Mapping[str, Array], middle: Array, leg: float) -> dict[str, Array]:
    across = at["left_collar"] - at["right_collar"]
    if np.linalg.norm(across[0]) < 0.02 * leg:  # collars in one place have no direction; shoulders move with the arms
        across = at["left_shoulder"] - at["right_shoulder"]
    hips = _frame(at["left_hip"] - at["right_hip"], at["spine2"] - middle)
    chest = _frame(across, at["neck"] - at["spine3"])
    return {"hips": hips, "chest": chest, "spine": _frame(hips[..., 0] + chest[..., 0], hips[..., 1] + chest[..., 1])}


def _frame(left: Array, up: Array) -> Array:
    """Right-angled columns left, up, forward of rough directions. [T, 3] each -> [T, 3, 3]."""
    up = up / np.maximum(np.linalg.norm(up, axis=-1, keepdims=True), 1e-9)
    left = left - (left * up).sum(-1, keepdims=True) * up
    left = left / np.maximum(np.linalg.norm(left, axis=-1, keepdims=True), 1e-9)
    return np.stack([left, up, np.cross(left, up)], axis=-1)


def _pitched_up(foot: Array, shin: Array, angle: float) -> Array:
    """Turn the foot away from the shin by an angle, in their common plane. [T, 3] unit vectors -> [T, 3]."""
    down = shin - (shin * foot).sum(-1, keepdims=True) * foot
    down /= np.maximum(np.linalg.norm(down, axis=-1, keepdims=True), 1e-6)
    return np.cos(angle) * foot - np.sin(angle) * down
