"""BVH files: joints come back to the millimetre, on a skeleton that rigs can use."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from scamo.io.bvh import write_bvh
from scamo.io.bvh_read import read_bvh
from scamo.io.export_rigs import EXPORT_RIGS
from scamo.io.read import load_joints
from scamo.io.write import export
from scamo.skeleton import JOINTS, bone_lengths

from .motions import ALL, MOTIONS, bundled, cartwheel, stretchy, turning, walk


@pytest.mark.parametrize("name", [*MOTIONS, "bundled"])
@pytest.mark.parametrize("unit", ["m", "cm"])
def test_bvh_round_trip(tmp_path: Path, name: str, unit: Any) -> None:
    joints = bundled() if name == "bundled" else MOTIONS[name](40)
    path = write_bvh(joints, tmp_path / "a.bvh", unit=unit, exact=True)
    back, fps = load_joints(path)
    assert fps == pytest.approx(20, abs=1e-6)
    assert np.abs(back - joints).max() < 1e-3
    positions, names = by_hand(path)
    assert names == [name for name in JOINTS if name in names]
    scale = 1.0 if unit == "m" else 0.01
    assert np.abs(scale * positions - joints[:, [JOINTS.index(name) for name in names]]).max() < 1e-3


def by_hand(path: Path) -> tuple[np.ndarray, list[str]]:
    """A BVH reader written for this test alone: frame by frame, one matrix a channel."""
    words = iter(path.read_text(encoding="utf-8").split())
    stack: list[int] = []
    names, parents, offsets, channels = [], [], [], []
    tip = False
    for word in words:
        if word in ("ROOT", "JOINT"):
            parents.append(stack[-1] if stack else -1)
            names.append(next(words))
        elif word == "End":
            tip = next(words) == "Site"
        elif word == "{":
            stack.append(len(names) - 1)
        elif word == "}":
            stack.pop()
            tip = False
        elif word == "OFFSET":
            offset = [float(next(words)) for _ in range(3)]
            if not tip:
                offsets.append(offset)
        elif word == "CHANNELS":
            channels.append([next(words) for _ in range(int(next(words)))])
        elif word == "Frames:":
            frames = int(next(words))
        elif word == "Time:":
            next(words)
            break
    numbers = np.array([float(word) for word in words]).reshape(frames, -1)
    out = np.zeros((frames, len(names), 3))
    for frame, row in enumerate(numbers):
        values = iter(row)
        world: list[np.ndarray] = []
        for joint, parent in enumerate(parents):
            place, turn = np.array(offsets[joint]), np.eye(3)
            for channel in channels[joint]:
                value = next(values)
                if channel.endswith("position"):
                    place["XYZ".index(channel[0])] = value
                else:
                    turn = turn @ Rotation.from_euler(channel[0].lower(), value, degrees=True).as_matrix()
            local = np.eye(4)
            local[:3, :3], local[:3, 3] = turn, place
            world.append(local if parent < 0 else world[parent] @ local)
        out[frame] = [matrix[:3, 3] for matrix in world]
    order = sorted(range(len(names)), key=lambda i: JOINTS.index(names[i]))
    return out[:, order], [names[i] for i in order]


def test_bvh_is_a_plain_rig_where_bones_keep_their_length(tmp_path: Path) -> None:
    text = write_bvh(walk(20), tmp_path / "a.bvh").read_text(encoding="utf-8")
    assert text.count("CHANNELS 6") == 1
    assert text.count("CHANNELS 3 Zrotation Xrotation Yrotation") == 21
    assert "Frame Time: 0.05\n" in text
    assert write_bvh(stretchy(), tmp_path / "b.bvh", exact=True).read_text(encoding="utf-8").count("CHANNELS 6") > 10
    rigid, _ = load_joints(write_bvh(stretchy(), tmp_path / "c.bvh"))
    assert (tmp_path / "c.bvh").read_text(encoding="utf-8").count("CHANNELS 6") == 1
    np.testing.assert_allclose(bone_lengths(rigid), np.broadcast_to(bone_lengths(rigid[0]), (40, 22)), atol=2e-6)
    assert np.linalg.norm(rigid - stretchy(), axis=-1).mean() < 0.005
    assert np.abs(rigid - stretchy()).max() < 0.03


@pytest.mark.parametrize("name", EXPORT_RIGS)
@pytest.mark.parametrize("exact", [False, True])
def test_every_rig_holds_the_same_motion(tmp_path: Path, name: str, exact: bool) -> None:
    rig = EXPORT_RIGS[name]
    scale = 1.0 if rig.unit == "m" else 0.01
    for make in (stretchy, cartwheel):
        recording = read_bvh(write_bvh(make(), tmp_path / "a.bvh", rig=name, exact=exact))
        ours = read_bvh(write_bvh(make(), tmp_path / "b.bvh", exact=exact))
        at = [recording.joint(joint) for joint in rig.joints[:22]]
        wanted = ours.positions[:, [ours.joint(joint) for joint in JOINTS]]
        assert np.abs(recording.positions[:, at] * scale - wanted).max() < 1e-5
        assert recording.names[0] == (rig.root or rig.joints[0])
        assert len(recording.names) == 22 + (rig.root is not None)


@pytest.mark.parametrize("name", EXPORT_RIGS)
def test_rest_poses_are_those_of_the_rigs(tmp_path: Path, name: str) -> None:
    """A T-pose has straight arms along X and legs along Y, to the millimetre; an A-pose has arms 45 degrees down."""
    recording = read_bvh(write_bvh(stretchy(), tmp_path / "a.bvh", rig=name, unit="m"))
    rest = {joint: recording.offsets[recording.joint(theirs)]
            for joint, theirs in zip(JOINTS, EXPORT_RIGS[name].joints, strict=False)}  # fmt: skip
    if EXPORT_RIGS[name].rest == "smpl":
        assert rest["left_knee"][0] > 0.02 and rest["left_elbow"][2] < -0.02
        return
    for side, sign in (("left", 1), ("right", -1)):
        for limb in ("elbow", "wrist"):
            x, y, z = rest[f"{side}_{limb}"]
            assert abs(z) < 1e-3 and x * sign > 0.15
            assert y == pytest.approx(0 if EXPORT_RIGS[name].rest == "t" else -abs(x), abs=1e-3)
        for limb in ("knee", "ankle"):
            np.testing.assert_allclose(rest[f"{side}_{limb}"][[0, 2]], 0, atol=1e-3)
        assert abs(rest[f"{side}_foot"][0]) < 1e-3 and rest[f"{side}_foot"][2] > 0.1


def test_bvh_stands_upright_in_a_t_pose_and_faces_z(tmp_path: Path) -> None:
    """All rotations zero: head above, left hand at +X, toes at +Z, of human size."""
    recording = read_bvh(write_bvh(walk(4), tmp_path / "a.bvh"))
    rest = dict(zip(recording.names, recording.offsets, strict=True))
    assert rest["left_elbow"][0] > 0.2
    assert abs(rest["left_elbow"][1]) < 0.05
    assert rest["left_knee"][1] < -0.3
    assert rest["left_foot"][2] > 0.1
    assert recording.positions[0, recording.joint("head"), 1] > 1.4
    assert recording.rotations[0, 0, :, 2] @ [0, 0, 1] > 0.99
    turned = np.loadtxt((tmp_path / "a.bvh").read_text(encoding="utf-8").split("Frame Time: ")[1].splitlines()[1:])
    assert np.abs(np.diff(turned, axis=0)).max() < 60  # no jump of 360 degrees


def test_bvh_angles_do_not_jump_when_turning(tmp_path: Path) -> None:
    path = write_bvh(ALL["turning"](80), tmp_path / "a.bvh")
    rows = np.loadtxt(path.read_text(encoding="utf-8").split("Frame Time: ")[1].splitlines()[1:])
    assert np.abs(np.diff(rows, axis=0)).max() < 20
    assert np.ptp(rows[:, 5]) > 400  # one and a half turns, counted on


@pytest.mark.parametrize("fps", [30, 60, 12.5])
def test_bvh_at_another_rate(tmp_path: Path, fps: float) -> None:
    path = export(turning(41), "bvh", tmp_path, "a", fps=fps)[0]
    joints, found = load_joints(path)
    assert found == pytest.approx(fps, abs=1e-6)
    assert len(joints) == int(2 * fps) + 1
    for second in (0, 1, 2):
        at, ours = second * fps, second * 20
        if at == int(at):
            np.testing.assert_allclose(joints[int(at)], turning(41)[ours], atol=1e-3)
    np.testing.assert_allclose(
        bone_lengths(joints), np.broadcast_to(bone_lengths(joints[0]), (len(joints), 22)), atol=1e-5
    )
    assert (
        np.abs(np.diff(joints, 2, axis=0)).max() < np.abs(np.diff(turning(41), 2, axis=0)).max() * (20 / fps) ** 2 * 1.5
    )


def test_a_single_frame_is_a_pose(tmp_path: Path) -> None:
    joints, _ = load_joints(export(walk(1), "bvh", tmp_path, "a", fps=30, rig="unreal")[0], joints=dict(
        zip(JOINTS, EXPORT_RIGS["unreal"].joints, strict=False)), unit="cm")  # fmt: skip
    assert joints.shape == (1, 22, 3)
