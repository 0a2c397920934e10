"""Joints to rotations and back: exact, quick, no flips; and feet that stay where they are put."""

import time
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d

from scamo.metrics import foot_slide
from scamo.rotation import quat_from_matrix, quat_to_matrix
from scamo.skeleton import (
    JOINTS,
    PARENTS,
    REST_OFFSETS,
    bone_lengths,
    forward_kinematics,
    joint_rotations,
    lock_feet,
    rest_offsets,
    with_bone_lengths,
)

from .motions import ALL, pose, swing, walk


def degrees(q: np.ndarray) -> np.ndarray:
    """Turn from frame to frame. [T, J, 4] -> [T-1, J]."""
    return np.degrees(2 * np.arccos(np.abs((q[1:] * q[:-1]).sum(-1)).clip(0, 1)))


def wild(seed: int, frames: int = 120) -> np.ndarray:
    """Fast tumbling with arms and legs anywhere and elbows and knees between straight and 140 degrees."""
    random = np.random.default_rng(seed)

    def noise(*shape: int) -> np.ndarray:
        return gaussian_filter1d(random.normal(size=(frames, *shape)), 8, axis=0)

    local = np.zeros((frames, 22, 3))
    for joint in (0, 1, 2, 16, 17):
        local[:, joint] = noise(3) * (5 if joint in (1, 2) else 9)
    for joint, axis, sign in ((18, 1, -1), (19, 1, 1), (4, 0, 1), (5, 0, 1)):
        local[:, joint, axis] = sign * np.clip(6 * np.abs(noise()), 0, 2.4)
    return pose(local, 3 * noise(3))


@pytest.mark.parametrize("name", ALL)
def test_round_trip_is_exact_and_never_flips(name: str) -> None:
    joints = ALL[name](80)
    rotations = joint_rotations(joints)
    assert rotations.shape == (80, 22, 4)
    np.testing.assert_allclose(np.linalg.norm(rotations, axis=-1), 1, atol=1e-9)
    np.testing.assert_allclose(forward_kinematics(rotations, joints[:, 0]), joints, atol=1e-9)
    assert degrees(rotations).max() < 12
    assert ((rotations[1:] * rotations[:-1]).sum(-1) > 0).all()  # signs do not jump, so that files can interpolate


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("noise", [0.0, 0.002])
def test_wild_motion_with_noise_never_flips(seed: int, noise: float) -> None:
    joints = wild(seed)
    joints += np.random.default_rng(9).normal(scale=noise, size=joints.shape)
    assert degrees(joint_rotations(joints)).max() < 60


def test_rotations_are_the_ones_that_were_put_in() -> None:
    local = swing(40)
    local[:, 0, 1] = np.pi  # backwards
    joints = pose(local, np.zeros((40, 3)))
    matrices = quat_to_matrix(joint_rotations(joints))
    from scipy.spatial.transform import Rotation

    true = Rotation.from_rotvec(local.reshape(-1, 3)).as_matrix().reshape(40, 22, 3, 3)
    for joint in (0, 1, 4, 5, 16, 18, 19):
        off = Rotation.from_matrix(matrices[:, joint].transpose(0, 2, 1) @ true[:, joint]).magnitude()
        assert np.degrees(off).max() < 12, JOINTS[joint]


def test_straight_limbs_backwards_and_single_frames() -> None:
    rest = pose(np.zeros((1, 22, 3)), np.zeros((1, 3)))
    assert (joint_rotations(rest)[0, :, 0] > np.cos(np.radians(10 / 2))).all()  # the toes turn the thighs a little
    np.testing.assert_allclose(joint_rotations(rest)[0, 0], [1, 0, 0, 0], atol=1e-6)
    turned = rest * [-1, 1, -1]  # the rest pose facing exactly -Z
    np.testing.assert_allclose(np.abs(joint_rotations(turned)[0, 0]), [0, 0, 1, 0], atol=1e-6)
    assert np.isfinite(joint_rotations(np.zeros((3, 22, 3)))).all()


