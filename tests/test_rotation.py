"""Rotations: opposite directions, matrices and quaternions, the side that a bone turns to."""

import numpy as np
from scipy.spatial.transform import Rotation

from scamo.rotation import (
    fit_rotation,
    quat_between,
    quat_continuous,
    quat_from_matrix,
    quat_multiply,
    quat_rotate,
    quat_to_matrix,
    swing_towards,
    twist_towards,
)


def random_quaternions(count: int) -> np.ndarray:
    return Rotation.random(count, random_state=0).as_quat()[:, [3, 0, 1, 2]]


def test_opposite_directions_have_a_rotation_too() -> None:
    q = quat_between(np.array([0.0, 0, -1]), np.array([0.0, 0, 1]))
    np.testing.assert_allclose(quat_rotate(q, np.array([0.0, 0, -1])), [0, 0, 1], atol=1e-12)
    q = quat_between(np.array([0.0, 1, 0]), np.array([0.0, -1, 0]))
    np.testing.assert_allclose(quat_rotate(q, np.array([0.0, 1, 0])), [0, -1, 0], atol=1e-12)


def test_products_and_matrices_are_scipys() -> None:
    q, p = random_quaternions(20), random_quaternions(40)[20:]
    both = Rotation.from_quat(q[:, [1, 2, 3, 0]]) * Rotation.from_quat(p[:, [1, 2, 3, 0]])
    np.testing.assert_allclose(quat_to_matrix(quat_multiply(q, p)), both.as_matrix(), atol=1e-12)
    np.testing.assert_allclose(np.abs((quat_from_matrix(quat_to_matrix(q)) * q).sum(-1)), 1, atol=1e-12)
    np.testing.assert_allclose(quat_rotate(q, np.eye(3)[0]), quat_to_matrix(q)[..., 0], atol=1e-12)


def test_signs_become_continuous() -> None:
    q = np.repeat(random_quaternions(1), 6, axis=0) * np.array([1, -1, -1, 1, -1, 1])[:, None]
    assert (np.diff(quat_continuous(q), axis=0) == 0).all()


def test_a_fit_finds_the_rotation_and_never_a_mirror_image() -> None:
    rest, q = np.array([[1.0, 0, 0], [0, 2, 0], [0.3, 0, 1]]), random_quaternions(5)
    found = fit_rotation(rest, quat_rotate(q[:, None], rest))
    np.testing.assert_allclose(np.abs((found * q).sum(-1)), 1, atol=1e-9)
    mirrored = fit_rotation(rest, np.broadcast_to(rest * [-1, 1, 1], (2, 3, 3)))
    np.testing.assert_allclose(np.linalg.det(quat_to_matrix(mirrored)), 1)


def test_swing_points_the_bone_and_twist_keeps_it() -> None:
    parent, bone = random_quaternions(8), np.tile([0.2, -0.9, 0.1], (8, 1))
    swung = swing_towards(parent, np.array([0.0, -1.0, 0.0]), bone)
    cue = 50 * np.tile([1.0, 0.0, 0.0], (8, 1))
    twisted = twist_towards(swung, bone, np.array([1.0, 0.0, 0.0]), cue, steady=False)
    for rotation in (swung, twisted):
        pointed = quat_rotate(rotation, np.array([0.0, -1.0, 0.0]))
        np.testing.assert_allclose(pointed, bone / np.linalg.norm(bone, axis=1, keepdims=True), atol=1e-9)
    assert (quat_rotate(twisted, np.array([1.0, 0.0, 0.0]))[:, 0] > 0.9).all()
