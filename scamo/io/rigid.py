"""Bones of one length for rigs that only bend: the closest motion of a rigid skeleton.

A network's bones change their length a little from frame to frame. Turning rigid bones the same way adds these errors
up towards feet and hands. So the whole pose is fitted instead: every bone turns, and the pelvis moves, until the joints
are as near to where they were as bones of one length allow.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scamo.rotation import fit_rotation, quat_rotate, unit
from scamo.skeleton import JOINTS, PARENTS, checked_joints, joint_rotations, rest_offsets

Array = NDArray[np.floating]

_GROUPS = {0: (1, 2, 3), 9: (12, 13, 14)}  # pelvis and chest with the joints that are fixed to them
# What a joint's distance counts: joints that touch things count three times.
_WEIGHTS = np.ones(22)
_WEIGHTS[[JOINTS.index(f"{side}_{end}") for side in ("left", "right") for end in ("ankle", "foot", "wrist")]] = 3.0
_NEAR = 0.003  # metres below which a distance counts by its square, which keeps the fit smooth in time
_ROUNDS = 24
_ENOUGH = 1e-4  # a frame is done when a round betters it by less than this share
_CHUNK = 256  # frames that are fitted at once


def _paths() -> Array:
    """[22, 21]: 1 where a bone, numbered by its lower end less one, lies between pelvis and joint."""
    paths = np.zeros((22, 21))
    for joint in range(1, 22):
        paths[joint] = paths[PARENTS[joint]]
        paths[joint, joint - 1] = 1
    return paths


def _bodies() -> NDArray[np.int64]:
    """[21]: which body a bone belongs to. The three bones of pelvis and of chest are one body each."""
    firsts = [joint if PARENTS[joint] not in _GROUPS else _GROUPS[PARENTS[joint]][0] for joint in range(1, 22)]
    return np.unique(firsts, return_inverse=True)[1].astype(np.int64)


_PATHS, _BODIES = _paths(), _bodies()
_BODY_COUNT = int(_BODIES.max()) + 1
# [bodies, 21, 22]: the bones of a body that lie between pelvis and joint.
_PATHS_OF_BODIES = np.stack([np.where(body == _BODIES, _PATHS, 0.0).T for body in range(_BODY_COUNT)])


class RigidMotion(NamedTuple):
    """Offsets [22, 3] of a skeleton at rest, local rotations [T, 22, 4] wxyz, and the pelvis [T, 3], in metres."""

    offsets: Array
    rotations: Array
    root: Array


def fit_rigid(joints: Array) -> RigidMotion:
    """The motion of a skeleton with constant bones that is closest to a recording [T, 22, 3] in metres.

    The skeleton is `rest_offsets` of the recording. Distances of ankles, toes and wrists count three times.
    """
    joints = checked_joints(joints)
    offsets = rest_offsets(joints)
    placed = rigid_joints(joints, offsets)
    return RigidMotion(offsets, joint_rotations(placed, offsets), placed[:, 0])


def rigid_joints(joints: Array, offsets: Array, weights: Array = _WEIGHTS) -> Array:
    """Joints [T, 22, 3] of the skeleton `offsets` [22, 3] that are as close to `joints` as its bones allow.

    weights: [22] what a joint's distance counts. In every frame sum w |x - joint| is smallest, where distances below
    3 mm count by their squares. The sum of
    distances, not of their squares, leaves the error in the joint that a bone of another length has to push aside,
    which is a knee or an elbow, and keeps the others in their place.
    """
    chunks = [joints[start : start + _CHUNK] for start in range(0, len(joints), _CHUNK)]
    return np.concatenate([_fitted(chunk, offsets, weights) for chunk in chunks])


def _fitted(joints: Array, offsets: Array, weights: Array) -> Array:
    """`rigid_joints` by Levenberg and Marquardt's method on reweighted squares, in all frames at once."""
    bones, root = _first_bones(joints, offsets), joints[:, 0].copy()
    places = root[:, None] + _PATHS @ bones
    cost, damping = _cost(places - joints, weights), np.full(len(joints), 1e-3)
    active = np.arange(len(joints))  # frames that still get better
    for _ in range(_ROUNDS):
        step = _step(bones[active], joints[active] - places[active], weights, damping[active])
        turned = _turned(bones[active], step[:, _BODIES])
        moved = root[active] + step[:, -1]
        tried = moved[:, None] + _PATHS @ turned
        new_cost = _cost(tried - joints[active], weights)
        better = new_cost < cost[active]
        done = better & (cost[active] - new_cost < _ENOUGH * cost[active]) | (damping[active] > 1e6)
        good = active[better]
        bones[good], root[good], places[good] = turned[better], moved[better], tried[better]
        cost[good] = new_cost[better]
        damping[active] *= np.where(better, 0.2, 10.0)
        active = active[~done]
        if len(active) == 0:
            break
    return places


def _first_bones(joints: Array, offsets: Array) -> Array:
    """The skeleton's bones [T, 21, 3] turned as the recording's are. A bone without any length points as at rest."""
    bones = joints[:, 1:] - joints[:, PARENTS[1:]]
    lengths = np.linalg.norm(offsets[1:], axis=-1, keepdims=True)
    first = unit(bones + 1e-6 * offsets[1:]) * lengths
    for fixed in _GROUPS.values():
        turn = fit_rotation(offsets[list(fixed)], bones[:, [joint - 1 for joint in fixed]])
        first[:, [joint - 1 for joint in fixed]] = quat_rotate(turn[:, None], offsets[list(fixed)])
    return first


def _cost(errors: Array, weights: Array) -> Array:
    return (weights * np.sqrt((errors**2).sum(-1) + _NEAR**2)).sum(-1)


def _step(bones: Array, errors: Array, weights: Array, damping: Array) -> Array:
    """How the bodies turn, as rotation vectors, and how the pelvis moves: [T, bodies + 1, 3]."""
    frames = len(bones)
    pulls = np.repeat(weights / np.sqrt((errors**2).sum(-1) + _NEAR**2), 3, axis=1)
    # A joint moves by w x b when a bone b between it and the pelvis turns by w.
    x, y, z = (np.einsum("tb,kbj->tjk", bones[..., axis], _PATHS_OF_BODIES) for axis in range(3))
    moves = np.zeros((frames, 22, 3, _BODY_COUNT + 1, 3))
    for row, column, arm, sign in (
        (0, 1, z, 1),
        (0, 2, y, -1),
        (1, 0, z, -1),
        (1, 2, x, 1),
        (2, 0, y, 1),
        (2, 1, x, -1),
    ):
        moves[:, :, row, :-1, column] = sign * arm
    moves[:, :, :, -1] = np.eye(3)
    slopes = moves.reshape(frames, 66, -1)
    pulled = (slopes * pulls[..., None]).swapaxes(1, 2)
    matrix = pulled @ slopes
    diagonal = np.arange(matrix.shape[-1])
    matrix[:, diagonal, diagonal] += (damping * matrix[:, diagonal, diagonal].mean(-1))[:, None] + 1e-9
    return np.linalg.solve(matrix, pulled @ errors.reshape(frames, 66, 1)).reshape(frames, -1, 3)


def _turned(bones: Array, by: Array) -> Array:
    """Bones [T, 21, 3] turned by rotation vectors of the same shape."""
    angle = np.linalg.norm(by, axis=-1, keepdims=True)
    half = angle / 2
    return quat_rotate(np.concatenate([np.cos(half), by * np.sinc(half / np.pi) / 2], axis=-1), bones)
