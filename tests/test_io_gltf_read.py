"""glTF in: our own files, rigs of others, keys of every kind, and damaged files."""

from __future__ import annotations

import base64
import contextlib
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from scamo.body.smpl import load_body
from scamo.io.gltf import write_glb
from scamo.io.gltf_read import read_gltf
from scamo.io.read import load_motion, read_motion
from scamo.motion import Motion
from scamo.skeleton import JOINTS, PARENTS, joint_rotations, rest_offsets

from .motions import turning, walk
from .rigs import RIGS

KINDS = {1: "SCALAR", 3: "VEC3", 4: "VEC4"}


class Document:
    """A small glTF file: nodes in HumanML3D's tree, and one animation."""

    def __init__(self) -> None:
        self.binary = b""
        self.json: dict[str, Any] = {"asset": {"version": "2.0"}, "accessors": [], "bufferViews": [], "nodes": [],
                                     "animations": [{"channels": [], "samplers": []}]}  # fmt: skip

    def add(self, array: np.ndarray, component: int = 5126, dtype: str = "<f4", **more: Any) -> int:
        array = np.atleast_2d(array.T).T
        view = {"buffer": 0, "byteOffset": len(self.binary), "byteLength": 0}
        self.binary += array.astype(dtype).tobytes()
        self.binary += bytes(-len(self.binary) % 4)
        self.json["bufferViews"].append(view)
        self.json["accessors"].append({"bufferView": len(self.json["bufferViews"]) - 1, "componentType": component,
                                       "count": len(array), "type": KINDS[array.shape[1]], **more})  # fmt: skip
        return len(self.json["accessors"]) - 1

    def animate(self, node: int, path: str, times: int, values: int, interpolation: str = "LINEAR") -> None:
        animation = self.json["animations"][0]
        animation["samplers"].append({"input": times, "output": values, "interpolation": interpolation})
        animation["channels"].append(
            {"sampler": len(animation["samplers"]) - 1, "target": {"node": node, "path": path}}
        )

    def glb(self, path: Path) -> Path:
        self.json["buffers"] = [{"byteLength": len(self.binary)}]
        text = json.dumps(self.json).encode()
        text += b" " * (-len(text) % 4)
        chunks = (
            struct.pack("<I4s", len(text), b"JSON")
            + text
            + struct.pack("<I4s", len(self.binary), b"BIN\0")
            + self.binary
        )
        path.write_bytes(struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks)
        return path

    def gltf(self, path: Path) -> Path:
        uri = "data:application/octet-stream;base64," + base64.b64encode(self.binary).decode()
        self.json["buffers"] = [{"byteLength": len(self.binary), "uri": uri}]
        path.write_text(json.dumps(self.json), encoding="utf-8")
        return path


def rigged(
    joints: np.ndarray, rig: str = "mixamo", fps: float = 20.0, kind: str = "LINEAR", scale: float = 0.01
) -> Document:
    """joints [T, 22, 3] as a rig below an armature that scales centimetres, as Blender and Mixamo write it."""
    document, offsets = Document(), rest_offsets(joints)
    turns = joint_rotations(joints, offsets)[..., [1, 2, 3, 0]]
    times = document.add(np.arange(len(joints)) / fps)
    for joint, name in enumerate(JOINTS):
        node: dict[str, Any] = {"name": RIGS[rig][name], "translation": (offsets[joint] / scale).tolist()}
        children = [child for child, parent in enumerate(PARENTS) if parent == joint]
        document.json["nodes"].append(node | ({"children": children} if children else {}))
        values = turns[:, joint]
        if kind == "CUBICSPLINE":
            values = np.stack([0 * values, values, 0 * values], axis=1).reshape(-1, 4)
        document.animate(joint, "rotation", times, document.add(values), kind)
    document.animate(0, "translation", times, document.add(joints[:, 0] / scale))
    document.json["nodes"].append({"name": "Armature", "scale": [scale] * 3, "children": [0]})
    document.json["skins"] = [{"joints": list(range(22))}]
    return document


def test_our_own_files_come_back(tmp_path: Path) -> None:
    body = load_body()
    for joints in (walk(21), turning(21)):
        wanted = Motion.from_joints(body.posed_joints(body.fit(joints)))
        motion, notes = read_motion(write_glb(joints, tmp_path / "a.glb"))
        assert len(motion) == 20 and notes == ()
        np.testing.assert_allclose(motion.joints, wanted.joints, atol=2e-3)
    assert len(load_motion(write_glb(walk(31), tmp_path / "b.glb", fps=30))) == 20


@pytest.mark.parametrize("rig", ["mixamo", "unreal", "unity", "unknown", "smpl"])
@pytest.mark.parametrize("kind", ["LINEAR", "STEP", "CUBICSPLINE"])
def test_rigs_of_others(tmp_path: Path, rig: str, kind: str) -> None:
    truth = Motion.from_joints(walk(21))
    for path in (
        rigged(walk(21), rig, kind=kind).glb(tmp_path / "a.glb"),
        rigged(walk(21), rig, kind=kind).gltf(tmp_path / "b.gltf"),
    ):
        motion, _ = read_motion(path)
        assert len(motion) == 20
        assert np.linalg.norm(motion.joints - truth.joints, axis=-1).mean() < 0.03


def test_bones_that_vrm_names(tmp_path: Path) -> None:
    document = rigged(walk(21), "unknown")
    bones = {RIGS["unity"][joint]: {"node": number} for number, joint in enumerate(JOINTS)}
    document.json["extensions"] = {"VRMC_vrm": {"humanoid": {"humanBones": bones}}}
    motion, notes = read_motion(document.glb(tmp_path / "a.glb"))
    assert not [note for note in notes if "shape" in note]
    named, _ = read_motion(rigged(walk(21), "unity").glb(tmp_path / "b.glb"))
    np.testing.assert_allclose(motion.joints, named.joints, atol=1e-5)


