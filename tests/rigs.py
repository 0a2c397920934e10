"""BVH files of invented motions on the rigs that the reader knows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from scamo.io import bvh
from scamo.io.rigs import SIDED
from scamo.motion import first_facing
from scamo.skeleton import JOINTS
from training.data.readers.bandai import BANDAI

CHANNELS = "CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation"


def _rig(
    trunk: str, limbs: str, side: str = "{side}{limb}", sides: tuple[str, str] = ("Left", "Right")
) -> dict[str, str]:
    """trunk: pelvis, spine1 to spine3, neck and head; limbs: what the rig calls SIDED, in that order."""
    names = dict(zip(("pelvis", "spine1", "spine2", "spine3", "neck", "head"), trunk.split("|"), strict=True))
    for ours, theirs in zip(("left", "right"), sides, strict=True):
        names |= {f"{ours}_{joint}": side.format(side=theirs, limb=limb)
                  for joint, limb in zip(SIDED, limbs.split(), strict=True)}  # fmt: skip
    return names


_HIPS = "Hips|Spine|Spine1|Spine2|Neck|Head"
_MIXAMO = "Shoulder Arm ForeArm Hand UpLeg Leg Foot ToeBase"
_XSENS = "Collar Shoulder Elbow Wrist Hip Knee Ankle Toe"
_L = ("L", "R")
RIGS = {
    "humanml3d": {joint: joint for joint in JOINTS},
    "smpl": _rig("Pelvis|Spine1|Spine2|Spine3|Neck|Head", "Collar Shoulder Elbow Wrist Hip Knee Ankle Foot",
                 "{side}_{limb}", _L),
    "smpl left": _rig("pelvis|spine1|spine2|spine3|neck|head", "collar shoulder elbow wrist hip knee ankle foot",
                      "{side}_{limb}"),
    "smpl avg": _rig("m_avg_Pelvis|m_avg_Spine1|m_avg_Spine2|m_avg_Spine3|m_avg_Neck|m_avg_Head",
                     "Collar Shoulder Elbow Wrist Hip Knee Ankle Foot", "m_avg_{side}_{limb}", _L),
    "mixamo": _rig(_HIPS, _MIXAMO),
    "motionbuilder": {ours: f"Character1_{name}" for ours, name in _rig(_HIPS, _MIXAMO).items()},
    "glued": {ours: f"mixamorig{name}" for ours, name in _rig(_HIPS, _MIXAMO).items()},
    "lafan1": _rig(_HIPS, "Shoulder Arm ForeArm Hand UpLeg Leg Foot Toe"),
    "cmu": _rig("Hips|LowerBack|Spine|Spine1|Neck|Head", _MIXAMO),
    "amc": _rig("root|lowerback|upperback|thorax|lowerneck|head", "clavicle humerus radius wrist femur tibia foot toes",
                "{side}{limb}", ("l", "r")),
    "100style": _rig("Hips|Chest|Chest2|Chest3|Neck|Head", _XSENS),
    "biped": _rig("Bip01 Pelvis|Bip01 Spine|Bip01 Spine1|Bip01 Spine2|Bip01 Neck|Bip01 Head",
                  "Clavicle UpperArm Forearm Hand Thigh Calf Foot Toe0", "Bip01 {side} {limb}", _L),
    "rokoko": _rig("Hips|Spine|Spine2|Spine3|Neck|Head", "Shoulder Arm ForeArm Hand Thigh Shin Foot Toe"),
    "optitrack": _rig("Hip|Ab|Chest|Chest2|Neck|Head", "Shoulder UArm FArm Hand Thigh Shin Foot Toe",
                      "{side}{limb}", _L) | {"spine1": "Spine"},
    "kinect": _rig("PELVIS|LOW|SPINE_NAVEL|SPINE_CHEST|NECK|HEAD",
                   "CLAVICLE SHOULDER ELBOW WRIST HIP KNEE ANKLE FOOT", "{limb}_{side}", ("LEFT", "RIGHT")),
    "unity": _rig("hips|spine|chest|upperChest|neck|head",
                  "Shoulder UpperArm LowerArm Hand UpperLeg LowerLeg Foot Toes", sides=("left", "right")),
    "vroid": _rig("J_Bip_C_Hips|J_Bip_C_Spine|J_Bip_C_Chest|J_Bip_C_UpperChest|J_Bip_C_Neck|J_Bip_C_Head",
                  "Shoulder UpperArm LowerArm Hand UpperLeg LowerLeg Foot ToeBase", "J_Bip_{side}_{limb}", _L),
    "unreal": _rig("pelvis|spine_01|spine_02|spine_03|neck_01|head",
                   "clavicle upperarm lowerarm hand thigh calf foot ball", "{limb}_{side}", ("l", "r")),
    "rigify": _rig("DEF-spine|DEF-spine.001|DEF-spine.002|DEF-spine.003|DEF-neck|DEF-head",
                   "shoulder upper_arm forearm hand thigh shin foot toe", "DEF-{limb}.{side}", _L),
    "soma": _rig("Hips|Spine1|Spine2|Chest|Neck1|Head", "Shoulder Arm ForeArm Hand Leg Shin Foot ToeBase"),
    "unknown": {joint: f"node {number}" for number, joint in enumerate(JOINTS)},
}  # fmt: skip
"""What rigs call our joints."""
OURS = ("humanml3d", "smpl", "smpl left", "smpl avg")
"""The rigs that are our skeleton under other names."""
FLAT = (*(f"{side}_{limb}" for limb in SIDED for side in ("left", "right")), "spine2", "spine3", "neck", "head")


def write_rig(path: Path, joints: np.ndarray, rig: str, fps: float = 20.0, prefix: str = "") -> Path:
    """joints [T, 22, 3] as a BVH file with a tree, whose joints have a rig's names."""
    text = bvh.write_bvh(joints, path, fps, unit="cm").read_text(encoding="utf-8")
    for ours, theirs in RIGS[rig].items():
        for kind in ("ROOT", "JOINT"):
            text = text.replace(f"{kind} {ours}\n", f"{kind} {prefix}\0{theirs}\n")
    path.write_text(text.replace("\0", ""), encoding="utf-8")
    return path