def test_another_skeleton_keeps_directions() -> None:
    joints = with_bone_lengths(walk(10), bone_lengths(REST_OFFSETS_JOINTS) * 1.3)
    rotations = joint_rotations(joints)
    bones = joints[:, 1:] - joints[:, list(PARENTS[1:])]
    ours = forward_kinematics(rotations, joints[:, 0])
    mine = ours[:, 1:] - ours[:, list(PARENTS[1:])]
    cosine = (bones * mine).sum(-1) / np.linalg.norm(bones, axis=-1) / np.linalg.norm(mine, axis=-1)
    np.testing.assert_allclose(cosine, 1, atol=1e-9)


REST_OFFSETS_JOINTS = pose(np.zeros((1, 22, 3)), np.zeros((1, 3)))[0]


def test_rest_offsets_are_found_in_a_recording() -> None:
    odd = REST_OFFSETS * np.linspace(0.8, 1.3, 22)[:, None]
    odd[[1, 13]] += 0.02  # a crooked pelvis and chest
    joints = forward_kinematics(joint_rotations(wild(5)), np.zeros((120, 3)), odd)
    found = rest_offsets(joints)
    np.testing.assert_allclose(
        forward_kinematics(joint_rotations(joints, found), joints[:, 0], found), joints, atol=1e-6
    )


def test_real_motion_on_its_own_skeleton(shared: Path) -> None:
    joints = np.load(shared / "data/humanml3d/HumanML3D_new_joints_012314.npy").reshape(-1, 22, 3).astype(np.float64)
    offsets = rest_offsets(joints)
    rotations = joint_rotations(joints, offsets)
    assert np.abs(forward_kinematics(rotations, joints[:, 0], offsets) - joints).max() < 1e-4
    assert degrees(rotations).max() < 80  # its forearm itself turns by 66 degrees in one frame
    ours = forward_kinematics(joint_rotations(joints), joints[:, 0])
    assert np.linalg.norm(ours - joints, axis=-1).mean() < 0.0075


def test_quick() -> None:
    joints = wild(0, 196)
    joint_rotations(joints)
    start = time.process_time()
    joint_rotations(joints)
    assert time.process_time() - start < 0.2


def test_matrices_and_quaternions_agree() -> None:
    q = joint_rotations(wild(1))[::7]
    np.testing.assert_allclose(np.abs((quat_from_matrix(quat_to_matrix(q)) * q).sum(-1)), 1, atol=1e-9)


def shuffling(drift: float, frames: int = 80) -> np.ndarray:
    """Standing, then a step forward, then standing: with the whole body drifting on, as poor motions do."""
    local = np.zeros((frames, 22, 3))
    local[:, [1, 2], 0], local[:, [4, 5], 0] = -0.35, 0.7
    lift = np.clip(np.sin(np.linspace(-np.pi, 2 * np.pi, frames)), 0, None)[:, None]
    local[:, 1, 0] -= 0.8 * lift[:, 0]
    local[:, 4, 0] += 1.0 * lift[:, 0]
    root = np.zeros((frames, 3))
    root[:, 2] = np.arange(frames) * drift / 20
    joints = pose(local, root)
    return joints - [0, joints[..., 1].min(), 0]


def test_locked_feet_slide_less_and_keep_their_legs() -> None:
    joints = shuffling(0.15)
    locked = lock_feet(joints)
    assert foot_slide(joints) > 0.05
    assert foot_slide(locked) < 0.25 * foot_slide(joints)
    np.testing.assert_allclose(bone_lengths(locked), bone_lengths(joints), atol=1e-6)
    above = [j for j in range(22) if j not in (4, 5, 7, 8, 10, 11)]
    assert (locked[:, above] == joints[:, above]).all()
    jerk = np.abs(np.diff(locked, 2, axis=0)).max() - np.abs(np.diff(joints, 2, axis=0)).max()
    assert jerk < 0.02  # the release is smooth: hardly any new acceleration, metres per frame squared


def test_feet_that_do_not_slide_are_left_alone() -> None:
    still = shuffling(0.0)
    assert np.abs(lock_feet(still) - still)[:, [5, 8, 11]].max() < 1e-6  # the foot that stands
    assert np.abs(lock_feet(still) - still).max() < 0.06  # the one that steps lifts off and lands slowly
    assert lock_feet(still[:2]).shape == (2, 22, 3)
    assert foot_slide(still[:1]) == 0
