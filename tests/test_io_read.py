"""The reader: every format that it knows, and what it refuses."""

import re
import struct
import time
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scamo.body.smpl import load_body
from scamo.io.bvh import write_bvh
from scamo.io.npy_read import LAYOUTS as FOREIGN
from scamo.io.read import load_joints, load_motion, read_motion
from scamo.io.rigid import rigid_joints
from scamo.io.write import export
from scamo.io.write_options import RIG_NAMES
from scamo.motion import Motion, canonical_joints
from scamo.skeleton import BONE_LENGTHS, JOINTS, bone_lengths, rest_offsets

from .motions import ALL, bundled, turning, walk
from .rigs import write_bvh as write_flat


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


@pytest.mark.parametrize(
    "array",
    [np.zeros(5, dtype=int), np.zeros((5, 4)), np.zeros((5, 22, 3), dtype=complex), np.zeros((5, 263), dtype=bool),
     np.full((5, 263), "1.5")],
)  # fmt: skip
def test_arrays_that_are_no_motion(tmp_path: Path, array: np.ndarray) -> None:
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(ValueError, match="a motion is features"):
        load_motion(tmp_path / "a.npy")


def test_a_refusal_is_one_line_whatever_the_file_holds(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", poses=np.zeros((4, 66)), trans=np.zeros((4, 3)))
    raw = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "a.npz").write_bytes(raw.replace(b"poses.npy", b"po\n\r\0.npy", 1))  # in the header, not in the table
    with pytest.raises(ValueError, match=r"a\.npz.*cannot be read") as caught:
        load_motion(tmp_path / "a.npz")
    assert "\n" not in str(caught.value)


def test_a_path_that_leaves_the_world_is_refused(tmp_path: Path) -> None:
    """Legs shorter than ours lengthen the path when the motion is brought to our skeleton."""
    joints = walk(12).astype(np.float64)
    joints[:, 1:] = joints[:, :1] + (joints[:, 1:] - joints[:, :1]) * 1e-4
    joints[:, :, 0] += np.linspace(0, 9e4, 12)[:, None]
    np.save(tmp_path / "a.npy", joints)
    with pytest.raises(ValueError, match=r"a\.npy.*farther away than any motion"):
        load_motion(tmp_path / "a.npy", unit="m", up="y")


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
    path = write_flat(tmp_path / "turn.bvh", turned * unit + [3.0, 5.0, -7.0], rig, 20.0, prefix)
    motion = load_motion(path)
    assert len(motion) == 60
    np.testing.assert_allclose(bone_lengths(motion.joints).mean(0), BONE_LENGTHS, atol=1e-4)
    assert np.linalg.norm(motion.joints - truth[:60], axis=-1).mean() < 0.08
    np.testing.assert_allclose(load_motion(path, up=up).joints, motion.joints, atol=1e-6)
    joints, fps = load_joints(path, fps=40)
    assert (joints.shape, fps) == ((61, 22, 3), 40)


def test_our_skeleton_is_known_by_its_proportions_and_others_are_retargeted(tmp_path: Path) -> None:
    ours = walk(10)
    theirs = ours.copy()
    theirs[:, 6] += 0.4 * (theirs[:, 3] - theirs[:, 6])  # a long third joint of the spine, as most rigs have
    names = {"pelvis": "Hips_of_mine", "spine1": "Lowest"}
    for joints, is_ours in ((ours, True), (theirs, False)):
        write_bvh(joints, tmp_path / "a.bvh")
        np.testing.assert_allclose(load_joints(tmp_path / "a.bvh")[0], joints, atol=1e-3)  # by our own names
        text = (tmp_path / "a.bvh").read_text(encoding="utf-8")
        text = text.replace("pelvis", "Hips_of_mine").replace("spine1", "Lowest")
        (tmp_path / "b.bvh").write_text(text, encoding="utf-8")
        error = np.linalg.norm(load_joints(tmp_path / "b.bvh", joints=names)[0] - joints, axis=-1).mean()
        assert error < 1e-4 if is_ours else 0.001 < error < 0.1


