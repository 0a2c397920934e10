"""The way onto our skeleton, up axes, units, and what a reader doubts."""

import numpy as np
import pytest

from scamo.io.retarget import retarget
from scamo.io.upright import find_faults, find_unit, find_up, turned_up, without_rest_frame
from scamo.motion import canonical_joints
from scamo.skeleton import BONE_LENGTHS, JOINTS, bone_lengths

from .motions import cartwheel, lying, pose, turning, walk

AXES = {
    "y": lambda p: p,
    "z": lambda p: p[..., [0, 2, 1]] * [1, -1, 1],
    "x": lambda p: p[..., [1, 0, 2]] * [1, -1, 1],
    "-y": lambda p: p * [-1, -1, 1],
}


def up_of(joints: np.ndarray, usual=None) -> str:
    return find_up(joints, joints[:, 15], joints[:, [7, 8]].mean(1), usual, 0.8)


@pytest.mark.parametrize("up", ["y", "z", "x"])
def test_up_follows_from_head_and_feet(up: str) -> None:
    turned = AXES[up](walk(9))
    for usual in (None, "y", "z", "x"):
        assert up_of(turned, usual) == up
    np.testing.assert_allclose(turned_up(turned, up), walk(9), atol=1e-12)  # type: ignore[arg-type]


def test_who_lies_on_the_floor_is_not_stood_up() -> None:
    assert up_of(lying(40), "y") == "y"
    assert up_of(AXES["z"](lying(40)), "z") == "z"
    assert up_of(cartwheel(40), "y") == "y"
    assert any("lies all the time" in fault for fault in find_faults(lying(40), 20))
    assert find_faults(lying(40), 20, up_is_known=True) == []


def test_upside_down_is_refused_and_a_handstand_is_not() -> None:
    with pytest.raises(ValueError, match=r"upside down; pass up=-y"):
        up_of(AXES["-y"](walk(9)))
    np.testing.assert_allclose(turned_up(AXES["-y"](walk(9)), "-y"), walk(9), atol=1e-12)
    handstand = AXES["-y"](walk(9))
    handstand[..., 1] -= handstand[..., 1].min()
    assert up_of(handstand, "y") == "y"
    assert any("upside down" in fault for fault in find_faults(handstand, 20))


@pytest.mark.parametrize(("leg", "unit"), [(0.83, "m"), (0.4, "m"), (83.0, "cm"), (32.7, "inch"), (830.0, "mm")])
def test_units_follow_from_the_legs(leg: float, unit: str) -> None:
    assert find_unit(leg) == unit


@pytest.mark.parametrize("scale", [1.0, 39.4])
def test_a_motion_of_our_own_skeleton_stays_nearly_the_same(scale: float) -> None:
    for truth in (canonical_joints(turning(40)), canonical_joints(lying(40))):
        found = retarget({joint: scale * truth[:, place] for place, joint in enumerate(JOINTS)})
        np.testing.assert_allclose(bone_lengths(found), np.tile(BONE_LENGTHS, (40, 1)), atol=1e-9)
        assert np.linalg.norm(found - truth, axis=-1).mean() < 0.06
    with pytest.raises(ValueError, match="no length"):
        retarget({joint: np.zeros((2, 3)) for joint in JOINTS})


def test_missing_joints_are_placed_by_the_others() -> None:
    truth = canonical_joints(walk(20))
    at = {joint: truth[:, place] for place, joint in enumerate(JOINTS)}
    whole = retarget(at)
    for missing in (["neck"], ["head"], ["spine2", "spine3"], ["left_collar", "right_collar"],
                    ["left_foot", "right_foot"],
                    ["neck", "head", "spine1", "spine2", "spine3", "left_foot", "left_collar"]):  # fmt: skip
        found = retarget({joint: place for joint, place in at.items() if joint not in missing})
        assert np.linalg.norm(found - whole, axis=-1).mean() < 0.06, missing
        assert ((found[:, 10] - found[:, 7])[:, 2] > 0).mean() > 0.6  # toes point ahead


def test_what_cannot_be_right_is_said() -> None:
    good = walk(40)
    assert find_faults(good, 20) == []
    jump = good.copy()
    jump[20:] += [3.0, 0, 0]
    sunk = good.copy()
    sunk[7, :, 1] -= 1.0
    rubber = good.copy()
    rubber[20:, 4] = rubber[20:, 1] + 2 * (rubber[20:, 4] - rubber[20:, 1])
    for broken, words in ((jump, "jumps by 3.0 m at frame 20"), (sunk, "over its lowest point"),
                          (rubber, "change their"), (good * [-1, 1, 1], "backwards")):  # fmt: skip
        assert [fault for fault in find_faults(broken, 20) if words in fault], words


def test_a_rest_pose_before_the_motion_is_left_out() -> None:
    rest = pose(np.zeros((1, 22, 3)), np.zeros((1, 3)))
    rest[..., 1] -= rest[..., 1].min()
    moving, notes = without_rest_frame(np.concatenate([rest, walk(30)]))
    np.testing.assert_array_equal(moving, walk(30))
    assert notes == ["the first frame is the rig's rest pose and is left out"]
    for kept in (walk(30), np.repeat(rest, 9, axis=0), np.concatenate([rest, rest, walk(30)])):
        assert without_rest_frame(kept)[1] == []
