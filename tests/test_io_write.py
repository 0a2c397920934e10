"""The writers: every format, whole files or none, and mistakes named before anything is written."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import scamo
from scamo.cli import main
from scamo.io.bvh import write_bvh
from scamo.io.bvh_read import read_bvh
from scamo.io.export_rigs import EXPORT_RIGS
from scamo.io.gltf import write_glb
from scamo.io.read import load_joints
from scamo.io.write import WRITERS, export, recipe_facts
from scamo.motion import Motion
from scamo.render.video import read_metadata

from .motions import walk
from .test_motion import kit_joints

RECIPE = {"prompt": 'a person "walks" ünï', "seed": 3, "model": "4M", "odd": float("nan")}


def small(name: str) -> dict[str, Any]:
    """Options that make pictures quick to draw."""
    return {"size": (96, 64)} if "size" in WRITERS[name].options else {}


def test_every_writer_writes(tmp_path: Path) -> None:
    motion = Motion.from_joints(walk(12))
    paths = export(motion, list(WRITERS), tmp_path / "new", "my.walk", RECIPE, size=(128, 96))
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == sorted(path.name for path in paths)
    assert {path.suffix[1:] for path in paths} == set(WRITERS)
    assert all(path.stat().st_size > 100 for path in paths)
    for path in paths:
        if path.suffix in (".mp4", ".webm", ".gif", ".webp", ".png"):
            assert read_metadata(path)["seed"] == 3
    recipe = json.loads((tmp_path / "new" / "my.walk.json").read_text(encoding="utf-8"))
    assert (recipe["prompt"], recipe["frames"], recipe["scamo"]) == (RECIPE["prompt"], 11, scamo.__version__)


def test_csv_is_a_table(tmp_path: Path) -> None:
    path = export(walk(5), "csv", tmp_path, "a")[0]
    header = path.read_text(encoding="utf-8").splitlines()[0].split(",")
    table = np.loadtxt(path, delimiter=",", skiprows=1)
    assert header[:5] == ["frame", "seconds", "pelvis_x", "pelvis_y", "pelvis_z"]
    assert table.shape == (5, len(header))
    np.testing.assert_allclose(table[:, 2:].reshape(5, 22, 3), walk(5), atol=1e-5)
    np.testing.assert_allclose(table[:, 1], np.arange(5) / 20)


@pytest.mark.parametrize(
    ("joints", "word"),
    [
        (np.zeros((0, 22, 3)), "no frames"),
        (np.full((3, 22, 3), np.nan), "NaN"),
        (np.zeros((3, 21, 3)), "22, 3"),
        (np.zeros((3, 263)), "joints_from_features"),
    ],
)
def test_what_cannot_be_written(tmp_path: Path, joints: np.ndarray, word: str) -> None:
    for name in WRITERS:
        with pytest.raises(ValueError, match=word):
            export(joints, name, tmp_path, "a")
    assert not list(tmp_path.iterdir())


def test_mistakes_are_named_before_anything_is_written(tmp_path: Path) -> None:
    nothing: list[str] = []
    for formats in ("bvh,usd", nothing, ""):
        with pytest.raises(ValueError, match="choose from npy, npz, bvh, glb"):
            export(walk(3), formats, tmp_path, "a")
    for stem in ("", "a/b", ".."):
        with pytest.raises(ValueError, match="no file name"):
            export(walk(3), "bvh", tmp_path, stem)
    for options, words in (
        ({"unit": "inch"}, '"cm"'),
        ({"fps": 0}, "20 or 30"),
        ({"rig": "maya"}, "humanml3d, smpl, mixamo, unreal, vrm"),
        ({"unti": "cm"}, 'no option "unti"; the options of npy, bvh are exact, fps, rig, unit'),
        ({"size": 64}, 'no option "size"'),
    ):
        with pytest.raises(ValueError, match=words):
            export(walk(3), "npy,bvh", tmp_path, "a", **options)
    for options, words in (
        ({"size": 9}, "16 to 8192"),
        ({"camera": "drone"}, "follow"),
        ({"backend": "x"}, "renderer"),
    ):
        with pytest.raises(ValueError, match=words):
            export(walk(3), "npy,mp4", tmp_path, "a", **options)
    for body, words in (("robot", "no body"), ("smpl", "licensed SMPL file")):
        with pytest.raises(ValueError, match=words):
            export(walk(3), "npy,glb,png", tmp_path, "a", body=body)
    for formats in ("glb", "fbx", "vrma"):
        with pytest.raises(ValueError, match="20 or 30"):
            export(walk(3), ["npy", formats], tmp_path, "a", fps=-1)
    with pytest.raises(ValueError, match="npy, json has none"):
        export(walk(3), "npy,json", tmp_path, "a", colour="red")
    with pytest.raises(ValueError, match="20 or 30"):
        write_bvh(walk(3), tmp_path / "a.bvh", fps=0)
    with pytest.raises(ValueError, match="stick"):
        write_glb(walk(3), tmp_path / "a.glb", figure="robot")  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", WRITERS)
def test_an_unwritable_folder_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("not a folder", encoding="utf-8")
    with pytest.raises(OSError, match="choose another folder"):
        export(walk(3), name, tmp_path / "file", "a", **small(name))


@pytest.mark.skipif(sys.platform != "linux", reason="needs file size limits")
def test_a_disk_that_fills_up_leaves_no_half_files(tmp_path: Path) -> None:
    """A file size limit stands for the full disk: writing fails half way in the same calls."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for name in WRITERS:
        resource.setrlimit(resource.RLIMIT_FSIZE, (512, hard))
        try:
            with pytest.raises(OSError, match="Free disk space or choose another folder"):
                export(walk(20), name, tmp_path / "out", "a", {"long": "x" * 5000}, **small(name))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert not list((tmp_path / "out").iterdir()), name


