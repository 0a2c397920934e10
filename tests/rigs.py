"""BVH files of invented motions on the rigs that the reader knows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from scamo.io.retarget import NEEDED, RIGS
from scamo.motion import first_facing
from scamo.skeleton import JOINTS
from training.data.readers.bandai import BANDAI

CHANNELS = "CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation"


def write_bvh(path: Path, joints: np.ndarray, rig: str = "lafan1", fps: float = 30.0, prefix: str = "") -> Path:
    """joints [T, 22, 3] as a BVH file whose joints all have position channels and are children of the root.

    The file has the joints that retargeting needs, so not all of the trunk.
    """
    names = next(known.joints for known in RIGS if known.name == rig)
    at = {f"{prefix}{names[ours].title()}": joints[:, JOINTS.index(ours)] - joints[:, 0] for ours in NEEDED}
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