def test_rates_of_keys(tmp_path: Path) -> None:
    assert read_gltf(rigged(walk(31), fps=30.0).glb(tmp_path / "a.glb")).fps == 30
    assert read_gltf(rigged(walk(31), fps=24.0).glb(tmp_path / "a.glb")).fps == 24
    document = rigged(walk(21))
    uneven = np.sort(np.random.default_rng(0).uniform(0, 1, 21))
    start = document.json["bufferViews"][0]["byteOffset"]
    raw = uneven.astype("<f4").tobytes()
    document.binary = document.binary[:start] + raw + document.binary[start + len(raw) :]
    found = read_gltf(document.glb(tmp_path / "b.glb"))
    assert found.fps == 30 and "no steady rate" in found.notes[0]


def test_what_is_broken_is_one_sentence(tmp_path: Path) -> None:
    def broken(change: Any, words: str) -> None:
        document = rigged(walk(5))
        change(document)
        with pytest.raises(ValueError, match=words) as told:
            read_motion(document.glb(tmp_path / "bad.glb"))
        assert "bad.glb" in str(told.value)

    broken(lambda d: d.json.pop("animations"), "no animation")
    broken(lambda d: d.json.pop("asset"), "asset")
    broken(lambda d: d.json["nodes"][1].update(children=[0]), "no tree")
    broken(lambda d: d.json["nodes"][21].update(children=[21]), "no tree")
    broken(lambda d: d.json["accessors"][0].update(count=10**12), "longer than its buffer")
    broken(lambda d: d.json["accessors"][0].update(count="x"), "broken|bad.glb")
    broken(lambda d: d.json["accessors"][1].update(componentType=1), "broken")
    broken(lambda d: d.json["bufferViews"][0].update(extensions={"EXT_meshopt_compression": {}}), "compressed")
    broken(lambda d: d.json["animations"][0].update(channels=5), "broken")
    document = rigged(walk(5))
    document.gltf(tmp_path / "a.gltf")
    document.json["buffers"][0]["uri"] = "other.bin"
    (tmp_path / "a.gltf").write_text(json.dumps(document.json), encoding="utf-8")
    with pytest.raises(ValueError, match=r"one \.glb file"):
        read_motion(tmp_path / "a.gltf")
    long = Document()
    times = long.add(np.array([0.0, 1e7]))
    long.json["nodes"] = [{"name": "a"}]
    long.animate(0, "translation", times, long.add(np.zeros((2, 3))))
    with pytest.raises(ValueError, match=r"--fps|lasts"):
        read_motion(long.glb(tmp_path / "long.glb"))


def test_damaged_bytes_never_leave_the_door(tmp_path: Path) -> None:
    whole = rigged(walk(5)).glb(tmp_path / "a.glb").read_bytes()
    draw = np.random.default_rng(0)
    for _ in range(150):
        raw = bytearray(whole)
        for place in draw.integers(0, 9000, size=3):
            raw[place] = int(draw.integers(256))
        (tmp_path / "b.glb").write_bytes(raw[: int(draw.integers(20, len(raw)))] if draw.random() < 0.3 else raw)
        with contextlib.suppress(ValueError):  # all else would fail
            read_motion(tmp_path / "b.glb")


def test_normalised_integers(tmp_path: Path) -> None:
    document = Document()
    turn = Rotation.from_rotvec([[0, 0, 0], [0, 0, np.pi / 2]]).as_quat()
    times = document.add(np.array([0.0, 0.05]))
    values = document.add(np.round(turn * 32767), 5122, "<i2", normalized=True)
    document.json["nodes"] = [{"name": "a", "children": [1]}, {"name": "b", "translation": [1, 0, 0]}]
    document.animate(0, "rotation", times, values)
    found = read_gltf(document.glb(tmp_path / "a.glb"))
    np.testing.assert_allclose(found.positions[:, 1], [[1, 0, 0], [0, 1, 0]], atol=1e-4)


def test_arrays_are_decoded_once_and_never_lie_over_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[int] = []
    own = base64.b64decode
    monkeypatch.setattr(base64, "b64decode", lambda *given, **options: decoded.append(1) or own(*given, **options))
    read_gltf(rigged(walk(21)).gltf(tmp_path / "a.gltf"))
    assert len(decoded) == 1
    document = rigged(walk(400))
    accessors = document.json["accessors"]
    for accessor in list(accessors[1:]):
        accessors += [accessor] * 6
    samplers = document.json["animations"][0]["samplers"]
    for number, channel in enumerate(document.json["animations"][0]["channels"] * 6):
        samplers.append({"input": 0, "output": 24 + number})
        document.json["nodes"].append({"name": f"more {number}"})
        target = {"node": len(document.json["nodes"]) - 1, "path": channel["target"]["path"]}
        document.json["animations"][0]["channels"].append({"sampler": len(samplers) - 1, "target": target})
    with pytest.raises(ValueError, match="lie over each other"):
        read_gltf(document.glb(tmp_path / "b.glb"))


def test_frames_are_posed_alike_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = rigged(walk(21), kind="CUBICSPLINE").glb(tmp_path / "a.glb")
    whole = read_gltf(path).positions
    monkeypatch.setattr("scamo.io.gltf_read._CHUNK", 50)  # two frames
    np.testing.assert_allclose(read_gltf(path).positions, whole, atol=1e-12)
