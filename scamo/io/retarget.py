"""The way of motions of other skeletons onto the 22-joint skeleton. `scamo.io.rigs` finds their joints.

Limbs take the directions of the rig's bones, the trunk's joints sit at fixed directions in the frames of pelvis and
chest, and everything gets HumanML3D's lengths. So every recording of a foreign rig has the trunk that models know.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from scamo.skeleton import BONE_LENGTHS, PARENTS

Array = NDArray[np.floating]

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


def retarget(
    at: Mapping[str, Array], frames: Mapping[str, Array] | None = None, foot_pitch: float = 0.0
) -> NDArray[np.float64]:
    """The 22 joints of a recording of another rig: float64 [T, 22, 3] in metres, Y up, at the recording's frame rate.

    at: positions [T, 3] of the rig's joints by our names, in any unit, Y up. Of hips, knees, ankles, shoulders, elbows
    and wrists there must be both; what else is missing is placed by these. frames: [T, 3, 3], columns left, up and
    forward of the "hips", "spine", "chest" and "neck"; without them the rig's hips, spine, shoulders and head span
    them. foot_pitch: radians by which the feet are turned away from the shins.
    ValueError where the right leg has no length in the first frame.
    """
    at = at if frames is not None else completed(at)
    leg = np.linalg.norm(at["right_hip"][0] - at["right_knee"][0])
    leg += np.linalg.norm(at["right_knee"][0] - at["right_ankle"][0])
    if not leg > 0:
        raise ValueError("the right leg has no length in the first frame")
    middle = (at["left_hip"] + at["right_hip"]) / 2
    directions = np.zeros((len(middle), 22, 3))
    if frames is None:
        frames = _trunk_frames(at, middle, float(leg))
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


def completed(at: Mapping[str, Array]) -> dict[str, Array]:
    """The joints that retargeting reads, where a rig has no neck, head, spine, collars or toes."""
    out = dict(at)
    middle, shoulders = (out["left_hip"] + out["right_hip"]) / 2, (out["left_shoulder"] + out["right_shoulder"]) / 2
    leg = float(np.linalg.norm(out["right_hip"][0] - out["right_ankle"][0]))

    def together(one: Array, other: Array) -> bool:
        return bool(np.linalg.norm(one[0] - other[0]) < 0.04 * leg)

    out.setdefault("neck", shoulders)
    for joint, share in (("spine2", 0.4), ("spine3", 0.6)):
        out.setdefault(joint, middle + share * (out["neck"] - middle))
    if together(out["spine2"], middle):  # a joint in the pelvis gives no direction
        out["spine2"] = out["spine3"] if not together(out["spine3"], middle) else (middle + out["neck"]) / 2
    if together(out["spine3"], out["neck"]):
        out["spine3"] = out["spine2"]
    if "head" not in out or together(out["head"], out["neck"]):
        out["head"] = out["neck"] + 0.5 * (out["neck"] - out["spine3"])
    hips = _frame(out["left_hip"] - out["right_hip"], out["spine2"] - middle)
    for side in ("left", "right"):
        out.setdefault(f"{side}_collar", (out["spine3"] + out["neck"] + 2 * out[f"{side}_shoulder"]) / 4)
        ankle = out[f"{side}_ankle"]
        if f"{side}_foot" not in out or np.linalg.norm(out[f"{side}_foot"][0] - ankle[0]) < 0.01 * leg:
            shin = ankle - out[f"{side}_knee"]
            shin = shin / np.maximum(np.linalg.norm(shin, axis=-1, keepdims=True), 1e-9)
            ahead = hips[..., 2] - (hips[..., 2] * shin).sum(-1, keepdims=True) * shin
            ahead = ahead / np.maximum(np.linalg.norm(ahead, axis=-1, keepdims=True), 1e-9)
            out[f"{side}_foot"] = ankle + 0.17 * leg * (0.9 * ahead + 0.44 * shin)
    return out


def _trunk_frames(at: Mapping[str, Array], middle: Array, leg: float) -> dict[str, Array]:
    across = at["left_collar"] - at["right_collar"]
    if np.linalg.norm(across[0]) < 0.02 * leg:  # collars in one place have no direction; shoulders move with the arms
        across = at["left_shoulder"] - at["right_shoulder"]
    hips = _frame(at["left_hip"] - at["right_hip"], at["spine2"] - middle)
    chest = _frame(across, at["neck"] - at["spine3"])
    spine = _frame(hips[..., 0] + chest[..., 0], hips[..., 1] + chest[..., 1])
    return {"hips": hips, "spine": spine, "chest": chest, "neck": _frame(chest[..., 0], at["head"] - at["neck"])}


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