@pytest.mark.parametrize("rig", RIG_NAMES)
def test_our_own_files_for_every_rig_come_back(tmp_path: Path, rig: str) -> None:
    """Within 1 mm, for generations too: what is rigid in the file is compared with the rigid motion it was made of."""
    for name, joints in (("turning", turning(41)), ("generation", bundled())):
        motion = Motion.from_joints(joints)
        at = [rigid_joints(motion.joints, rest_offsets(motion.joints)), motion.joints]
        for wanted, exact in zip(at, (False, True), strict=True):
            (bvh,) = export(motion, "bvh", tmp_path, name, rig=rig, exact=exact)
            found = read_motion(bvh).motion
            expected = Motion.from_joints(wanted)
            assert np.linalg.norm(found.joints - expected.joints, axis=-1).max() < 0.001
        # The figure of a mesh file has the mannequin's bones, so that a generation's joints move a little.
        paths = export(motion, "glb", tmp_path, name, rig=rig) + export(motion, "vrma", tmp_path, name)
        figure = Motion.from_joints(load_body().posed_joints(load_body().fit(motion.joints))[:, :22])
        rigid = Motion.from_joints(at[0])
        for path, expected in zip(paths, (figure, rigid), strict=True):
            found = read_motion(path).motion
            assert np.linalg.norm(found.joints - expected.joints, axis=-1).max() < 0.002, path.suffix


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
        ({"fps": 1e-9}, "a second"),
        ({"joints": ["left_hip"]}, "no mapping"),
        ({"fps": 0}, "a second"),
        ({"fps": "30"}, "a second"),
        ({"fps": 10**400}, "a second"),
        ({"unit": ["m"]}, "choose from m, cm"),
    ):
        with pytest.raises(ValueError, match=words):
            load_joints(tmp_path / "a.bvh", **options)  # type: ignore[arg-type]


