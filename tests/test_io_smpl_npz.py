"""SMPL parameters: smplx gives the joints back, and files of AMASS are read."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from scamo.body.smpl import load_body
from scamo.io.read import load_joints, read_motion
from scamo.io.smpl_npz import read_smpl, write_npz

from .motions import ALL, bundled, lying, walk

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


def test_names_of_smplx_and_hy_motion(tmp_path: Path) -> None:
    data = dict(np.load(write_npz(walk(31), tmp_path / "ours.npz")))
    poses, trans = data["poses"][:, :66], data["trans"]
    wanted, _ = read_motion(tmp_path / "ours.npz")
    matrices = Rotation.from_rotvec(poses.reshape(-1, 3)).as_matrix().reshape(31, 22, 3, 3)
    body = poses[:, 3:].reshape(31, 21, 3)
    files: dict[str, dict] = {
        "smplx": {"global_orient": poses[:, :3], "body_pose": poses[:, 3:], "transl": trans, "fps": 20},
        "smplx joints": {"global_orient": poses[:, None, :3], "body_pose": body, "transl": trans, "fps": [20]},
        "smplx batch": {"global_orient": poses[None, :, :3], "body_pose": poses[None, :, 3:], "transl": trans[None],
                        "fps": 20},
        "matrices": {"global_orient": matrices[:, :1], "body_pose": matrices[:, 1:], "transl": trans, "fps": 20},
        "hy-motion": {"poses": np.pad(poses, ((0, 0), (0, 90))), "trans": trans, "Rh": poses[:, :3], "fps": 20,
                      "betas": np.zeros((1, 16)), "gender": np.array(["neutral"])},
        "root in Rh": {"poses": poses * (np.arange(66) > 2), "trans": trans, "Rh": poses[:, :3], "fps": 20},
        "y up without a word": {"poses": poses, "trans": trans, "fps": np.array([[20.0]])},
        "betas of every frame": {"poses": poses, "trans": trans, "fps": 20, "up_axis": "y",
                                 "betas": np.zeros((31, 10))},
        "pickled gender": {"poses": poses, "trans": trans, "fps": 20, "up_axis": "y",
                           "gender": np.array(None, dtype=object)},
    }  # fmt: skip
    for name, content in files.items():
        np.savez(tmp_path / "a.npz", **content)
        found, notes = read_motion(tmp_path / "a.npz")
        np.testing.assert_allclose(found.joints, wanted.joints, atol=2e-3, err_msg=name)
        assert not [note for note in notes if note != "Y is up"], name
    del files["hy-motion"]["fps"]
    np.savez(tmp_path / "a.npz", **files["hy-motion"])
    found, notes = read_motion(tmp_path / "a.npz")
    assert (len(found), notes) == (20, ("30 fps assumed",))


def test_an_axis_that_the_caller_or_the_file_names_holds(tmp_path: Path) -> None:
    write_npz(lying(31), tmp_path / "a.npz")
    wanted, notes = read_motion(tmp_path / "a.npz")
    assert notes == ()  # our file says what is up, so lying is no doubt
    np.testing.assert_allclose(read_motion(tmp_path / "a.npz", up="y").motion.joints, wanted.joints, atol=1e-6)
    assert wanted.joints[:, 15, 1].max() < 1


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"fps": np.array([30.0, 30.0])}, "frame rate"),
        ({"fps": "fast"}, "frame rate"),
        ({"fps": 0.01}, "frames a second"),
        ({"fps": np.nan}, "frames a second"),
        ({"trans": np.zeros((4, 3))}, "of shape"),
        ({"poses": np.zeros((5, 60))}, "of shape"),
        ({"poses": np.full((5, 66), np.inf)}, "NaN or infinite"),
        ({"trans": np.full((5, 3), 1e30)}, "farther away"),
        ({"poses": np.full((5, 66), "x")}, "holds <U1"),
        ({"poses": np.zeros((5, 66), dtype=bool)}, "holds bool"),
        ({"up_axis": "sideways"}, "points up"),
        ({"poses": np.array([{}] * 5, dtype=object)}, "pickle"),
    ],
)
def test_what_is_no_motion_is_one_sentence(tmp_path: Path, content: dict, words: str) -> None:
    np.savez(tmp_path / "a.npz", **{"poses": np.zeros((5, 66)), "trans": np.zeros((5, 3)), **content})
    with pytest.raises(ValueError, match=words) as told:
        read_motion(tmp_path / "a.npz")
    assert "a.npz" in str(told.value) and "\n" not in str(told.value)


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
