"""BVH files of made-up motions on the rigs that the reader knows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from scamo.motion import first_facing
from scamo.skeleton import PARENTS
from training.data.readers.bandai import LIMBS
from training.data.readers.bvh import RIGS

# Our joint of the 22 at which a rig has the one that it calls by a name of ours.
PLACES = {"spine": 6, "chest": 9, "neck": 12, "head": 15}
SIDES = {"collar": 13, "shoulder": 16, "elbow": 18, "wrist": 20, "hip": 1, "knee": 4, "ankle": 7, "toe": 10}


CHANNELS = "CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation"


def write_bvh(path: Path, joints: np.ndarray, rig: str = "lafan1", fps: float = 30.0, prefix: str = "") -> Path:
    """joints [T, 22, 3] as a BVH file whose joints all have position channels and hang on the root."""
    places = PLACES | {f"left_{name}": j for name, j in SIDES.items()}
    places |= {f"right_{name}": j + 1 for name, j in SIDES.items()}
    at = {f"{prefix}{theirs.title()}": joints[:, places[ours]] - joints[:, 0] for ours, theirs in RIGS[rig].items()}
    return _write(path, f"{prefix}Hips", joints[:, 0], at, {}, fps)


def write_bandai(path: Path, joints: np.ndarray, fps: float = 30.0) -> Path:
    """joints [T, 22, 3] in metres as the Bandai-Namco datasets have them: their names, their bones' axes, in cm."""
    at = {"Hips": joints[:, 0], "Spine": joints[:, 3], "Chest": joints[:, 9], "Neck": joints[:, 12]}
    for joint, (start, end) in LIMBS.items():
        at[end] = joints[:, joint]
        at.setdefault(start, joints[:, PARENTS[joint]])
    forward = first_facing(joints)
    up = np.broadcast_to([0.0, 1.0, 0.0], forward.shape)
    left = np.cross(up, forward)
    hips, bones = np.stack([up, -left, forward], axis=-1), np.stack([up, forward, left], axis=-1)
    turns = {"Hips": hips, "Spine": bones, "Chest": bones, "Neck": bones}
    places = {name: 100 * place for name, place in at.items()}
    return _write(path, "joint_Root", np.zeros_like(forward), places, turns, fps)


def _write(path: Path, root: str, start: np.ndarray, at: dict[str, np.ndarray], turns: dict[str, np.ndarray],
           fps: float) -> Path:  # fmt: skip
    """The root's place and, of joints that all hang on it, places seen from it and rotations (none: identity)."""
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
    path.write_text("\n".join(lines) + "\n")
    return path
