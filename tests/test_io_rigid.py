"""Rigid bones: the closest motion of a skeleton that only bends, quickly, and as smooth as the recording."""

import time

import numpy as np
import pytest

import scamo
from scamo.io.rigid import fit_rigid
from scamo.rotation import quat_multiply
from scamo.skeleton import JOINTS, bone_lengths, forward_kinematics, rest_offsets

from .motions import ALL, MOTIONS, stretchy, walk

ENDS = [JOINTS.index(f"{side}_{end}") for side in ("left", "right") for end in ("ankle", "foot", "wrist")]
PROMPTS = ("a person walks forward", "a person sits down on a chair", "a person throws a ball with the right hand")


def fitted(joints: np.ndarray) -> np.ndarray:
    offsets, rotations, root = fit_rigid(joints)
    return forward_kinematics(rotations, root, offsets)


@pytest.mark.parametrize("name", ALL)
def test_what_is_rigid_stays_where_it_is(name: str) -> None:
    np.testing.assert_allclose(fitted(ALL[name](30)), ALL[name](30), atol=1e-6)


def test_bones_keep_one_length_and_ends_keep_their_place() -> None:
    joints = stretchy(60)
    ours = fitted(joints)
    lengths = bone_lengths(ours)
    np.testing.assert_allclose(lengths, np.broadcast_to(lengths[0], lengths.shape), atol=1e-9)
    errors = np.linalg.norm(ours - joints, axis=-1)
    turned_only = forward_kinematics(scamo.skeleton.joint_rotations(joints), joints[:, 0], rest_offsets(joints))
    assert errors.mean() < 0.005
    assert errors[:, ENDS].mean() < 0.2 * np.linalg.norm(turned_only - joints, axis=-1)[:, ENDS].mean()


def test_no_other_pose_is_closer() -> None:
    """Against scipy's own minimiser, which turns and moves the bodies of one frame in any way and starts elsewhere."""
    from scipy.optimize import minimize
    from scipy.spatial.transform import Rotation

    joints = stretchy(3)
    offsets, rotations, root = fit_rigid(joints)
    weights = np.ones(22)
    weights[ENDS] = 3.0

    def errors(values: np.ndarray) -> np.ndarray:
        """Poses [N, 69], each as what moves the pelvis and turns the joints of ours -> [N]."""
        turns = Rotation.from_rotvec(values[:, 3:].reshape(-1, 3)).as_quat()[:, [3, 0, 1, 2]].reshape(-1, 22, 4)
        placed = forward_kinematics(quat_multiply(rotations[1], turns), root[1] + values[:, :3], offsets)
        return (weights * np.sqrt(((placed - joints[1]) ** 2).sum(-1) + 0.003**2)).sum(-1)

    def error_and_slope(values: np.ndarray) -> tuple[float, np.ndarray]:
        found = errors(np.concatenate([values[None], values + 1e-6 * np.eye(69)]))
        return found[0], (found[1:] - found[0]) / 1e-6

    ours = errors(np.zeros((1, 69)))[0]
    for seed in range(1):
        start = np.random.default_rng(seed).normal(0, 0.03, 69)
        found = minimize(error_and_slope, start, jac=True, method="L-BFGS-B", options={"maxiter": 300})
        assert errors(start[None])[0] > 1.2 * ours
        assert ours < found.fun * 1.002


def test_a_bone_that_changes_is_paid_for_by_a_knee() -> None:
    """A leg that shrinks by 3 cm between a still hip and a still foot: the knee gives way, and nearly it alone."""
    joints = walk(40).astype(np.float64)
    short = joints.copy()
    short[10, [4, 7, 10]] += 0.03 * np.array([[0, 0.5, 0], [0, 1, 0], [0, 1, 0]])
    errors = 1e3 * np.linalg.norm(fitted(short) - short, axis=-1)[10]
    assert errors[JOINTS.index("left_knee")] > 10
    assert errors[ENDS].max() < 5


def test_generations_move_by_less_than_5_mm() -> None:
    if not any((card.codebook, card.size) == (1024, "4M") for card in scamo.models()):
        pytest.skip("no bundled models")
    pipeline = scamo.load(codebook=1024, size="4M")
    means, ends = [], []
    for seed, prompt in enumerate(PROMPTS):
        joints = np.asarray(pipeline.generate(prompt, seed=seed).motion.joints, dtype=np.float64)
        ours = fitted(joints)
        means.append(np.linalg.norm(ours - joints, axis=-1).mean())
        ends.append(np.linalg.norm(ours - joints, axis=-1)[:, ENDS].mean())
        was, now = (np.abs(np.diff(some, 2, axis=0)).mean() for some in (joints, ours))
        assert now < 1.1 * was, "as smooth as it was"
    assert np.mean(means) < 0.005
    assert np.mean(ends) < 0.003, "feet and hands stay"


def test_it_is_quick_and_takes_any_length() -> None:
    start = time.process_time()
    fit_rigid(np.tile(stretchy(40), (5, 1, 1)))
    assert time.process_time() - start < 1
    assert np.isfinite(fitted(walk(1))).all()


def test_a_collapsed_limb_gets_its_length_back() -> None:
    joints = MOTIONS["stretchy"](20)
    joints[5, 20] = joints[5, 18]  # the wrist in the elbow
    ours = fitted(joints)
    assert np.isfinite(ours).all()
    assert bone_lengths(ours)[5, 20] == pytest.approx(bone_lengths(ours)[0, 20], abs=1e-9)
