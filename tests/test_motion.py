"""The representation: against its formulas restated, its own symmetries, and the one real pair beside the checkout."""

import copy
import pickle
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.transform import Rotation

from scamo.motion import (
    Motion,
    Statistics,
    canonical_joints,
    features_from_joints,
    first_facing,
    joints_from_features,
    mirror_features,
    mirror_joints,
    resample_joints,
    root_from_features,
)
from scamo.rotation import quat_conjugate, quat_rotate
from scamo.skeleton import BONE_LENGTHS, LEFT, PARENTS, RIGHT, bone_lengths, joints_from_kit

GROUPS = {"yaw": (0, 1), "path": (1, 3), "height": (3, 4), "positions": (4, 67), "rotations": (67, 193),
          "velocities": (193, 259), "contacts": (259, 263)}  # fmt: skip


def walker(frames: int = 60, turn: float = 0.0, seed: int = 0) -> np.ndarray:
    """A made-up figure that goes along and swings its limbs, turning by ``turn`` radians in all. [frames, 22, 3]."""
    draw = np.random.default_rng(seed)
    rest = np.array([
        [0, 0, 0], [.6, -.8, 0], [-.6, -.8, 0], [0, 1, -.1], [0, -1, .1], [0, -1, .1], [0, 1, .1], [0, -1, -.1],
        [0, -1, -.1], [0, 1, 0], [.1, -.5, 1], [-.1, -.5, 1], [0, 1, 0], [.6, .8, 0], [-.6, .8, 0], [0, .8, .5],
        [1, 0, 0], [-1, 0, 0], [.5, -1, 0], [-.5, -1, 0], [.2, -1, .3], [-.2, -1, .3],
    ], dtype=float)  # fmt: skip
    time = np.arange(frames) / 20
    swing = 0.5 * np.sin(2 * np.pi * 1.1 * time[:, None, None] + draw.uniform(0, 6, (1, 22, 3)))
    bones = rest + swing * (np.arange(22) > 0)[None, :, None] * 0.5
    bones /= np.maximum(np.linalg.norm(bones, axis=-1, keepdims=True), 1e-9)
    joints = np.zeros((frames, 22, 3))
    for joint in range(1, 22):
        joints[:, joint] = joints[:, PARENTS[joint]] + bones[:, joint] * BONE_LENGTHS[joint]
    heading = np.linspace(0, turn, frames)
    joints = quat_rotate(
        np.stack([np.cos(heading / 2), 0 * heading, np.sin(heading / 2), 0 * heading], -1)[:, None], joints
    )
    step = 0.05 * np.stack([np.sin(heading), 0 * heading, np.cos(heading)], -1)
    return canonical_joints(joints + (np.cumsum(step, 0) + [0, 0.9, 0])[:, None])


def restated_features(joints: np.ndarray) -> np.ndarray:
    """The page of formulas written down a second time, with scipy's rotations and one frame after the other."""
    across = (joints[:, 1] - joints[:, 2]) + (joints[:, 17] - joints[:, 16])
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    forward = gaussian_filter1d(np.cross([0, 1, 0], across), 20, axis=0, mode="nearest")
    turns = [Rotation.identity()]
    for direction in forward[1:]:
        angle = np.arctan2(direction[0], direction[2])
        turns.append(Rotation.from_rotvec([0, -angle, 0]))
    chains = [[0, 2, 5, 8, 11], [0, 1, 4, 7, 10], [0, 3, 6, 9, 12, 15], [9, 14, 17, 19, 21], [9, 13, 16, 18, 20]]
    raw = {1: "x", 2: "-x", 3: "y", 4: "-y", 5: "-y", 6: "y", 7: "-y", 8: "-y", 9: "y", 10: "z", 11: "z", 12: "y",
           13: "x", 14: "-x", 15: "z"} | dict.fromkeys(range(16, 22), "-y")  # fmt: skip
    axis = {name: np.eye(3)["xyz".index(name[-1])] * (-1 if name[0] == "-" else 1) for name in raw.values()}
    rows = []
    for t in range(len(joints) - 1):
        now, later = turns[t], turns[t + 1]
        relative = (later * now.inv()).as_rotvec()[1]
        root_step = later.apply(joints[t + 1, 0] - joints[t, 0])
        sixd = {}
        for chain in chains:
            so_far = now
            for parent, child in pairwise(chain):
                a, b = axis[raw[child]], joints[t, child] - joints[t, parent]
                b = b / np.linalg.norm(b)
                normal = np.cross(a, b)
                size = np.linalg.norm(normal)
                bone = Rotation.from_rotvec(normal / size * np.arctan2(size, a @ b))
                matrix = (so_far.inv() * bone).as_matrix()
                sixd[child] = np.concatenate([matrix[:, 0], matrix[:, 1]])
                so_far = bone
        local = now.apply(joints[t, 1:] - joints[t, 0] * [1, 0, 1])
        moved = joints[t + 1] - joints[t]
        rows.append(np.concatenate([
            [np.sin(relative / 2) and np.arcsin(np.sin(relative / 2))], root_step[[0, 2]], [joints[t, 0, 1]],
            local.ravel(), np.concatenate([sixd[j] for j in range(1, 22)]), now.apply(moved).ravel(),
            (moved[[7, 10, 8, 11]] ** 2).sum(1) < 0.002,
        ]))  # fmt: skip
    return np.array(rows)


