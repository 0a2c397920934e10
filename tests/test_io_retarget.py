"""Rigs and the way onto our skeleton: names in many spellings, up axes, and what is refused."""

import numpy as np
import pytest

from scamo.io.retarget import NEEDED, RIGS, find_rig, find_up, retarget, turned_up
from scamo.motion import canonical_joints
from scamo.skeleton import BONE_LENGTHS, JOINTS, bone_lengths

from .motions import lying, turning, walk


@pytest.mark.parametrize("rig", RIGS, ids=lambda rig: rig.name)
def test_every_rig_is_found_by_its_names(rig) -> None:
    names = [f"Actor1:{name.title()}" for name in rig.joints.values()]
    found, at = find_rig(["Root", *names])
    assert found is rig
    assert [names[place - 1] for place in at.values()] == names
    assert set(NEEDED) <= set(rig.joints) <= set(JOINTS)
    for ours, theirs in rig.joints.items():
        other = {"left": "right", "right": "left"}.get(ours.split("_")[0])
        if other and rig.name != "smpl":
            assert rig.joints[f"{other}_{ours.split('_')[1]}"] == theirs.replace(ours.split("_")[0], other)


def test_a_map_of_names_may_leave_out_ours_and_use_older_ones() -> None:
    names = ["Bob" if joint == "spine2" else joint for joint in JOINTS]
    assert find_rig(names, {"spine": "bob"})[1]["spine2"] == JOINTS.index("spine2")
    with pytest.raises(ValueError, match=r"pelvis, left_hip.*what it calls spine2\."):
        find_rig(names, {"left_hip": "left_hip"})
    with pytest.raises(ValueError, match="no known rig"):
        find_rig(["a", "b"])


def test_up_follows_from_head_and_feet() -> None:
    at = {joint: place for place, joint in enumerate(JOINTS)}
    for up, axes, signs in (("y", [0, 1, 2], 1), ("z", [0, 2, 1], [1, -1, 1]), ("x", [1, 0, 2], [1, -1, 1])):
        turned = walk(9)[..., axes] * signs
        assert find_up(turned, at) == up
        np.testing.assert_allclose(turned_up(turned, up), walk(9))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="below the feet"):
        find_up(walk(9) * [1, -1, 1], at)


@pytest.mark.parametrize("scale", [1.0, 39.4])
def test_a_motion_of_our_own_skeleton_stays_nearly_the_same(scale: float) -> None:
    for truth in (canonical_joints(turning(40)), canonical_joints(lying(40))):
        found = retarget({joint: scale * truth[:, place] for place, joint in enumerate(JOINTS)})
        np.testing.assert_allclose(bone_lengths(found), np.tile(BONE_LENGTHS, (40, 1)), atol=1e-9)
        assert np.linalg.norm(found - truth, axis=-1).mean() < 0.06
    with pytest.raises(ValueError, match="no length"):
        retarget({joint: np.zeros((2, 3)) for joint in JOINTS})