def write_bvh(path: Path, joints: np.ndarray, rig: str = "lafan1", fps: float = 30.0, prefix: str = "") -> Path:
    """joints [T, 22, 3] as a BVH file whose joints all have position channels and are children of the root.

    The file has not all of the trunk.
    """
    at = {f"{prefix}{RIGS[rig][ours]}": joints[:, JOINTS.index(ours)] - joints[:, 0] for ours in FLAT}
    return _write(path, f"{prefix}Hips", joints[:, 0], at, {}, fps)


def write_bandai(path: Path, joints: np.ndarray, fps: float = 30.0) -> Path:
    """joints [T, 22, 3] in metres as the Bandai-Namco datasets have them: their names, their bones' axes, in cm."""
    at = {"Hips": joints[:, 0], "Spine": joints[:, 3], "Chest": joints[:, 9], "Neck": joints[:, 12]}
    at |= {theirs: joints[:, JOINTS.index(ours)] for ours, theirs in BANDAI.items()}
    forward = first_facing(joints)
    up = np.broadcast_to([0.0, 1.0, 0.0], forward.shape)
    left = np.cross(up, forward)
    hips, bones = np.stack([up, -left, forward], axis=-1), np.stack([up, forward, left], axis=-1)
    turns = {"Hips": hips, "Spine": bones, "Chest": bones, "Neck": bones}
    places = {name: 100 * place for name, place in at.items()}
    return _write(path, "joint_Root", np.zeros_like(forward), places, turns, fps)


def _write(path: Path, root: str, start: np.ndarray, at: dict[str, np.ndarray], turns: dict[str, np.ndarray],
           fps: float) -> Path:  # fmt: skip
    """The root's place and its children's places relative to it, with their rotations (default: none)."""
    lines = ["HIERARCHY", f"ROOT {root}", "{", "OFFSET 0 0 0", CHANNELS]
    for name in at:
        lines += [f"JOINT {name}", "{", "OFFSET 0 1 0", CHANNELS, "End Site", "{", "OFFSET 0 0 0", "}", "}"]
    still = np.zeros_like(start)
    angles = {name: Rotation.from_matrix(turn).as_euler("ZXY", degrees=True) for name, turn in turns.items()}
    columns = [start, still]
    for name, place in at.items():
        columns += [place, angles.get(name, still)]
    lines += ["}", "MOTION", f"Frames: {len(start)}", f"Frame Time: {1 / fps:.9f}"]
    lines += [" ".join(f"{value:.6f}" for value in row) for row in np.concatenate(columns, axis=1)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