@pytest.mark.parametrize("turn", [0.0, 1.0, -2.5, 5.0])
def test_features_equal_the_formulas_restated(turn: float) -> None:
    joints = walker(turn=turn)
    ours, restated = features_from_joints(joints), restated_features(joints)
    for name, (start, end) in GROUPS.items():
        np.testing.assert_allclose(ours[:, start:end], restated[:, start:end], atol=2e-6, err_msg=name)


@settings(max_examples=15, deadline=None)
@given(st.floats(-7, 7), st.integers(2, 90), st.integers(0, 10))
def test_joints_survive_the_way_there_and_back(turn: float, frames: int, seed: int) -> None:
    joints = walker(frames, turn, seed)
    back = joints_from_features(features_from_joints(joints))
    assert back.shape == (frames - 1, 22, 3)
    assert back.dtype == np.float32
    np.testing.assert_allclose(back, joints[:-1], atol=1e-4)


def test_heading_past_half_a_turn_does_not_flip() -> None:
    features = features_from_joints(walker(120, turn=3 * np.pi))
    assert np.abs(features[2:, 0]).max() < 0.1  # half of 3 pi / 119 a frame is 0.04; a flip would show as about -0.04


@settings(max_examples=10, deadline=None)
@given(st.floats(-4, 4), st.integers(0, 10))
def test_mirrored_features_are_the_features_of_mirrored_joints(turn: float, seed: int) -> None:
    joints = walker(40, turn, seed)
    mirrored = features_from_joints(mirror_joints(joints))
    np.testing.assert_allclose(mirror_features(features_from_joints(joints)), mirrored, atol=1e-5)
    np.testing.assert_array_equal(mirror_joints(mirror_joints(joints)), joints)


def test_canonical_place_and_body() -> None:
    away = quat_rotate(np.array([0.8, 0, 0.6, 0]), walker() * 1.3) + [3, -2, 5]
    joints = canonical_joints(away)
    np.testing.assert_allclose(bone_lengths(joints), np.tile(BONE_LENGTHS, (60, 1)), atol=1e-9)
    assert joints[..., 1].min() == pytest.approx(0, abs=1e-9)
    np.testing.assert_allclose(joints[0, 0, [0, 2]], 0, atol=1e-9)
    np.testing.assert_allclose(first_facing(joints[:1])[0], [0, 0, 1], atol=1e-9)
    np.testing.assert_allclose(joints, walker(), atol=1e-6)  # a larger body with a longer path is the same motion


def test_resampling_meets_a_curve_that_is_known() -> None:
    at = walker(61)  # three seconds at 20 fps
    finer = resample_joints(at, 20, 60)
    assert len(finer) == 181
    np.testing.assert_allclose(resample_joints(finer, 60, 20), at, atol=1e-6)
    assert resample_joints(at, 30).shape[0] == 41


def test_motion_is_checked_and_knows_its_length() -> None:
    motion = Motion.from_joints(walker(81))
    assert len(motion) == 80
    assert motion.seconds == 4.0
    assert motion.joints.shape == (80, 22, 3)
    np.testing.assert_allclose(motion.mirrored().mirrored().features, motion.features)
    for wrong, words in (
        (np.zeros((5, 260)), "260"),
        (np.zeros((0, 263)), "at least one frame"),
        (np.full((5, 263), np.nan), "NaN"),
        (np.zeros(263), "at least one frame"),
    ):
        with pytest.raises(ValueError, match=words):
            Motion(wrong)
    for wrong, words in (
        (np.zeros((5, 21, 3)), "22"),
        (np.zeros((1, 22, 3)), "too short"),
        (walker(5) * np.nan, "finite"),
    ):
        with pytest.raises(ValueError, match=words):
            features_from_joints(wrong)


def test_statistics_share_a_deviation_within_a_group_and_stream() -> None:
    parts = [features_from_joints(walker(50, turn, 3)) for turn in (0.0, 2.0)]
    whole = np.concatenate(parts).astype(np.float64)
    statistics = Statistics.from_features(parts)
    np.testing.assert_allclose(statistics.mean, whole.mean(0), atol=1e-6)
    np.testing.assert_allclose(statistics.std[4:67], whole.std(0)[4:67].mean(), rtol=1e-5)
    np.testing.assert_allclose(statistics.denormalise(statistics.normalise(whole)), whole, atol=1e-5)
    with pytest.raises(ValueError, match="No frames"):
        Statistics.from_features([])


