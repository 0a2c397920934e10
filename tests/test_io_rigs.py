"""Rigs: names in many spellings, prefixes of any kind, the shape of a tree without names, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from scamo.io.bvh_read import read_bvh
from scamo.io.read import read_motion
from scamo.io.rigs import NEEDED, find_rig
from scamo.motion import Motion
from scamo.skeleton import JOINTS, PARENTS

from .motions import turning, walk
from .rigs import OURS, RIGS, write_rig

PREFIXES = ("", "mixamorig:", "Actor 1:", "Skeleton_", "Character1_", "ns:other:", "mixamorig9_")


@pytest.mark.parametrize("rig", RIGS)
def test_every_rig_gives_the_same_motion(tmp_path: Path, rig: str) -> None:
    truth = Motion.from_joints(walk(21))
    motion, notes = read_motion(write_rig(tmp_path / "a.bvh", walk(21), rig))
    assert len(motion) == 20 and any("shape" in note for note in notes) == (rig == "unknown")
    error = np.linalg.norm(motion.joints - truth.joints, axis=-1).mean()
    assert error < (0.002 if rig in OURS else 0.03), error
    mixamo, _ = read_motion(write_rig(tmp_path / "b.bvh", walk(21), "mixamo"))
    # Where not all of the trunk is found by name, the skeleton is not seen to be ours.
    limbs = [joint for joint in range(22) if joint not in ((3, 6, 9, 12, 15) if rig in ("unknown", "kinect") else ())]
    if rig not in OURS:
        np.testing.assert_allclose(motion.joints[:, limbs], mixamo.joints[:, limbs], atol=0.02)


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("rig", ["mixamo", "100style", "unreal"])
def test_prefixes_of_any_kind(tmp_path: Path, rig: str, prefix: str) -> None:
    plain, _ = read_motion(write_rig(tmp_path / "a.bvh", walk(9), rig))
    found, _ = read_motion(write_rig(tmp_path / "b.bvh", walk(9), rig, prefix=prefix))
    np.testing.assert_array_equal(found.joints, plain.joints)


def test_a_suffix_of_all_names(tmp_path: Path) -> None:
    path = write_rig(tmp_path / "a.bvh", walk(9), "mixamo")
    plain, _ = read_motion(path)
    text = re.sub(r"((?:ROOT|JOINT) \S+)", r"\1_JNT", path.read_text(encoding="utf-8"))
    path.write_text(text, encoding="utf-8")
    found, notes = read_motion(path)
    np.testing.assert_array_equal(found.joints, plain.joints)
    assert not any("shape" in note for note in notes)


def test_an_unknown_figure_far_from_the_root_of_its_file(tmp_path: Path) -> None:
    """Metres between a reference and the hips are no bone, against which limbs would be small."""
    path = write_rig(tmp_path / "a.bvh", walk(9) + [4.0, 0, -3.0], "unknown")
    plain, _ = read_motion(path)
    text = path.read_text(encoding="utf-8").replace("ROOT", "ROOT Origin\n{\nOFFSET 0 0 0\nCHANNELS 0\nJOINT")
    path.write_text(text.replace("MOTION", "}\nMOTION"), encoding="utf-8")
    np.testing.assert_allclose(read_motion(path).motion.joints, plain.joints, atol=1e-6)


def test_bent_knees_tell_left_from_right_where_feet_have_no_toes(tmp_path: Path) -> None:
    path = write_rig(tmp_path / "a.bvh", walk(21), "unknown")
    found = read_bvh(path)
    toes = [found.names.index(RIGS["unknown"][f"{side}_foot"]) for side in ("left", "right")]
    kept = [joint for joint in range(len(found.names)) if joint not in toes]
    parents = [kept.index(found.parents[joint]) if found.parents[joint] >= 0 else -1 for joint in kept]
    rig = find_rig([found.names[joint] for joint in kept], parents, found.positions[:, kept])
    assert {joint: kept[rig.at[joint]] for joint in NEEDED} == {
        joint: found.names.index(RIGS["unknown"][joint]) for joint in NEEDED
    }


def test_left_and_right_of_unnamed_joints_follow_the_feet(tmp_path: Path) -> None:
    for turned in (walk(9), turning(40)):
        path = write_rig(tmp_path / "a.bvh", turned, "unknown")
        found = read_bvh(path)
        rig = find_rig(found.names, found.parents, found.positions)
        truth = {joint: found.names.index(RIGS["unknown"][joint]) for joint in JOINTS}
        assert {joint: rig.at[joint] for joint in NEEDED} == {joint: truth[joint] for joint in NEEDED}


def test_one_unknown_name_among_known_ones_is_found_by_the_tree(tmp_path: Path) -> None:
    path = write_rig(tmp_path / "a.bvh", walk(9), "mixamo")
    plain, _ = read_motion(path)
    path.write_text(path.read_text(encoding="utf-8").replace("JOINT LeftLeg\n", "JOINT Bob\n"), encoding="utf-8")
    np.testing.assert_array_equal(read_motion(path).motion.joints, plain.joints)


def test_a_map_names_what_cannot_be_found() -> None:
    names = ["Bob" if joint == "left_knee" else joint for joint in JOINTS]
    flat, places = [-1] + [0] * 21, walk(3)
    with pytest.raises(ValueError, match=r"pelvis, left_hip.*what it calls left_knee"):
        find_rig(names, flat, places)
    assert find_rig(names, flat, places, {"left_knee": "bob"}).at["left_knee"] == 4
    assert find_rig(names, flat, places, {"left_knee": "bob", "spine": "spine2"}).at["spine2"] == 6
    for wrong, words in (({"tail": "bob"}, "names .tail."), ({"left_knee": "bobby"}, "no such joint")):
        with pytest.raises(ValueError, match=words):
            find_rig(names, flat, places, wrong)
    with pytest.raises(ValueError, match="no known rig"):
        find_rig(["a", "b"], [-1, 0], np.zeros((2, 2, 3)))
    with pytest.raises(ValueError, match="no known rig") as refusal:  # one short line, whatever a file calls its joints
        find_rig([f"a joint\nof number {number}" for number in range(90)], [-1] * 90, np.zeros((2, 90, 3)))
    assert "\n" not in str(refusal.value) and len(str(refusal.value)) < 900


def test_of_two_figures_the_first_is_read(tmp_path: Path) -> None:
    names = [f"{who}:{joint}" for who in ("a", "b") for joint in RIGS["mixamo"].values()]
    ours = list(RIGS["mixamo"])
    above = [PARENTS[JOINTS.index(joint)] for joint in ours]
    parents = [-1 if parent < 0 else ours.index(JOINTS[parent]) for parent in above]
    both = parents + [-1 if parent < 0 else parent + 22 for parent in parents]
    rig = find_rig(names, both, np.zeros((2, 44, 3)))
    assert max(rig.at.values()) < 22 and any("2 figures" in note for note in rig.notes)
