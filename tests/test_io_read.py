"""The reader: every format that it knows, and what it refuses."""

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scamo.io.bvh import write_bvh
from scamo.io.read import load_joints, load_motion
from scamo.io.write import export
from scamo.motion import Motion, canonical_joints
from scamo.skeleton import BONE_LENGTHS, bone_lengths

from .motions import ALL, turning, walk
from .rigs import write_bvh as write_rig


@pytest.mark.parametrize("name", ALL)
def test_a_motion_survives_npy_npz_and_bvh(tmp_path: Path, name: str) -> None:
    motion = Motion.from_joints(ALL[name](40))
    features, joints, npz, bvh = export(motion, "npy,npz,bvh", tmp_path, "a")
    np.testing.assert_array_equal(load_motion(features).features, motion.features)
    for path in (joints, bvh, npz):
        back = load_motion(path)
        assert back.fps == 20
        wanted = canonical_joints(motion.joints)[: len(back)]
        assert np.abs(back.joints - wanted).max() < 2e-3, path.suffix


def test_other_rigs_by_name(tmp_path: Path) -> None:
    text = write_bvh(walk(10), tmp_path / "a.bvh", unit="cm").read_text(encoding="utf-8")
    mixamo = {
        "pelvis": "Hips",
        "spine1": "Spine",
        "spine2": "Spine1",
        "spine3": "Spine2",
        "neck": "Neck",
        "head": "Head",
    }
    parts = {"hip": "UpLeg", "knee": "Leg", "ankle": "Foot", "foot": "ToeBase", "collar": "Shoulder", "shoulder": "Arm",
             "elbow": "ForeArm", "wrist": "Hand"}  # fmt: skip
    mixamo |= {f"{side.lower()}_{ours}": side + theirs for side in ("Left", "Right") for ours, theirs in parts.items()}
    for ours, theirs in sorted(mixamo.items(), key=lambda pair: -len(pair[0])):
        text = text.replace(f"JOINT {ours}\n", f"JOINT mixamorig:{theirs}\n").replace(
            f"ROOT {ours}\n", f"ROOT mixamorig:{theirs}\n"
        )
    (tmp_path / "m.bvh").write_text(text, encoding="utf-8")
    np.testing.assert_allclose(load_joints(tmp_path / "m.bvh")[0], walk(10), atol=1e-3)
    (tmp_path / "odd.bvh").write_text(text.replace("mixamorig:LeftLeg", "Bob"), encoding="utf-8")
    with pytest.raises(ValueError, match="joints="):
        load_joints(tmp_path / "odd.bvh")
    np.testing.assert_allclose(
        load_joints(tmp_path / "odd.bvh", joints={**mixamo, "left_knee": "Bob"})[0], walk(10), atol=1e-3
    )


@pytest.mark.parametrize("shape", [(7, 22, 3), (7, 66), (7, 24, 3)])
def test_joints_come_in_several_shapes(tmp_path: Path, shape: tuple[int, ...]) -> None:
    joints = np.zeros((7, 24, 3))
    joints[:, :22] = walk(7)
    np.save(tmp_path / "a.npy", joints.reshape(7, -1)[:, : int(np.prod(shape[1:]))].reshape(shape))
    np.testing.assert_allclose(load_joints(tmp_path / "a.npy")[0], walk(7), atol=1e-6)


@pytest.mark.parametrize(
    ("name", "content", "word"),
    [
        ("a.npy", b"nonsense", "cannot be read"),
        ("a.npz", b"nonsense", "cannot be read"),
        ("a.npz", struct.pack("<4s", b"PK\x03\x04"), "cannot be read"),
        ("a.bvh", b"HIERARCHY\nROOT a\n{\n", "MOTION"),
        ("a.bvh", b"\xff\xfe", "cannot be read"),
        ("a.fbx", b"", r"\.bvh"),
    ],
)
def test_files_that_cannot_be_read(tmp_path: Path, name: str, content: bytes, word: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=word):
        load_motion(tmp_path / name)


@pytest.mark.parametrize("array", [np.zeros(5, dtype=int), np.zeros((5, 4)), np.zeros((5, 22, 3), dtype=complex)])
def test_arrays_that_are_no_motion(tmp_path: Path, array: np.ndarray) -> None:
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(ValueError, match="a motion is features"):
        load_motion(tmp_path / "a.npy")