def test_a_bvh_file_without_frames_is_named(tmp_path: Path) -> None:
    text = write_bvh(walk(1), tmp_path / "a.bvh").read_text(encoding="utf-8")
    (tmp_path / "a.bvh").write_text(text.split("Frames:")[0] + "Frames: 0\nFrame Time: 0.05\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"a\.bvh.*no frames"):
        load_motion(tmp_path / "a.bvh")


LAYOUTS = {
    "1 x T x 22 x 3": lambda joints: joints[None],
    "MDM 22 x 3 x T": lambda joints: joints.transpose(1, 2, 0),
    "1 x T x 66": lambda joints: joints.reshape(1, -1, 66),
    "joints first": lambda joints: joints.transpose(1, 0, 2),
    "T x 3 x 22": lambda joints: joints.transpose(0, 2, 1),
    "T x 1 x 22 x 3": lambda joints: joints[:, None],
    "1 x MDM": lambda joints: joints.transpose(1, 2, 0)[None],
    "24 joints": lambda joints: np.pad(joints, ((0, 0), (0, 2), (0, 0))),
    "by columns": lambda joints: np.asfortranarray(joints),
    "float16": lambda joints: joints.astype(np.float16),
    "centimetres": lambda joints: 100 * joints,
    "millimetres": lambda joints: 1000 * joints,
    "Z up": lambda joints: joints[..., [0, 2, 1]] * [1, -1, 1],
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_joints_in_the_fields_layouts(tmp_path: Path, layout: str) -> None:
    np.save(tmp_path / "a.npy", LAYOUTS[layout](walk(31)))
    wanted = Motion.from_joints(walk(31))
    motion, notes = read_motion(tmp_path / "a.npy")
    np.testing.assert_allclose(motion.joints, wanted.joints, atol=2e-3)
    said = {"centimetres": ("centimetres",), "millimetres": ("millimetres",), "Z up": ("Z is up",)}
    assert notes == said.get(layout, ())


def test_keypoints_of_aist_and_arrays_of_kimodo(tmp_path: Path) -> None:
    joints = walk(61)
    coco = np.zeros((61, 17, 3))
    coco[:, [5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]] = joints[:, [16, 17, 18, 19, 20, 21, 1, 2, 4, 5, 7, 8]]
    coco[:, 0:5] = joints[:, 15:16] + [0, 0.05, 0.05]
    np.save(tmp_path / "coco.npy", 100 * coco)
    aist, notes = read_motion(tmp_path / "coco.npy")
    assert len(aist) == 20 and notes[:3] == ("joints of COCO (AIST++)", "centimetres", "60 fps assumed")
    soma = np.zeros((61, 77, 3))
    for index, ours in FOREIGN[77].joints.items():
        soma[:, index] = joints[:, JOINTS.index(ours)]
    np.savez(tmp_path / "kimodo.npz", posed_joints=soma, local_rot_mats=np.zeros((61, 77, 3, 3)))
    found, notes = read_motion(tmp_path / "kimodo.npz")
    assert len(found) == 40 and notes == ("joints of Kimodo's SOMA", "30 fps assumed")
    truth = canonical_joints(joints)
    for motion, step in ((aist, 3), (found, 1.5)):
        at = (step * np.arange(len(motion))).astype(int)[::2]
        assert np.linalg.norm(motion.joints[::2] - truth[at], axis=-1).mean() < 0.06
    np.savez(tmp_path / "smplx22.npz", posed_joints=joints)
    found, notes = read_motion(tmp_path / "smplx22.npz")
    assert len(found) == 40 and notes == ("30 fps assumed",)
    np.savez(tmp_path / "smplx22.npz", posed_joints=joints, fps=20)
    np.testing.assert_allclose(read_motion(tmp_path / "smplx22.npz").motion.joints, truth[:60], atol=2e-3)


def test_kit_features_and_batches_of_one(tmp_path: Path) -> None:
    features = Motion.from_joints(walk(21)).features
    np.save(tmp_path / "a.npy", features[None])
    np.testing.assert_array_equal(load_motion(tmp_path / "a.npy").features, features)
    np.save(tmp_path / "a.npy", features.T)
    np.testing.assert_array_equal(load_motion(tmp_path / "a.npy").features, features)
    np.save(tmp_path / "many.npy", np.zeros((2, 9, 22, 3)))
    with pytest.raises(ValueError, match="holds 2 motions"):
        load_motion(tmp_path / "many.npy")


def test_the_format_is_found_by_the_content(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", walk(9))
    (tmp_path / "a.npy").rename(tmp_path / "a.dat")
    write_bvh(walk(9), tmp_path / "b.bvh").rename(tmp_path / "b.txt")
    for name in ("a.dat", "b.txt"):
        np.testing.assert_allclose(load_joints(tmp_path / name)[0], walk(9), atol=1e-3)
    for name, words in (("a.fbx", "Blender"), ("a.pkl", "never loaded")):
        (tmp_path / name).write_bytes(b"x")
        with pytest.raises(ValueError, match=words):
            load_motion(tmp_path / name)


def test_what_was_assumed_is_one_warning(tmp_path: Path) -> None:
    path = write_flat(tmp_path / "a.bvh", 100 * walk(9)[..., [0, 2, 1]] * [1, -1, 1], fps=20)
    assert read_motion(path).notes == ("Z is up", "centimetres")
    with pytest.warns(UserWarning, match=r"a\.bvh.: Z is up; centimetres\.$") as said:
        load_motion(path)
    assert len(said) == 1
    with pytest.warns(UserWarning, match="Z is up"):
        load_joints(path)


def test_lengths_are_bounded_before_anything_is_computed(tmp_path: Path) -> None:
    np.save(tmp_path / "long.npy", np.repeat(walk(1), 4000, axis=0).astype(np.float32))
    with pytest.raises(ValueError, match=r"long\.npy.*lasts 2000 s at 2 frames"):
        load_motion(tmp_path / "long.npy", fps=2)
    header = np.lib.format.header_data_from_array_1_0(np.zeros((1, 22, 3)))
    with (tmp_path / "huge.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {**header, "shape": (10**12, 22, 3)})
        file.write(bytes(1000))
    with pytest.raises(ValueError, match=r"huge\.npy.*too short"):
        load_motion(tmp_path / "huge.npy")


def test_an_npz_of_one_array_is_read_as_that_array(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", walk(9))
    np.testing.assert_allclose(load_joints(tmp_path / "a.npz")[0], walk(9), atol=1e-9)
    np.savez_compressed(tmp_path / "f.npz", motion=Motion.from_joints(walk(9)).features)
    np.testing.assert_array_equal(load_motion(tmp_path / "f.npz").features, Motion.from_joints(walk(9)).features)


def test_a_pickle_is_never_loaded(tmp_path: Path) -> None:
    np.save(tmp_path / "results.npy", np.array({"motion": np.zeros((1, 22, 3, 9))}, dtype=object))
    with pytest.raises(ValueError, match=r"pickle, which may run any code.*python -c"):
        load_motion(tmp_path / "results.npy")


WALKS = ("ok", "cmu_names", "dup_name", "end_site_caps", "end_site_empty", "ft_rounded", "lower", "mixamo_underscore",
         "six_zero", "spaces", "xsens_names", "zup")  # fmt: skip


@pytest.mark.parametrize("name", WALKS)
def test_shared_bvh_files_give_the_same_motion(shared: Path, name: str) -> None:
    folder = shared / "cases" / "files"
    motion, _ = read_motion(folder / f"{name}.bvh")
    joints, wanted = motion.joints, read_motion(folder / "ok.bvh").motion.joints
    height = joints[:, 15, 1] - joints[:, [7, 8, 10, 11], 1].min(axis=1)
    assert height.mean() == pytest.approx(1.58, abs=0.01)
    assert joints[-1, 0, [0, 2]] == pytest.approx([0, 0.52], abs=0.01)
    assert (len(motion), motion.seconds) == (10, 0.5)
    assert np.linalg.norm(joints - wanted, axis=-1).mean() < 0.001


@pytest.mark.parametrize("name", ["fps_key", "rate_1d", "yup_norate"])
def test_shared_npz_files_give_the_same_motion(shared: Path, name: str) -> None:
    folder = shared / "cases" / "files"
    motion, notes = read_motion(folder / f"{name}.npz")
    joints = motion.joints
    height = joints[:, 15, 1] - joints[:, [7, 8, 10, 11], 1].min(axis=1)
    assert height[0] == pytest.approx(1.58, abs=0.01)
    assert joints[-1, 0, [0, 2]] == pytest.approx([0, 1.045], abs=0.01)
    assert (len(motion), motion.seconds) == (20, 1.0)
    assert notes == (("30 fps assumed",) if name == "yup_norate" else ())
    np.testing.assert_allclose(joints, read_motion(folder / "fps_key.npz").motion.joints, atol=1e-4)


def test_shared_files_that_are_refused_or_turned_over(shared: Path) -> None:
    folder = shared / "cases" / "files"
    with pytest.raises(ValueError, match="no frames"):
        read_motion(folder / "zero_frames.bvh")
    with pytest.raises(ValueError, match="upside down; pass up=-y"):
        read_motion(folder / "upside_down.bvh")
    turned, wanted = read_motion(folder / "upside_down.bvh", up="-y").motion, read_motion(folder / "ok.bvh").motion
    np.testing.assert_allclose(turned.joints, wanted.joints, atol=1e-4)


def test_shared_bad_files_are_refused_quickly_and_with_little_memory(shared: Path) -> None:
    tracemalloc.start()
    try:
        for path in sorted((shared / "cases" / "bad").iterdir()):
            start = time.perf_counter()
            with pytest.raises(ValueError, match=re.escape(path.name)) as told:
                read_motion(path)
            assert time.perf_counter() - start < 1, path.name
            assert "\n" not in str(told.value) and len(str(told.value)) < 600
        assert tracemalloc.get_traced_memory()[1] < 100 << 20
    finally:
        tracemalloc.stop()
