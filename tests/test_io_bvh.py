"""BVH files: joints come back to the millimetre, on a skeleton that rigs can use."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from scamo.io.bvh import write_bvh
from scamo.io.bvh_read import read_bvh
from scamo.io.read import load_joints
from scamo.io.write import export
from scamo.skeleton import JOINTS, bone_lengths

from .motions import ALL, MOTIONS, bundled, stretchy, walk


@pytest.mark.parametrize("name", [*MOTIONS, "bundled"])
@pytest.mark.parametrize("unit", ["m", "cm"])
def test_bvh_round_trip(tmp_path: Path, name: str, unit: Any) -> None:
    joints = bundled() if name == "bundled" else MOTIONS[name](40)
    path = write_bvh(joints, tmp_path / "a.bvh", unit=unit)
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
    assert write_bvh(stretchy(), tmp_path / "b.bvh").read_text(encoding="utf-8").count("CHANNELS 6") > 10
    rigid, _ = load_joints(write_bvh(stretchy(), tmp_path / "c.bvh", rigid=True))
    assert (tmp_path / "c.bvh").read_text(encoding="utf-8").count("CHANNELS 6") == 1
    np.testing.assert_allclose(bone_lengths(rigid), np.broadcast_to(bone_lengths(rigid[0]), (40, 22)), atol=1e-4)
    assert np.abs(rigid - stretchy()).max() < 0.06


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


def test_bvh_at_30_fps(tmp_path: Path) -> None:
    path = export(walk(41), "bvh", tmp_path, "a", bvh_fps=30)[0]
    joints, fps = load_joints(path)
    assert fps == pytest.approx(30, abs=1e-6)
    assert len(joints) == 61
    np.testing.assert_allclose(joints[::3], walk(41)[::2], atol=1e-3)