def test_other_things_that_are_no_motion(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no file"):
        load_motion(tmp_path / "none.npy")
    np.save(tmp_path / "o.npy", np.array([{}], dtype=object))
    with pytest.raises(ValueError, match="cannot be read"):
        load_motion(tmp_path / "o.npy")
    np.savez(tmp_path / "x.npz", other=np.zeros(3))
    with pytest.raises(ValueError, match="holds other"):
        load_motion(tmp_path / "x.npz")
    np.save(tmp_path / "nan.npy", np.full((4, 263), np.nan))
    with pytest.raises(ValueError, match="NaN"):
        load_motion(tmp_path / "nan.npy")
    np.save(tmp_path / "short.npy", walk(1))
    with pytest.raises(ValueError, match=r"short\.npy.*too short"):
        load_motion(tmp_path / "short.npy")


@pytest.mark.parametrize(
    ("rig", "up", "unit", "prefix"),
    [("lafan1", "y", 100, ""), ("mixamo", "y", 1, "mixamorig:"), ("100style", "z", 100, ""), ("cmu", "x", 17.7, "")],
)
def test_rigs_without_all_joints_of_the_trunk(tmp_path: Path, rig: str, up: Any, unit: float, prefix: str) -> None:
    truth = canonical_joints(turning(61))
    turned = {"y": truth, "z": truth[..., [0, 2, 1]] * [1, -1, 1], "x": truth[..., [1, 0, 2]] * [1, -1, 1]}[up]
    path = write_rig(tmp_path / "turn.bvh", turned * unit + [3.0, 5.0, -7.0], rig, 20.0, prefix)
    motion = load_motion(path)
    assert len(motion) == 60
    np.testing.assert_allclose(bone_lengths(motion.joints).mean(0), BONE_LENGTHS, atol=1e-4)
    assert np.linalg.norm(motion.joints - truth[:60], axis=-1).mean() < 0.08
    np.testing.assert_allclose(load_motion(path, up=up).joints, motion.joints, atol=1e-6)
    joints, fps = load_joints(path, fps=40)
    assert (joints.shape, fps) == ((61, 22, 3), 40)


def test_a_whole_rig_is_taken_as_it_is_or_gets_our_trunk(tmp_path: Path) -> None:
    text = write_bvh(walk(10), tmp_path / "a.bvh").read_text(encoding="utf-8")
    (tmp_path / "b.bvh").write_text(
        text.replace("pelvis", "Hips_of_mine").replace("spine1", "Lowest"), encoding="utf-8"
    )
    names = {"pelvis": "Hips_of_mine", "spine1": "Lowest"}
    as_it_is, _ = load_joints(tmp_path / "b.bvh", joints=names)
    np.testing.assert_allclose(as_it_is, walk(10), atol=1e-3)
    for options in ({"joints": names, "trunk": "ours"}, {}):
        retargeted, _ = load_joints(tmp_path / "b.bvh", **options)  # type: ignore[arg-type]
        assert 0.001 < np.linalg.norm(retargeted - walk(10), axis=-1).mean() < 0.1
    # Our own names and SMPL's are our skeleton, whatever the trunk.
    np.testing.assert_array_equal(load_joints(tmp_path / "a.bvh", trunk="ours")[0], load_joints(tmp_path / "a.bvh")[0])


def test_what_the_caller_knows_better(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", walk(9)[..., [0, 2, 1]] * [1, -1, 1] * 100)  # Z up, centimetres
    joints, fps = load_joints(tmp_path / "a.npy", up="z", unit="cm", fps=12.5)
    assert fps == 12.5
    np.testing.assert_allclose(joints, walk(9), atol=1e-9)
    write_bvh(walk(9), tmp_path / "a.bvh", unit="cm")
    np.testing.assert_allclose(load_joints(tmp_path / "a.bvh", unit="cm")[0], walk(9), atol=1e-3)
    np.save(tmp_path / "f.npy", Motion.from_joints(walk(9)).features)
    assert load_motion(tmp_path / "f.npy", fps=12.5).fps == 12.5
    for options, words in (
        ({"unit": "ell"}, "choose from m, cm"),
        ({"up": "w"}, "x, y or z"),
        ({"fps": 0}, "a second"),
    ):
        with pytest.raises(ValueError, match=words):
            load_joints(tmp_path / "a.bvh", **options)  # type: ignore[arg-type]


def test_a_bvh_file_without_frames_is_named(tmp_path: Path) -> None:
    text = write_bvh(walk(1), tmp_path / "a.bvh").read_text(encoding="utf-8")
    (tmp_path / "a.bvh").write_text(text.split("Frames:")[0] + "Frames: 0\nFrame Time: 0.05\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"a\.bvh.*no frames"):
        load_motion(tmp_path / "a.bvh")