def test_the_real_pair(shared) -> None:
    folder = shared / "data" / "humanml3d"
    joints = np.load(folder / "HumanML3D_new_joints_012314.npy").astype(np.float64)
    published = np.load(folder / "HumanML3D_new_joint_vecs_012314.npy")
    recovered = joints_from_features(published)
    np.testing.assert_allclose(recovered, joints[: len(recovered)], atol=1e-5)
    # The frame that the pair lost is the last one plus its velocities, turned back into the world.
    facing, _ = root_from_features(published)
    step = published[-1, 193:259].reshape(22, 3).astype(np.float64)
    last = recovered[-1] + quat_rotate(quat_conjugate(facing[-1])[None], step)
    ours = features_from_joints(np.concatenate([joints[: len(published)], last[None]]))
    for name, (start, end) in GROUPS.items():
        np.testing.assert_allclose(ours[:, start:end], published[:, start:end], atol=1e-5, err_msg=name)


def test_joints_from_features_equal_the_authors(shared) -> None:
    golden = np.load(shared / "golden" / "ric.npz")
    names = [name.removesuffix("_x") for name in golden.files if name.endswith("_x")]
    assert len(names) == 6
    for name in names:
        for features, joints, root in zip(*(golden[f"{name}_{what}"] for what in ("x", "joints", "rpos")), strict=True):
            np.testing.assert_allclose(joints_from_features(features), joints, atol=1e-4, err_msg=name)
            np.testing.assert_allclose(root_from_features(features)[1], root, atol=1e-4, err_msg=name)


def test_motions_and_statistics_are_equal_by_value_and_hash() -> None:
    features = np.zeros((3, 263), dtype=np.float32)
    features[0, 0] = -0.0  # equals 0.0, so it must hash alike
    one, same = Motion(features), Motion(np.abs(features))
    assert one == same and hash(one) == hash(same) and len({one, same}) == 1
    assert one != Motion(features, fps=12.5) and one != Motion(features[:2]) and one != Motion(features + 1)
    assert one != "a motion"
    mean, std = np.zeros(263, np.float32), np.ones(263, np.float32)
    assert Statistics(mean, std) == Statistics(mean.copy(), std.copy()) != Statistics(std, std)
    assert hash(Statistics(mean, std)) == hash(Statistics(mean.copy(), std.copy()))


def test_a_motion_does_not_change_with_the_callers_array() -> None:
    features = features_from_joints(walker(9))
    motion = Motion(features)
    joints = motion.joints.copy()
    features[:] = 0
    np.testing.assert_array_equal(motion.joints, joints)
    np.testing.assert_array_equal(Motion(motion.features).joints, joints)
    for array in (motion.features, motion.joints):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
    with pytest.raises(ValueError, match="frames a second"):
        Motion(motion.features, fps=0)


def kit_joints(frames: int = 10, unit: float = 1000.0) -> np.ndarray:
    """A figure that stands in KIT-ML's 21 joints, facing +Z."""
    arm, leg = [[0.2, 0.52, 0], [0.22, 0.25, 0], [0.23, 0, 0]], [[0.1, -0.05, 0], [0.1, -0.5, 0], [0.1, -0.9, 0]]
    foot = [[0.1, -0.95, 0.1], [0.1, -0.97, 0.15]]
    left, right = np.array(arm + leg + foot), np.array(arm + leg + foot) * [-1, 1, 1]
    trunk = np.array([[0, 0, 0], [0, 0.05, 0], [0, 0.35, 0], [0, 0.55, 0], [0, 0.65, 0.05]])
    still = np.concatenate([trunk, right[:3], left[:3], right[3:], left[3:]]) + [0, 0.97, 0]
    return np.tile(still * unit, (frames, 1, 1))


@pytest.mark.parametrize("unit", [1.0, 1000.0])
def test_kit_joints_stand_on_our_skeleton(unit: float) -> None:
    joints = joints_from_kit(kit_joints(unit=unit))
    assert joints.shape == (10, 22, 3)
    np.testing.assert_allclose(first_facing(joints), np.tile([0, 0, 1], (10, 1)), atol=1e-9)
    left, right = joints[0, list(LEFT)], joints[0, list(RIGHT)]
    assert (left[:, 0] > 0).all() and (right[:, 0] < 0).all()
    np.testing.assert_allclose(left * [-1, 1, 1], right, atol=1e-9)
    assert (np.diff(joints[0, [0, 3, 6, 9, 12, 15], 1]) > 0).all()  # the back goes up, joint by joint
    lengths = bone_lengths(joints)[0, 1:]
    assert ((lengths > 0.03) & (lengths < 0.6)).all()
    with pytest.raises(ValueError, match="21, 3"):
        joints_from_kit(np.zeros((3, 22, 3)))


def test_copies_of_a_motion_cannot_be_written_to_either() -> None:
    motion = Motion(np.zeros((8, 263), dtype=np.float32))
    assert motion.joints.shape == (8, 22, 3)
    for other in (copy.deepcopy(motion), copy.copy(motion), pickle.loads(pickle.dumps(motion))):
        assert other == motion
        with pytest.raises(ValueError, match="read-only"):
            other.features[:] = 1
