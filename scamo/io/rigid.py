"""Bones of one length for rigs that only bend: the closest motion of a rigid skeleton.

A network's bones change their length a little from frame to frame. Turning rigid bones the same way adds these errors
up towards feet and hands. So joints are moved instead, as little as possible and feet and hands least, until every bone
has its length.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scamo.rotation import fit_rotation, quat_rotate, unit
from scamo.skeleton import JOINTS, PARENTS, checked_joints, joint_rotations, rest_offsets

Array = NDArray[np.floating]

_ROUNDS = 20  # of Newton's method at half speed, which also converges where an arm has shrunk to a third
_GROUPS = {0: (1, 2, 3), 9: (12, 13, 14)}  # pelvis and chest with the joints that are fixed to them
_BODY = np.array([next((root for root, fixed in _GROUPS.items() if j in fixed), j) for j in range(22)])
_BONES = [joint for joint in range(1, 22) if _BODY[joint] == joint]  # by their lower end
# What a joint's error counts, in least squares.
_WEIGHTS = np.ones(22)
_WEIGHTS[[JOINTS.index(f"{side}_{end}") for side in ("left", "right") for end in ("ankle", "foot", "wrist")]] = 3.0


class RigidMotion(NamedTuple):
    """Offsets [22, 3] of a skeleton at rest, local rotations [T, 22, 4] wxyz, and the pelvis [T, 3], in metres."""

    offsets: Array
    rotations: Array
    root: Array


def fit_rigid(joints: Array) -> RigidMotion:
    """The motion of a skeleton with constant bones that is closest to a recording [T, 22, 3] in metres.

    The skeleton is `rest_offsets` of the recording. Errors of ankles, toes and wrists count three times.
    """
    joints = checked_joints(joints)
    offsets = rest_offsets(joints)
    placed = rigid_joints(joints, offsets)
    return RigidMotion(offsets, joint_rotations(placed, offsets), placed[:, 0])


def rigid_joints(joints: Array, offsets: Array) -> Array:
    """Joints [T, 22, 3] whose bones have the lengths of `offsets` [22, 3], as close to `joints` as least squares gets.

    Pelvis and chest turn as the recording's do. Their joints move as one body, and every other joint alone. In every
    frame sum w |x - target|^2 is smallest under |bone| = length: Newton's method on the bones' tensions, whose matrix
    is the bodies' mobility times the cosines between the bones.
    """
    arms = np.zeros_like(joints)  # from a body to its joints
    for root, fixed in _GROUPS.items():
        turn = fit_rotation(offsets[list(fixed)], joints[:, fixed] - joints[:, root, None])
        arms[:, fixed] = quat_rotate(turn[:, None], offsets[list(fixed)])
    mass = np.bincount(_BODY, _WEIGHTS, minlength=22)
    target = np.zeros_like(joints)
    for joint, body in enumerate(_BODY):
        target[:, body] += _WEIGHTS[joint] / mass[body] * (joints[:, joint] - arms[:, joint])
    above = np.array(PARENTS)[_BONES]
    ends = np.zeros((len(_BONES), 22))
    ends[np.arange(len(_BONES)), _BONES] += 1
    ends[np.arange(len(_BONES)), _BODY[above]] -= 1
    moves = ends / np.maximum(mass, 1)  # how much a tension moves each body
    stiffness = moves @ ends.T
    lengths = np.linalg.norm(offsets[_BONES], axis=-1)
    # A bone without any length points as it does at rest.
    along = unit(ends @ target - arms[:, above] + 1e-6 * offsets[_BONES])
    bodies = target
    for _ in range(_ROUNDS):
        along = unit(along + 0.999 * unit(ends @ bodies - arms[:, above]))
        lacking = lengths - ((ends @ target - arms[:, above]) * along).sum(-1)
        tension = np.linalg.solve(stiffness * (along @ along.swapaxes(1, 2)), lacking[..., None])
        bodies = target + moves.T @ (tension * along)
    return bodies[:, _BODY] + arms
