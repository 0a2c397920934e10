"""Read all animations of a binary glTF file (.glb): where every joint of the first skin is, frame by frame.

``scamo.io.gltf_read`` reads the first animation of files of any kind; libraries of animations hold dozens in one file.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation, Slerp

from training.data.readers.posed_rig import PosedRig

_TYPES = {5120: "i1", 5121: "u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
_WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}


def read_glb(path: Path, fps: float = 60.0) -> dict[str, PosedRig]:
    """Every animation of a file by its name, sampled at ``fps``; keys are joined by straight lines.

    Units and axes are the file's (glTF: metres, Y up). ValueError names the file and what is wrong with it.
    """
    try:
        tree, binary = _chunks(path.read_bytes())
        joints = tree["skins"][0]["joints"]
        return {
            animation.get("name", str(number)): _pose(tree, binary, animation, joints, fps)
            for number, animation in enumerate(tree.get("animations", ()))
        }
    except (OSError, KeyError, IndexError, ValueError, struct.error) as error:
        raise ValueError(f"{path} cannot be read as a GLB file with a skin: {error!r}.") from error


def _chunks(data: bytes) -> tuple[dict[str, Any], bytes]:
    magic, _, length = struct.unpack_from("<4sII", data)
    if magic != b"glTF" or length > len(data):
        raise ValueError("it is no GLB file, or was cut off")
    size, _ = struct.unpack_from("<I4s", data, 12)
    return json.loads(data[20 : 20 + size]), data[28 + size :]


def _accessor(tree: dict[str, Any], binary: bytes, number: int) -> np.ndarray:
    """The numbers of an accessor, float64 [count, width]."""
    accessor = tree["accessors"][number]
    view = tree["bufferViews"][accessor["bufferView"]]
    kind, width = np.dtype(_TYPES[accessor["componentType"]]), _WIDTHS[accessor["type"]]
    start = view.get("byteOffset", 0) + accessor.get("byteOffset", 0)
    if view.get("byteStride", kind.itemsize * width) != kind.itemsize * width:
        raise ValueError("it interleaves its numbers, which this reader does not know")
    values = np.frombuffer(binary, kind, accessor["count"] * width, start).reshape(-1, width).astype(np.float64)
    if accessor.get("normalized") and kind.kind in "iu":
        values = np.maximum(values / np.iinfo(kind).max, -1.0)
    return values


def _pose(tree: dict[str, Any], binary: bytes, animation: dict[str, Any], joints: list[int], fps: float) -> PosedRig:
    nodes = tree["nodes"]
    parents = {child: parent for parent, node in enumerate(nodes) for child in node.get("children", ())}
    tracks: dict[tuple[int, str], tuple[np.ndarray, np.ndarray]] = {}
    for channel in animation["channels"]:
        sampler = animation["samplers"][channel["sampler"]]
        times, values = (_accessor(tree, binary, sampler[key]) for key in ("input", "output"))
        if sampler.get("interpolation") == "CUBICSPLINE":
            values = values[1::3]
        tracks[channel["target"]["node"], channel["target"]["path"]] = times[:, 0], values
    seconds = max(times[-1] for times, _ in tracks.values())
    at = np.arange(0.0, seconds + 1e-6, 1 / fps)
    world: dict[int, np.ndarray] = {}

    def matrices(node: int) -> np.ndarray:
        """Node frame -> world, [T, 4, 4]."""
        if node not in world:
            own = np.tile(np.eye(4), (len(at), 1, 1))
            if "matrix" in nodes[node]:
                own[:] = np.array(nodes[node]["matrix"]).reshape(4, 4).T
            else:
                scale = _sampled(tracks.get((node, "scale")), nodes[node].get("scale", (1, 1, 1)), at)
                own[:, :3, :3] = _turned(tracks.get((node, "rotation")), nodes[node].get("rotation", (0, 0, 0, 1)), at)
                own[:, :3, :3] *= scale[:, None]
                rest = nodes[node].get("translation", (0, 0, 0))
                own[:, :3, 3] = _sampled(tracks.get((node, "translation")), rest, at)
            world[node] = matrices(parents[node]) @ own if node in parents else own
        return world[node]

    whole = np.stack([matrices(joint) for joint in joints], axis=1)
    names = tuple(nodes[joint].get("name", str(joint)) for joint in joints)
    over = tuple(joints.index(parents[joint]) if parents.get(joint) in joints else -1 for joint in joints)
    return PosedRig(names, over, whole[..., :3, 3], fps)


def _sampled(track: tuple[np.ndarray, np.ndarray] | None, rest: Any, at: np.ndarray) -> np.ndarray:
    if track is None:
        return np.tile(np.array(rest, dtype=np.float64), (len(at), 1))
    times, values = track
    return np.stack([np.interp(at, times, column) for column in values.T], axis=-1)


def _turned(track: tuple[np.ndarray, np.ndarray] | None, rest: Any, at: np.ndarray) -> np.ndarray:
    if track is None or len(track[0]) == 1:
        one = Rotation.from_quat(np.array(rest, dtype=np.float64) if track is None else track[1][0])
        return np.tile(one.as_matrix(), (len(at), 1, 1))
    times, values = track
    return Slerp(times, Rotation.from_quat(values))(np.clip(at, times[0], times[-1])).as_matrix()