class Facts:
    """Stands for a Recipe."""

    def to_dict(self) -> dict[str, Any]:
        return {"prompt": "a person walks", "seed": 7}


def test_a_recipe_object_goes_into_files(tmp_path: Path) -> None:
    path = export(walk(3), "json", tmp_path, "a", Facts(), in_place=True)[0]
    found = json.loads(path.read_text(encoding="utf-8"))
    assert (found["prompt"], found["seed"], found["in_place"]) == ("a person walks", 7, True)
    assert recipe_facts(None) == {}


def kit_motion() -> Motion:
    """A KIT-ML motion of 20 frames: its own features, in millimetres, at 12.5 frames a second."""
    features = np.zeros((20, 251), dtype=np.float32)
    joints = kit_joints(20)
    features[:, 3] = joints[:, 0, 1]
    features[:, 4:64] = (joints[:, 1:] - joints[:, :1] * [1, 0, 1]).reshape(20, 60)
    return Motion(features, 12.5)


def test_files_of_a_changed_kit_motion_run_at_one_rate(tmp_path: Path) -> None:
    """20 frames at 12.5 fps are 31 at 20 fps; what is in place has HumanML3D's features, which run at 20."""
    export(kit_motion(), "npy,json,csv,npz", tmp_path, "kit", in_place=True)
    facts = json.loads((tmp_path / "kit.json").read_text(encoding="utf-8"))
    assert (facts["fps"], facts["frames"], facts["seconds"]) == (20, 31, 1.55)
    assert np.load(tmp_path / "kit_joints.npy").shape == (31, 22, 3)
    assert np.load(tmp_path / "kit_features.npy").shape == (30, 263)
    assert len((tmp_path / "kit.csv").read_text(encoding="utf-8").splitlines()) == 32
    with np.load(tmp_path / "kit.npz") as smpl:
        assert (len(smpl["poses"]), float(smpl["mocap_framerate"])) == (31, 20)


