"""Readers of other actions: ASF/AMC, GLB, DeepMimic; cutting clips. All files are written here."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest

from scamo import skeleton
from scamo.io.retarget import retarget
from scamo.skeleton import forward_kinematics
from training.data.readers.actions import Cut, cycle, find_take, make_clip, read_cuts, travelling
from training.data.readers.asf import read_amc
from training.data.readers.deepmimic import JOINTS, WIDTH, read_deepmimic
from training.data.readers.glb import read_glb
from training.data.readers.takes import MIMIC, Collection, joints_of
from training.data.sentences import free_phrases, plain_phrases

ASF = """# made up
:version 1.10
:units
  mass 1.0
  length 0.45
  angle deg
:root
  order TX TY TZ RX RY RZ
  axis XYZ
  position 0 0 0
  orientation 0 0 0
:bonedata
  begin
    id 1
    name thigh
    direction 0 -1 0
    length 2
    axis 0 0 0 XYZ
    dof rx
    limits (-90 90)
  end
  begin
    id 2
    name shin
    direction 0 -1 0
    length 3
    axis 0 0 0 XYZ
  end
:hierarchy
  begin
    root thigh
    thigh shin
  end
"""


def test_a_bone_of_an_asf_file_is_a_joint_where_it_starts(tmp_path: Path) -> None:
    (tmp_path / "legs.asf").write_text(ASF)
    (tmp_path / "legs.amc").write_text(
        "#!OML\n:FULLY-SPECIFIED\n:DEGREES\n1\nroot 1 10 0 0 0 0\nthigh 0\n2\nroot 1 10 0 0 90 0\nthigh 90\n"
    )
    motion = read_amc(tmp_path / "legs.amc", tmp_path / "legs.asf")
    assert motion.names == ("root", "thigh", "shin")
    np.testing.assert_allclose(motion.positions[0], [[1, 10, 0], [1, 10, 0], [1, 8, 0]], atol=1e-9)
    # A quarter turn about X takes the thigh from down to backward; the root's about Y takes that to the side.
    np.testing.assert_allclose(motion.positions[1, 2], [-1, 10, 0], atol=1e-9)
    assert motion.fps == 120


def test_broken_asf_and_amc_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "legs.asf").write_text(ASF)
    (tmp_path / "cut.amc").write_text("1\nroot 1 10 0 0 0 0\n")
    with pytest.raises(ValueError, match=r"cut\.amc.*thigh"):
        read_amc(tmp_path / "cut.amc", tmp_path / "legs.asf")
    (tmp_path / "no.asf").write_text("nothing")
    with pytest.raises(ValueError, match=r"no\.asf"):
        read_amc(tmp_path / "cut.amc", tmp_path / "no.asf")


def _write_glb(path: Path) -> None:
    """Two joints, the second 1 m above the first, which turns by a quarter about Z within a second."""
    times = np.array([0, 1], dtype="<f4")
    turns = np.array([[0, 0, 0, 1], [0, 0, np.sqrt(0.5), np.sqrt(0.5)]], dtype="<f4")
    binary = times.tobytes() + turns.tobytes()
    tree = {
        "asset": {"version": "2.0"},
        "nodes": [
            {"name": "hip", "children": [1], "translation": [0, 2, 0]},
            {"name": "head", "translation": [0, 1, 0]},
        ],
        "skins": [{"joints": [0, 1]}],
        "bufferViews": [
            {"buffer": 0, "byteOffset": 0, "byteLength": 8},
            {"buffer": 0, "byteOffset": 8, "byteLength": 32},
        ],
        "accessors": [
            {"bufferView": 0, "componentType": 5126, "count": 2, "type": "SCALAR"},
            {"bufferView": 1, "componentType": 5126, "count": 2, "type": "VEC4"},
        ],
        "animations": [
            {
                "name": "Tilt",
                "channels": [{"sampler": 0, "target": {"node": 0, "path": "rotation"}}],
                "samplers": [{"input": 0, "output": 1}],
            }
        ],
        "buffers": [{"byteLength": len(binary)}],
    }
    text = json.dumps(tree).encode()
    text += b" " * (-len(text) % 4)
    body = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(binary), b"BIN\0") + binary
    path.write_bytes(struct.pack("<4sII", b"glTF", 2, 12 + len(body)) + body)


def test_a_glb_animation_is_sampled_in_the_world(tmp_path: Path) -> None:
    _write_glb(tmp_path / "tilt.glb")
    motion = read_glb(tmp_path / "tilt.glb", fps=10)["Tilt"]
    assert motion.names == ("hip", "head")
    assert motion.parents == (-1, 0)
    assert len(motion.positions) == 11
    np.testing.assert_allclose(motion.positions[0, 1], [0, 3, 0], atol=1e-6)
    np.testing.assert_allclose(motion.positions[-1, 1], [-1, 2, 0], atol=1e-6)
    (tmp_path / "cut.glb").write_bytes((tmp_path / "tilt.glb").read_bytes()[:40])
    with pytest.raises(ValueError, match=r"cut\.glb"):
        read_glb(tmp_path / "cut.glb")


def test_deepmimic_stands_upright_and_becomes_our_skeleton(tmp_path: Path) -> None:
    frame = [1 / 30, 0.0, 0.9, 0.0]
    for *_, count in JOINTS:
        frame += [1.0, 0.0, 0.0, 0.0] if count == 4 else [0.0] * count
    assert len(frame) == WIDTH
    path = tmp_path / "humanoid3d_stand.txt"
    path.write_text(json.dumps({"Loop": "wrap", "Frames": [frame] * 30}))
    motion = read_deepmimic(path)
    assert motion.fps == pytest.approx(30)
    joints = joints_of(motion, Collection("deepmimic", MIMIC))
    assert joints.shape[1:] == (22, 3)
    assert 1.4 < joints[0, 15, 1] < 1.8
    assert joints[..., 1].min() == pytest.approx(0, abs=1e-6)
    path.write_text(json.dumps({"Frames": [[0.1, 2.0]]}))
    with pytest.raises(ValueError, match="humanoid3d_stand"):
        read_deepmimic(path)


def _swinging(frames: int) -> np.ndarray:
    local = np.zeros((frames, 22, 4))
    local[..., 0] = 1
    angle = 0.4 * np.sin(2 * np.pi * np.arange(frames) / (frames - 1))
    for hip, sign in ((1, 1), (2, -1)):
        local[:, hip, 0], local[:, hip, 1] = np.cos(sign * angle / 2), np.sin(sign * angle / 2)
    joints = forward_kinematics(local, np.zeros((frames, 3)))
    joints[..., 1] -= joints[..., 1].min()
    return joints


def test_a_cycle_is_repeated_and_gets_along() -> None:
    joints = _swinging(21)
    thrice = cycle(joints, 3)
    assert len(thrice) > 2.5 * 20
    assert np.abs(np.diff(thrice, axis=0)).max() < 2 * np.abs(np.diff(joints, axis=0)).max()
    moved = travelling(joints, speed=2.0)
    assert moved[-1, 0, 2] - moved[0, 0, 2] == pytest.approx(2.0, abs=0.05)


def test_the_table_of_clips_names_actions_that_have_words() -> None:
    cuts = read_cuts()
    assert len(cuts) > 400
    assert {cut.action for cut in cuts} <= {*free_phrases(), *plain_phrases()}
    assert all(cut.end is None or 0.5 < cut.end - cut.start <= 10 for cut in cuts)


def test_a_line_that_is_no_clip_is_named(tmp_path: Path) -> None:
    (tmp_path / "clips.txt").write_text("@ here\nA take 0 - jump loop=2 lead=Other take\nbroken\n")
    with pytest.raises(ValueError, match="line 3"):
        read_cuts(tmp_path / "clips.txt")
    (tmp_path / "clips.txt").write_text("@ here\nA take 0 - jump loop=2 lead=Other take\n")
    assert read_cuts(tmp_path / "clips.txt") == [
        Cut("here", "A take", 0.0, None, "jump", {"loop": "2", "lead": "Other take"})
    ]


def test_clips_are_cut_and_played_backwards() -> None:
    takes = {"here/A take": _swinging(41)}
    forward = make_clip(Cut("here", "A take", 0.5, 1.5, "walk"), takes)
    backward = make_clip(Cut("here", "A take", 0.5, 1.5, "walk", {"reverse": ""}), takes)
    assert len(forward) == 21
    np.testing.assert_allclose(forward[::-1, :, 1], backward[..., 1], atol=1e-9)
    with pytest.raises(ValueError, match="no take 'B'"):
        find_take(takes, "here", "B")


def test_a_neck_in_the_place_of_the_chest_leaves_no_bone_without_length() -> None:
    ours = _swinging(21)
    at = {name: ours[:, number] for number, name in enumerate(skeleton.JOINTS)}
    joints = retarget(at | {"neck": at["spine3"]})
    np.testing.assert_allclose(
        skeleton.bone_lengths(joints)[:, 1:], np.tile(skeleton.BONE_LENGTHS[1:], (21, 1)), atol=1e-6
    )
    assert joints[0, 13, 1] > joints[0, 9, 1] + 0.05  # collars stand above the chest, not beside it
