"""SMPL parameters: smplx gives the joints back, and files of AMASS are read."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from scamo.body.smpl import load_body
from scamo.io.read import load_joints
from scamo.io.smpl_npz import read_smpl, write_npz

from .motions import ALL, bundled, walk

RECIPE = {"prompt": 'a person "walks" ünï', "seed": 3, "model": "4M", "odd": float("nan")}


@pytest.mark.parametrize("name", ALL)
def test_npz_through_smplx(tmp_path: Path, name: str) -> None:
    import torch

    joints = ALL[name](40)
    data = np.load(write_npz(joints, tmp_path / "a.npz", recipe=RECIPE))
    assert data["poses"].shape == (40, 72)
    assert data["betas"].shape == (10,)
    assert data["mocap_framerate"] == 20
    assert str(data["gender"]) == "neutral"
    assert json.loads(str(data["recipe"]))["seed"] == 3
    poses = torch.from_numpy(data["poses"])
    out = load_body().model(
        betas=torch.zeros(40, 2),
        global_orient=poses[:, :3],
        body_pose=poses[:, 3:],
        transl=torch.from_numpy(data["trans"]),
    )
    assert np.abs(out.joints[:, :22].numpy() - joints).max() < 1e-3
    back, fps = load_joints(tmp_path / "a.npz")
    assert fps == 20
    assert np.abs(back - joints).max() < 1e-3


def test_npz_of_a_generation_is_the_nearest_pose_of_the_mannequin(tmp_path: Path) -> None:
    joints = bundled()
    body = load_body()
    back, _ = load_joints(write_npz(joints, tmp_path / "a.npz"))
    np.testing.assert_allclose(back, body.posed_joints(body.fit(joints)), atol=1e-5)
    assert np.linalg.norm(back - joints, axis=-1).mean() < 0.03  # its bones change length, the mannequin's do not


def test_amass_files_are_turned_up(tmp_path: Path) -> None:
    write_npz(walk(20), tmp_path / "ours.npz")
    data = dict(np.load(tmp_path / "ours.npz"))
    to_z_up = Rotation.from_rotvec([np.pi / 2, 0, 0])
    from scamo.body.mannequin import PELVIS

    poses = np.pad(data["poses"], ((0, 0), (0, 84)))  # SMPL-H has 52 joints
    poses[:, :3] = (to_z_up * Rotation.from_rotvec(poses[:, :3])).as_rotvec()
    trans = to_z_up.apply(data["trans"] + PELVIS) - PELVIS
    np.savez(tmp_path / "amass.npz", poses=poses, trans=trans, mocap_framerate=60.0, betas=np.zeros(16))
    joints, fps = load_joints(tmp_path / "amass.npz")
    assert fps == 60
    assert np.abs(joints - walk(20)).max() < 1e-3
    np.savez(
        tmp_path / "smplx.npz", root_orient=poses[:, :3], pose_body=poses[:, 3:66], trans=trans, mocap_frame_rate=30
    )
    assert load_joints(tmp_path / "smplx.npz")[1] == 30


def test_a_small_file_that_claims_to_be_huge_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scamo.io.smpl_npz.MAX_UNPACKED", 1 << 20)
    np.savez_compressed(tmp_path / "bomb.npz", poses=np.zeros((900, 156)), trans=np.zeros((900, 3)))
    assert (tmp_path / "bomb.npz").stat().st_size < 10_000
    with pytest.raises(ValueError, match="more than 1 MiB"):
        load_joints(tmp_path / "bomb.npz")


def test_rates_have_several_names_and_shapes(tmp_path: Path) -> None:
    local, trans = np.zeros((5, 66)), np.zeros((5, 3))
    for number, rate in enumerate(({"fps": 30}, {"mocap_frame_rate": np.array([60.0])}, {"mocap_framerate": 120.0})):
        np.savez(tmp_path / f"{number}.npz", poses=local, trans=trans, **rate)
    assert [load_joints(tmp_path / f"{number}.npz")[1] for number in range(3)] == [30, 60, 120]
    np.savez(tmp_path / "none.npz", poses=local, trans=trans)
    assert read_smpl(tmp_path / "none.npz").fps is None
    assert load_joints(tmp_path / "none.npz")[1] == 20
    assert load_joints(tmp_path / "none.npz", fps=25)[1] == 25


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    np.savez_compressed(tmp_path / "whole.npz", poses=draw.normal(size=(9, 66)), trans=np.zeros((9, 3)))
    whole = (tmp_path / "whole.npz").read_bytes()
    damaged, named = tmp_path / "damaged.npz", 0
    for place in range(0, len(whole), 37):
        damaged.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        try:
            read_smpl(damaged)
        except ValueError as error:
            named += "damaged.npz" in str(error)
    assert named > len(whole) / 37 / 2
