"""Rotations as unit quaternions, and the ways to find them from directions.

Quaternions are stored (w, x, y, z) in the last axis. All functions broadcast over leading axes and work in float64.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solveh_banded
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.transform import Rotation

Array = NDArray[np.floating]

TRUST_PARENT = 0.25  # what a twist's cue counts against: the sine squared of a bent hinge is at most 1
_SPIN = 1.0  # how much a turn of a bone about itself from frame to frame is held back, in the same measure


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


def quat_from_matrix(matrices: Array) -> Array:
    """Unit quaternions [..., 4] wxyz of rotation matrices [..., 3, 3]."""
    q = Rotation.from_matrix(matrices.reshape(-1, 3, 3)).as_quat()
    return q[:, [3, 0, 1, 2]].reshape(*matrices.shape[:-2], 4)


def quat_continuous(q: Array) -> Array:
    """The same rotations with signs that do not jump along the first axis, as interpolation needs it. [T, ..., 4]."""
    flips = np.where((q[1:] * q[:-1]).sum(-1) < 0, -1.0, 1.0)
    signs = np.concatenate([np.where(q[:1, ..., 0] < 0, -1.0, 1.0), flips]).cumprod(axis=0)
    return q * signs[..., None]


def unit(v: Array) -> Array:
    """Vectors [..., 3] scaled to length 1; a zero vector stays zero."""
    return v / np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), 1e-9)


def fit_rotation(rest: Array, now: Array) -> Array:
    """The rotation that brings rest vectors [N, 3] closest to now [T, N, 3] (least squares, by SVD) -> [T, 4]."""
    u, _, vt = np.linalg.svd(np.einsum("tni,nj->tij", now, rest))
    u[..., 2] *= np.sign(np.linalg.det(u) * np.linalg.det(vt))[:, None]  # never a mirror image
    return quat_from_matrix(u @ vt)


def swing_towards(parent: Array, rest: Array, bone: Array) -> Array:
    """Turn the rotation `parent` [T, 4] on by the smallest rotation that points `rest` [3] along `bone` [T, 3]."""
    return quat_multiply(quat_between(quat_rotate(parent, rest), bone), parent)


def twist_towards(
    rotation: Array, bone: Array, axis: Array, cue: Array, trust: Array | float = TRUST_PARENT, steady: bool = True
) -> Array:
    """Turn `rotation` [T, 4] about its bone [T, 3] so that the body's `axis` [3] points along `cue` [T, 3].

    The length of the cue is its weight; `trust` is the weight of the rotation as it is. With `steady` the turn is
    also smooth from frame to frame.
    """
    along = unit(bone)
    side = quat_rotate(rotation, axis)
    side = unit(side - (side * along).sum(-1, keepdims=True) * along)
    across = np.cross(along, side)
    wanted = (cue * side).sum(-1) + 1j * (cue * across).sum(-1) + trust
    half = (_steady_angle(wanted, along, side, across) if steady else np.angle(wanted))[:, None] / 2
    return quat_multiply(np.concatenate([np.cos(half), np.sin(half) * along], axis=-1), rotation)


def _steady_angle(wanted: Array, along: Array, side: Array, across: Array) -> Array:
    """Smooth angles [T] of complex `wanted` [T]: the longer a number is, the closer its angle is followed.

    Angles are counted from an axis that the moving bone carries along without spinning. So the smoothing holds back
    real spin only, not the change of the view of it.
    """
    if len(wanted) == 1:
        return np.angle(wanted)
    carried = quat_rotate(quat_between(along[:-1], along[1:]), side[:-1])
    step = np.arctan2(-(carried * across[1:]).sum(-1), (carried * side[1:]).sum(-1))
    spin = np.concatenate([[0.0], np.cumsum(step)])  # of the rotation itself, against the carried axis
    wanted = gaussian_filter1d(wanted * np.exp(1j * spin), sigma=2.0, mode="nearest")
    trust = np.abs(wanted) + 1e-6
    held = np.full((2, len(wanted)), -_SPIN)  # least squares: trust * (x - angle)^2 + _SPIN * (change of x)^2
    held[1] = trust + 2 * _SPIN
    held[1, [0, -1]] -= _SPIN
    return solveh_banded(held, trust * np.unwrap(np.angle(wanted))) - spin
