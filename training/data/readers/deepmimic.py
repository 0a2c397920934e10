"""Read the reference motions of DeepMimic (humanoid3d_*.txt; the PyPI package pybullet carries them, MIT).

A frame is its duration, the root's position, then rotations: quaternions (w x y z), or one angle for knees and elbows.
The skeleton stands along Y, looks along X, and its left is -Z; lengths are metres.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from training.data.readers.posed_rig import PosedRig

# Joint, its parent, its place in the parent's frame, and how many numbers turn it (0: it is a tip).
JOINTS = (
    ("root", "", (0.0, 0.0, 0.0), 4),
    ("chest", "root", (0.0, 0.236151, 0.0), 4),
    ("neck", "chest", (0.0, 0.223894, 0.0), 4),
    ("right_hip", "root", (0.0, 0.0, 0.084887), 4),
    ("right_knee", "right_hip", (0.0, -0.421546, 0.0), 1),
    ("right_ankle", "right_knee", (0.0, -0.409870, 0.0), 4),
    ("right_shoulder", "chest", (-0.02405, 0.24350, 0.18311), 4),
    ("right_elbow", "right_shoulder", (0.0, -0.274788, 0.0), 1),
    ("left_hip", "root", (0.0, 0.0, -0.084887), 4),
    ("left_knee", "left_hip", (0.0, -0.421546, 0.0), 1),
    ("left_ankle", "left_knee", (0.0, -0.409870, 0.0), 4),
    ("left_shoulder", "chest", (-0.02405, 0.24350, -0.18311), 4),
    ("left_elbow", "left_shoulder", (0.0, -0.274788, 0.0), 1),
    ("head", "neck", (0.0, 0.175, 0.0), 0),
    ("right_wrist", "right_elbow", (0.0, -0.258947, 0.0), 0),
    ("left_wrist", "left_elbow", (0.0, -0.258947, 0.0), 0),
    ("right_toe", "right_ankle", (0.14, -0.05, 0.0), 0),
    ("left_toe", "left_ankle", (0.14, -0.05, 0.0), 0),
    ("right_collar", "chest", (-0.012, 0.24, 0.06), 0),
    ("left_collar", "chest", (-0.012, 0.24, -0.06), 0),
)
WIDTH = 4 + sum(count for *_, count in JOINTS)


def read_deepmimic(path: Path) -> PosedRig:
    """Pose the skeleton at every frame, Y up. ValueError names the file and what is wrong with it."""
    try:
        frames = np.array(json.loads(path.read_text(encoding="utf-8"))["Frames"], dtype=np.float64)
    except (OSError, KeyError, ValueError) as error:
        raise ValueError(f"{path} cannot be read as a DeepMimic motion: {error!r}.") from error
    if frames.ndim != 2 or frames.shape[1] != WIDTH:
        raise ValueError(f"{path} has frames of shape {frames.shape}; a humanoid's have {WIDTH} numbers.")
    names = tuple(name for name, *_ in JOINTS)
    parents = tuple(names.index(parent) if parent else -1 for _, parent, *_ in JOINTS)
    offsets = np.array([offset for *_, offset, _ in JOINTS])
    positions, rotations = np.zeros((len(frames), len(JOINTS), 3)), np.zeros((len(frames), len(JOINTS), 3, 3))
    column = 4
    for place, (parent, (*_, count)) in enumerate(zip(parents, JOINTS, strict=True)):
        values = frames[:, column : column + count]
        column += count
        own = np.tile(np.eye(3), (len(frames), 1, 1))
        if count == 4:
            own = Rotation.from_quat(values[:, [1, 2, 3, 0]]).as_matrix()
        elif count == 1:
            own = Rotation.from_euler("z", values).as_matrix()
        if parent < 0:
            positions[:, place], rotations[:, place] = frames[:, 1:4], own
        else:
            positions[:, place] = positions[:, parent] + rotations[:, parent] @ offsets[place]
            rotations[:, place] = rotations[:, parent] @ own
    return PosedRig(names, parents, positions, 1 / float(frames[0, 0]))
