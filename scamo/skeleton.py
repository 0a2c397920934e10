"""The 22-joint skeleton of HumanML3D: names, tree, lengths, and the quaternion arithmetic its representation needs.

Joints are SMPL's first 22, in SMPL's order. Positions are in metres, Y up, +Z forward, the body's left is +X.
Quaternions are stored (w, x, y, z) in the last axis; all functions broadcast over leading axes and work in float64.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]

JOINTS = (
    "pelvis", "left_hip", "right_hip", "spine1", "left_knee", "right_knee", "spine2", "left_ankle", "right_ankle",
    "spine3", "left_foot", "right_foot", "neck", "left_collar", "right_collar", "head", "left_shoulder",
    "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist",
)  # fmt: skip
PARENTS = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19)

# Distance of every joint to its parent in metres: the reference body to which HumanML3D retargets all of its clips.
BONE_LENGTHS = np.array([
    0, .103074, .109883, .131568, .393623, .390188, .14319, .432433, .425643, .057365, .143382, .149419, .21936,
    .137487, .143383, .103039, .131614, .122984, .25684, .263092, .266012, .269876,
])  # fmt: skip

# The five kinematic chains of the representation's inverse kinematics, each from its root outwards.
CHAINS = ((0, 2, 5, 8, 11), (0, 1, 4, 7, 10), (0, 3, 6, 9, 12, 15), (9, 14, 17, 19, 21), (9, 13, 16, 18, 20))

# Direction of every bone, parent to joint, in the representation's rest pose (a T with hanging arms' axes along -Y).
RAW_DIRECTIONS = np.array([
    [0, 0, 0], [1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, -1, 0], [0, 1, 0], [0, -1, 0], [0, -1, 0],
    [0, 1, 0], [0, 0, 1], [0, 0, 1], [0, 1, 0], [1, 0, 0], [-1, 0, 0], [0, 0, 1], [0, -1, 0], [0, -1, 0],
    [0, -1, 0], [0, -1, 0], [0, -1, 0], [0, -1, 0],
], dtype=np.float64)  # fmt: skip

LEFT = (1, 4, 7, 10, 13, 16, 18, 20)
RIGHT = (2, 5, 8, 11, 14, 17, 19, 21)
# MIRROR[j] is the joint that takes j's place when left and right are exchanged.
MIRROR = np.array([dict(zip(LEFT + RIGHT, RIGHT + LEFT, strict=True)).get(j, j) for j in range(len(PARENTS))])


def bone_lengths(joints: Array) -> Array:
    """Distance of every joint to its parent. joints [..., J, 3] -> [..., J], metres; the pelvis has 0."""
    count = joints.shape[-2]
    parents = np.array(PARENTS[:count])
    lengths = np.linalg.norm(joints[..., 1:, :] - joints[..., parents[1:], :], axis=-1)
    return np.concatenate([np.zeros_like(lengths[..., :1]), lengths], axis=-1)


def with_bone_lengths(joints: Array, lengths: Array) -> Array:
    """Keep every bone's direction and the root's path, and give the bones other lengths.

    joints [..., J, 3] and lengths [J] in metres -> [..., J, 3]. A bone of length zero points nowhere and stays zero.
    """
    out = np.array(joints, dtype=np.float64)
    for joint in range(1, joints.shape[-2]):
        bone = joints[..., joint, :] - joints[..., PARENTS[joint], :]
        size = np.linalg.norm(bone, axis=-1, keepdims=True)
        out[..., joint, :] = out[..., PARENTS[joint], :] + bone / np.maximum(size, 1e-9) * lengths[joint]
    return out


def quat_multiply(a: Array, b: Array) -> Array:
    """Hamilton product: the rotation b followed by the rotation a. [..., 4] x [..., 4] -> [..., 4]."""
    w, x, y, z = np.moveaxis(np.asarray(a), -1, 0)
    p, q, r, s = np.moveaxis(np.asarray(b), -1, 0)
    return np.stack(
        [
            w * p - x * q - y * r - z * s,
            w * q + x * p + y * s - z * r,
            w * r - x * s + y * p + z * q,
            w * s + x * r - y * q + z * p,
        ],
        axis=-1,
    )


def quat_conjugate(q: Array) -> Array:
    """The inverse of a unit quaternion. [..., 4] -> [..., 4]."""
    return np.asarray(q) * np.array([1.0, -1.0, -1.0, -1.0])


def quat_rotate(q: Array, v: Array) -> Array:
    """Turn vectors v [..., 3] by unit quaternions q [..., 4] -> [..., 3]."""
    q = np.asarray(q)
    axis, v = np.broadcast_arrays(q[..., 1:], np.asarray(v))
    t = 2.0 * np.cross(axis, v)
    return v + q[..., :1] * t + np.cross(axis, t)


def quat_between(a: Array, b: Array) -> Array:
    """The shortest rotation that turns direction a [..., 3] into direction b [..., 3] -> [..., 4].

    Opposite directions leave the axis open: then the half turn about Y is taken, or about X where a is along Y.
    """
    a, b = np.broadcast_arrays(np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64))
    w = np.sqrt((a**2).sum(-1) * (b**2).sum(-1)) + (a * b).sum(-1)
    q = np.concatenate([w[..., None], np.cross(a, b)], axis=-1)
    size = np.linalg.norm(q, axis=-1, keepdims=True)
    along_y = np.abs(a[..., 1:2]) > 0.99 * np.linalg.norm(a, axis=-1, keepdims=True)
    half_turn = np.where(along_y, [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0])
    return np.where(size < 1e-12, half_turn, q / np.maximum(size, 1e-12))


def quat_to_matrix(q: Array) -> Array:
    """Rotation matrices [..., 3, 3] of unit quaternions [..., 4]."""
    w, x, y, z = np.moveaxis(np.asarray(q), -1, 0)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)
