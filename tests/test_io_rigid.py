"""Rigid bones: the closest motion of a skeleton that only bends, quickly, and as smooth as the recording."""

import time

import numpy as np
import pytest

import scamo
from scamo.io.rigid import fit_rigid, rigid_joints
from scamo.skeleton import JOINTS, PARENTS, bone_lengths, forward_kinematics, rest_offsets

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
    assert errors[:, ENDS].mean() < 0.5 * np.linalg.norm(turned_only - joints, axis=-1)[:, ENDS].mean()


def test_it_is_the_closest_one() -> None:
    """Against scipy's own solver, which knows nothing of bones: the weighted error of one frame is as small."""
    from scipy.optimize import minimize

    joints = stretchy(3)
    offsets = rest_offsets(joints)
    weights = np.ones(22)
    weights[ENDS] = 3.0
    ours = rigid_joints(joints, offsets)[1]
    fixed = [1, 2, 3, 12, 13, 14]
    arms = ours[fixed] - ours[[PARENTS[joint] for joint in fixed]]
    free = [joint for joint in range(22) if joint not in fixed]

    def pose(values: np.ndarray) -> np.ndarray:
        full = np.zeros((22, 3))
        full[free] = values.reshape(-1, 3)
        full[fixed] = full[[PARENTS[joint] for joint in fixed]] + arms
        return full

    def error(values: np.ndarray) -> float:
        return 1e4 * float((weights[:, None] * (pose(values) - joints[1]) ** 2).sum())

    bones = [joint for joint in free if joint]
    lengths = np.linalg.norm(offsets, axis=-1)
    constraint = {"type": "eq", "fun": lambda values: (bone_lengths(pose(values)) - lengths)[bones]}
    found = minimize(error, joints[1][free].reshape(-1), constraints=constraint, method="SLSQP",
                     options={"maxiter": 300, "ftol": 1e-9})  # fmt: skip
    assert found.success
    assert error(ours[free].reshape(-1)) <= found.fun * 1.01 + 1e-6


def test_generations_move_by_less_than_5_mm() -> None:
    if not any((card.codebook, card.size) == (1024, "4M") for card in scamo.models()):
        pytest.skip("no bundled models")
    pipeline = scamo.load(codebook=1024, size="4M")
    means = []
    for seed, prompt in enumerate(PROMPTS):
        joints = np.asarray(pipeline.generate(prompt, seed=seed).motion.joints, dtype=np.float64)
        ours = fitted(joints)
        means.append(np.linalg.norm(ours - joints, axis=-1).mean())
        was, now = (np.abs(np.diff(some, 2, axis=0)).mean() for some in (joints, ours))
        assert now < 1.1 * was, "as smooth as it was"
    assert np.mean(means) < 0.005


def test_it_is_quick_and_takes_any_length() -> None:
    start = time.process_time()
    fit_rigid(np.tile(stretchy(40), (5, 1, 1)))
    assert time.process_time() - start < 0.5
    assert np.isfinite(fitted(walk(1))).all()


def test_a_collapsed_limb_gets_its_length_back() -> None:
    joints = MOTIONS["stretchy"](20)
    joints[5, 20] = joints[5, 18]  # the wrist in the elbow
    ours = fitted(joints)
    assert np.isfinite(ours).all()
    assert bone_lengths(ours)[5, 20] == pytest.approx(bone_lengths(ours)[0, 20], abs=1e-9)