def test_a_kit_motion_goes_into_every_format(tmp_path: Path) -> None:
    motion = kit_motion()
    for name in WRITERS:
        assert all(path.stat().st_size > 100 for path in export(motion, name, tmp_path, "kit", RECIPE, **small(name)))
    np.testing.assert_array_equal(np.load(tmp_path / "kit_features.npy"), motion.features)
    assert np.load(tmp_path / "kit_joints.npy").shape == (20, 21, 3)
    joints, fps = load_joints(tmp_path / "kit.bvh")
    assert fps == pytest.approx(12.5)
    assert np.linalg.norm(joints - motion.skeleton_joints, axis=-1).mean() < 0.01
    assert 1.4 < joints[0, 15, 1] < 1.9
    assert json.loads((tmp_path / "kit.json").read_text(encoding="utf-8"))["fps"] == 12.5


@pytest.mark.parametrize("name", WRITERS)
def test_save_writes_exactly_its_path(tmp_path: Path, name: str) -> None:
    motion = Motion.from_joints(walk(12))
    path = motion.save(tmp_path / "new" / f"my.walk.{name.upper()}", recipe=RECIPE, **small(name))
    assert path == tmp_path / "new" / f"my.walk.{name.upper()}"
    assert [other.name for other in path.parent.iterdir()] == [path.name]
    if name in ("npy", "npz", "bvh"):
        assert np.abs(Motion.load(path).joints - motion.joints[: len(Motion.load(path))]).max() < 2e-3
    if name == "npy":
        assert Motion.load(path) == motion


def test_save_names_mistakes_first(tmp_path: Path) -> None:
    motion = Motion.from_joints(walk(12))
    for path, options, words in (
        ("walk.usd", {}, r"\.npy, \.npz, \.bvh"),
        ("walk", {}, "end the name in"),
        ("walk.bvh", {"units": "cm"}, 'no option "units"; the options of bvh are exact'),
    ):
        with pytest.raises(ValueError, match=words):
            motion.save(tmp_path / path, **options)
    assert not list(tmp_path.iterdir())
    assert "CHANNELS" in motion.save(tmp_path / "walk.bvh", unit="cm", rig="mixamo", in_place=True).read_text(
        encoding="utf-8"
    )


def test_a_stick_figure_is_checked_without_opengl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def probe() -> str:
        raise AssertionError("stick figures must not start OpenGL")

    monkeypatch.setattr("scamo.render.rasteriser.pyrender_problem", probe)
    assert export(walk(2), "png", tmp_path, "a", **small("png"))[0].exists()


def test_the_command_takes_rig_unit_rate_and_no_root_motion(tmp_path: Path) -> None:
    Motion.from_joints(walk(41)).save(tmp_path / "walk.npy")
    arguments = ["--rig", "mixamo", "--unit", "m", "--fps", "30", "--no-root-motion", "--exact"]
    command = ["export", str(tmp_path / "walk.npy"), "--to", "bvh,vrma", "--out", str(tmp_path / "out"), *arguments]
    assert main(command) == 0
    recording = read_bvh(tmp_path / "out" / "walk.bvh")
    assert recording.names[0] == "mixamorig:Hips"
    assert (len(recording.positions), recording.fps) == (59, pytest.approx(30, abs=1e-4))
    np.testing.assert_allclose(
        recording.positions[:, 0, [0, 2]], recording.positions[:1, 0, [0, 2]].repeat(59, 0), atol=1e-5
    )
    assert 0.7 < recording.positions[0, 0, 1] < 1.2
    assert (tmp_path / "out" / "walk.vrma").exists()
    assert (
        main(["export", str(tmp_path / "walk.npy"), "--to", "npz", "--out", str(tmp_path / "no"), "--fps", "30"]) == 2
    )
    assert not (tmp_path / "no" / "walk.npz").exists()


@pytest.mark.parametrize("rig", EXPORT_RIGS)
def test_bvhio_reads_every_rig(tmp_path: Path, rig: str) -> None:
    bvhio = pytest.importorskip("bvhio")
    joints = walk(10)
    path = export(joints, "bvh", tmp_path, "a", rig=rig, unit="m")[0]
    root = bvhio.readAsHierarchy(str(path))
    for frame in (0, 9):
        root.loadPose(frame)
        for joint, name in enumerate(EXPORT_RIGS[rig].joints[:22]):
            place = root.filter(name, isEqual=True)[0].PositionWorld
            np.testing.assert_allclose(list(place), joints[frame, joint], atol=1e-3)
