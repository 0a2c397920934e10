"""The reader of folders of motion files: BVH and whatever else the library reads, by the library's reader."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from scamo.io.read import read_motion
from scamo.io.read_options import ReadOptions
from scamo.io.write import export
from scamo.motion import Motion, joints_from_features
from tests.motions import walk
from tests.rigs import write_bvh, write_rig
from training.data.dataset import Dataset
from training.data.readers import bvh


def test_every_format_of_the_library_is_read_as_there(tmp_path: Path) -> None:
    motion = Motion.from_joints(walk(61))
    export(motion, "bvh,glb,npz,vrma,npy", tmp_path / "in", "walk")
    (tmp_path / "in" / "other.md").write_text("no motion", encoding="utf-8")
    (tmp_path / "in" / "walk.txt").write_text("he walks", encoding="utf-8")
    bvh.main(bvh.Args(tmp_path / "in", tmp_path / "out"))
    data = Dataset(tmp_path / "out")
    # Files of one name have their kind in the clip's name; their sentences are the same.
    paths = {"walk-bvh": "walk.bvh", "walk-glb": "walk.glb", "walk-npz": "walk.npz", "walk-vrma": "walk.vrma",
             "walk_features": "walk_features.npy", "walk_joints": "walk_joints.npy"}  # fmt: skip
    assert sorted(clip.name for clip in data.clips) == sorted(paths)
    for clip in data.clips:
        found = joints_from_features(data[clip])
        wanted = read_motion(tmp_path / "in" / paths[clip.name]).motion.joints
        np.testing.assert_allclose(found, wanted[: len(found)], atol=2e-3)
        assert len(wanted) - len(found) in (0, 1)  # joints of features lose one frame to the velocities
        assert clip.captions == (() if "_" in clip.name else ("he walks",))


def test_what_the_user_knows_better_is_used(tmp_path: Path) -> None:
    """Our own skeleton in inches, with X up: its unit and axis matter, and are found wrongly or not at all."""
    folder = tmp_path / "in"
    folder.mkdir()
    np.save(folder / "a.npy", walk(61)[..., [1, 0, 2]] * [1, -1, 1] / 0.0254)
    args = bvh.Args(folder, tmp_path / "out", up="x", unit="inch", fps=20.0)
    bvh.main(args)
    data = Dataset(tmp_path / "out")
    wanted = read_motion(folder / "a.npy", up="x", unit="inch", fps=20.0).motion
    np.testing.assert_allclose(data[data.clips[0]], wanted.features, atol=1e-5)
    np.testing.assert_allclose(wanted.joints, Motion.from_joints(walk(61)).joints, atol=2e-3)
    (tmp_path / "map.json").write_text("{", encoding="utf-8")
    with pytest.raises(ValueError, match="no JSON"):
        bvh.main(bvh.Args(folder, tmp_path / "other", joints=tmp_path / "map.json"))
    with pytest.raises(ValueError, match="cannot run at 0"):
        bvh.main(bvh.Args(folder, tmp_path / "other", fps=0.0))
    assert not (tmp_path / "other").exists()


def test_a_broken_file_is_named_and_the_rest_is_done(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_rig(tmp_path / "good.bvh", walk(61), "mixamo")
    write_bvh(tmp_path / "short.bvh", walk(9))
    np.save(tmp_path / "tokens.npy", np.arange(9))
    (tmp_path / "broken.glb").write_bytes(b"glTF" + bytes(30))
    out = tmp_path.parent / "broken-out"
    with pytest.raises(ValueError, match="2 of 4 files cannot be read"):
        bvh.main(bvh.Args(tmp_path, out))
    said = capsys.readouterr()
    assert "skipped tokens.npy: " in said.err and "skipped broken.glb: " in said.err
    assert json.loads(said.out)["skipped"] == 3  # with the one that is too short
    assert [clip.name for clip in Dataset(out).clips] == ["good"]


def test_training_reads_motion_files_as_the_library_does(shared: Path) -> None:
    folder = shared / "cases" / "files"
    for path in sorted(folder.iterdir()):
        if path.stem in ("zero_frames", "upside_down"):
            with pytest.raises(ValueError, match=path.name):
                list(bvh.read_clips(path, ReadOptions(), bvh.Args(folder, folder, shortest=5), "a"))
            continue
        (clip,) = bvh.read_clips(path, ReadOptions(), bvh.Args(folder, folder, shortest=5), "a")
        np.testing.assert_allclose(clip.features, read_motion(path).motion.features, atol=1e-5)
