"""Rigs that files are written for: their joints' names, rest pose, root bone and bone axes.

humanml3d  this project's own names, SMPL's rest pose
smpl       SMPL's names and rest pose
mixamo     Mixamo's names (mixamorig:Hips), T-pose, Y along the bones, centimetres
unreal     Unreal's mannequin (pelvis, spine_01), A-pose, a root bone on the floor, X along the bones, centimetres
vrm        the humanoid bones of VRM and Unity (hips, leftUpperArm), T-pose, no bone turned at rest
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from scamo.body.mannequin import PARENTS_24
from scamo.io.write_options import Unit, WriteOptions
from scamo.rotation import quat_between, quat_from_matrix
from scamo.skeleton import JOINTS

Array = NDArray[np.floating]

_ARM_DOWN = np.radians(45.0)  # of an A-pose


@dataclass(frozen=True)
class ExportRig:
    """A skeleton of another program, joint by joint ours.

    joints: its names of our 22 joints and of the two hands. rest: the pose in which no joint is turned. root: the name
    of a bone on the floor above which the pelvis moves. along: the axis of a bone that points to its child, where the
    file's format can say so. unit: the unit that its programs take a file's numbers for.
    """

    joints: tuple[str, ...]
    rest: Literal["smpl", "t", "a"] = "smpl"
    root: str | None = None
    along: Literal["x", "y"] | None = None
    unit: Unit = "m"


def _names(trunk: str, limbs: str, sides: tuple[str, str]) -> tuple[str, ...]:
    """trunk: pelvis to head; limbs: hip to hand; sides: patterns for left and right with {} for the limb."""
    core = dict(zip(("pelvis", "spine1", "spine2", "spine3", "neck", "head"), trunk.split(), strict=True))
    ours = ("hip", "knee", "ankle", "foot", "collar", "shoulder", "elbow", "wrist", "hand")
    for side, pattern in zip(("left", "right"), sides, strict=True):
        core |= {f"{side}_{limb}": pattern.format(name) for limb, name in zip(ours, limbs.split(), strict=True)}
    return tuple(core[joint] for joint in (*JOINTS, "left_hand", "right_hand"))


EXPORT_RIGS: dict[str, ExportRig] = {
    "humanml3d": ExportRig((*JOINTS, "left_hand", "right_hand")),
    "smpl": ExportRig(
        _names("Pelvis Spine1 Spine2 Spine3 Neck Head", "Hip Knee Ankle Foot Collar Shoulder Elbow Wrist Hand",
               ("L_{}", "R_{}"))
    ),
    "mixamo": ExportRig(
        tuple(f"mixamorig:{name}" for name in _names(
            "Hips Spine Spine1 Spine2 Neck Head",
            "UpLeg Leg Foot ToeBase Shoulder Arm ForeArm Hand HandMiddle1", ("Left{}", "Right{}"))),
        rest="t", along="y", unit="cm",
    ),
    "unreal": ExportRig(
        _names("pelvis spine_01 spine_02 spine_03 neck_01 head",
               "thigh calf foot ball clavicle upperarm lowerarm hand middle_01", ("{}_l", "{}_r")),
        rest="a", root="root", along="x", unit="cm",
    ),
    "vrm": ExportRig(
        _names("hips spine chest upperChest neck head",
               "UpperLeg LowerLeg Foot Toes Shoulder UpperArm LowerArm Hand MiddleProximal", ("left{}", "right{}")),
        rest="t",
    ),
}  # fmt: skip
"""By the name that `rig=` takes."""


def check_rig(rig: str) -> ExportRig:
    """The rig of that name; ValueError lists the names."""
    WriteOptions(rig=rig)  # type: ignore[arg-type]
    return EXPORT_RIGS[rig]


def rest_turns(rig: ExportRig, offsets: Array) -> Array:
    """How the bones of our rest pose turn into the rig's: world rotations [J, 4] wxyz, for offsets [J, 3]."""
    turns = np.tile([1.0, 0.0, 0.0, 0.0], (len(offsets), 1))
    if rig.rest == "smpl":
        return turns
    down = np.array([0.0, -1.0, 0.0])
    angle = _ARM_DOWN if rig.rest == "a" else 0.0
    for side, legs, arms in ((1, (1, 4, 7, 10), (16, 18, 20, 22)), (-1, (2, 5, 8, 11), (17, 19, 21, 23))):
        out = np.array([side * np.cos(angle), -np.sin(angle), 0.0])
        for chain, direction in ((legs[:3], down), (arms[:3], out)):
            for joint, child in pairwise(chain):
                turns[joint] = quat_between(offsets[child], direction)
        foot = offsets[legs[3]]
        turns[legs[2]] = quat_between(foot, np.array([0.0, foot[1], np.hypot(foot[0], foot[2])]))
        turns[legs[3]] = turns[legs[2]]
        turns[[joint for joint in arms[2:] if joint < len(turns)]] = turns[arms[1]]
    return turns


def bone_axes(rig: ExportRig, offsets: Array) -> Array:
    """The bones' own axes at rest: world rotations [J, 4] wxyz, for offsets [J, 3] of the rig's rest pose.

    A bone points to its first child along the spine or limb, an end as its parent does. The next axis of the bone looks
    forward (+Z), or up for feet.
    """
    count = len(offsets)
    axes = np.tile([1.0, 0.0, 0.0, 0.0], (count, 1))
    if rig.along is None:
        return axes
    child_of = {0: 3, 9: 12}
    for child in range(count - 1, 0, -1):
        if PARENTS_24[child] not in (0, 9):
            child_of[PARENTS_24[child]] = child
    direction = np.zeros((count, 3))
    for joint in range(count):
        direction[joint] = offsets[child_of[joint]] if joint in child_of else direction[PARENTS_24[joint]]
    for joint, bone in enumerate(direction / np.linalg.norm(direction, axis=-1, keepdims=True)):
        facing = np.array([0.0, 1.0, 0.0]) if joint in (7, 8, 10, 11) else np.array([0.0, 0.0, 1.0])
        facing = facing - (facing @ bone) * bone
        facing /= np.linalg.norm(facing)
        columns = [bone, facing, np.cross(bone, facing)] if rig.along == "x" else [np.cross(bone, facing), bone, facing]
        axes[joint] = quat_from_matrix(np.stack(columns, axis=-1)[None])[0]
    return axes
