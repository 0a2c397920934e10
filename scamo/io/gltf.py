"""Binary glTF 2.0: a skinned figure with one animation (GLB), or the animation alone for VRM avatars (VRMA).

In metres, Y up, facing +Z. The file is JSON and arrays, so it is written here without a library.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scamo.atomic import replacing_file
from scamo.io.animation import Animation, for_rig, rigid_poses
from scamo.io.export_rigs import EXPORT_RIGS
from scamo.io.figure import Figure, FigureName, Mesh, build_figure
from scamo.rotation import quat_conjugate, quat_rotate, quat_to_matrix
from scamo.version import VERSION

Array = NDArray[np.floating]

_BALL = 0.03  # metres from the toe joint to the floor, for the rest pose of a figure without a skin


def write_glb(
    joints: Array,
    path: str | os.PathLike[str],
    fps: float = 20.0,
    *,
    figure: FigureName = "person",
    person: str = "neutral",
    rig: str = "humanml3d",
    to_fps: float | None = None,
    recipe: Mapping[str, Any] | None = None,
) -> Path:
    """Write joints [T, 22, 3] in metres as a skinned, animated figure: binary glTF 2.0, metres, Y up, facing +Z.

    The figure, its pose and `person`: see `build_figure`. rig: the bones' names, axes and rest pose, a key of
    `EXPORT_RIGS`. to_fps: the file's frame rate, default `fps`. recipe goes into asset.extras. ValueError for another
    figure, person or rig.
    """
    built = build_figure(joints, fps, figure, person=person, rig=rig, to_fps=to_fps)
    return _replace(path, _glb(built, dict(recipe or {}), f"scamo {figure}"))


def write_vrma(
    joints: Array,
    path: str | os.PathLike[str],
    fps: float = 20.0,
    *,
    to_fps: float | None = None,
    recipe: Mapping[str, Any] | None = None,
) -> Path:
    """Write joints [T, 22, 3] in metres as a VRM animation: the motion of VRM's humanoid bones, which any avatar takes.

    The bones are rigid, see `fit_rigid`. to_fps: the file's frame rate, default `fps`. recipe goes into asset.extras.
    """
    poses = rigid_poses(joints, fps).at_rate(fps if to_fps is None else to_fps)
    animation = for_rig(poses, EXPORT_RIGS["vrm"], below=_BALL)
    buffer = _Buffer()
    bones = {name: {"node": bone} for bone, name in enumerate(animation.names)}
    document = {
        "asset": _asset(dict(recipe or {})),
        "scene": 0,
        "scenes": [{"name": "motion", "nodes": [0]}],
        "nodes": _bone_nodes(animation, 0),
        "animations": [_animation(buffer, animation, 0)],
        "extensionsUsed": ["VRMC_vrm_animation"],
        "extensions": {"VRMC_vrm_animation": {"specVersion": "1.0", "humanoid": {"humanBones": bones}}},
    }
    return _replace(path, _packed(document, buffer))


def _replace(path: str | os.PathLike[str], content: bytes) -> Path:
    path = Path(path)
    with replacing_file(path) as temporary:
        temporary.write_bytes(content)
    return path


class _Buffer:
    """The binary part of a file and its table of contents."""

    def __init__(self) -> None:
        self.binary = b""
        self.views: list[dict[str, Any]] = []
        self.accessors: list[dict[str, Any]] = []

    def add(self, array: NDArray[Any], kind: str, target: int | None = None, bounds: bool = False) -> int:
        """Append an array [N, ...] and return its accessor. bounds: also write the smallest and largest values."""
        raw = np.ascontiguousarray(array)
        component = {"f4": 5126, "u2": 5123, "u1": 5121}[raw.dtype.str[1:]]
        view = {"buffer": 0, "byteOffset": len(self.binary), "byteLength": raw.nbytes}
        self.views.append(view | ({"target": target} if target else {}))
        self.binary += raw.tobytes() + bytes(-raw.nbytes % 4)
        accessor = {"bufferView": len(self.views) - 1, "componentType": component, "count": len(raw), "type": kind}
        if bounds:
            flat = raw.reshape(len(raw), -1)
            accessor |= {"min": flat.min(axis=0).tolist(), "max": flat.max(axis=0).tolist()}
        self.accessors.append(accessor)
        return len(self.accessors) - 1


def _glb(figure: Figure, recipe: dict[str, Any], name: str) -> bytes:
    mesh, animation, places, rotations = figure
    buffer = _Buffer()
    attributes, indices = _add_mesh(buffer, mesh)
    count = len(places)
    inverse = np.tile(np.eye(4), (count, 1, 1))  # column by column: the transposed matrices
    inverse[:, :3, :3] = quat_to_matrix(rotations)
    inverse[:, 3, :3] = quat_rotate(quat_conjugate(rotations), -places)
    binds = buffer.add(inverse.reshape(count, 16).astype("<f4"), "MAT4")
    matt = {"baseColorFactor": [1.0, 1.0, 1.0, 1.0], "metallicFactor": 0.0, "roughnessFactor": 0.7}
    document = {
        "asset": _asset(recipe),
        "scene": 0,
        "scenes": [{"name": "motion", "nodes": [0, 1]}],
        "nodes": [{"name": name, "mesh": 0, "skin": 0}, *_bone_nodes(animation, 1)],
        "meshes": [{"name": name, "primitives": [{"attributes": attributes, "indices": indices, "material": 0}]}],
        "materials": [{"name": "painted", "pbrMetallicRoughness": matt}],
        "skins": [
            {"name": "skeleton", "inverseBindMatrices": binds, "skeleton": 1, "joints": list(range(1, count + 1))}
        ],
        "animations": [_animation(buffer, animation, 1)],
    }
    return _packed(document, buffer)


def _asset(recipe: dict[str, Any]) -> dict[str, Any]:
    extras = json.loads(json.dumps(recipe, default=str), parse_constant=lambda _: None)  # JSON has no NaN
    return {"version": "2.0", "generator": f"ScaMo {VERSION}", "extras": extras}


def _packed(document: dict[str, Any], buffer: _Buffer) -> bytes:
    """The document and its arrays in one binary file."""
    document |= {
        "buffers": [{"byteLength": len(buffer.binary)}],
        "bufferViews": buffer.views,
        "accessors": buffer.accessors,
    }
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    text += b" " * (-len(text) % 4)
    length = 12 + 8 + len(text) + 8 + len(buffer.binary)
    head = struct.pack("<4sIII4s", b"glTF", 2, length, len(text), b"JSON")
    return head + text + struct.pack("<I4s", len(buffer.binary), b"BIN\0") + buffer.binary


def _add_mesh(buffer: _Buffer, mesh: Mesh) -> tuple[dict[str, int], int]:
    vertex, index = 34962, 34963
    attributes = {
        "POSITION": buffer.add(mesh.positions.astype("<f4"), "VEC3", vertex, bounds=True),
        "NORMAL": buffer.add(_unit32(mesh.normals), "VEC3", vertex),
        "COLOR_0": buffer.add(np.insert(mesh.colours, 3, 1.0, axis=1).astype("<f4"), "VEC4", vertex),
        "JOINTS_0": buffer.add(mesh.bones.astype("u1"), "VEC4", vertex),
        "WEIGHTS_0": buffer.add(mesh.weights.astype("<f4"), "VEC4", vertex),
    }
    return attributes, buffer.add(mesh.faces.reshape(-1).astype("<u2"), "SCALAR", index)


def _bone_nodes(animation: Animation, first: int) -> list[dict[str, Any]]:
    """A node for every bone, the first of them number `first`, in the rest pose."""
    nodes = []
    for bone, name in enumerate(animation.names):
        node: dict[str, Any] = {"name": name, "translation": [float(x) for x in animation.rest_places[bone]]}
        turn = animation.rest_rotations[bone]
        if abs(turn[0]) < 1 - 1e-12:
            node["rotation"] = [float(x) for x in turn[[1, 2, 3, 0]]]
        children = [child + first for child, parent in enumerate(animation.parents) if parent == bone]
        nodes.append(node | ({"children": children} if children else {}))
    return nodes


def _animation(buffer: _Buffer, animation: Animation, first: int) -> dict[str, Any]:
    """Translations of the pelvis and of the root bone below it, rotations of our 22 joints."""
    times = np.arange(len(animation.places)) / animation.fps
    clock = buffer.add(times.astype("<f4"), "SCALAR", bounds=True)
    outputs = []
    for bone, joint in enumerate(animation.joints):
        if joint <= 0:
            outputs.append(("translation", bone, buffer.add(animation.places[:, bone].astype("<f4"), "VEC3")))
        if 0 <= joint < 22:
            xyzw = _unit32(animation.rotations[:, bone][:, [1, 2, 3, 0]])
            outputs.append(("rotation", bone, buffer.add(xyzw, "VEC4")))
    return {
        "name": "motion",
        "samplers": [{"input": clock, "output": output, "interpolation": "LINEAR"} for _, _, output in outputs],
        "channels": [
            {"sampler": i, "target": {"node": bone + first, "path": path}} for i, (path, bone, _) in enumerate(outputs)
        ],
    }


def _unit32(vectors: Array) -> NDArray[np.float32]:
    """Unit vectors in float32 whose length is 1 in float32 too, as validators require."""
    short = vectors.astype(np.float32).astype(np.float64)
    return (short / np.linalg.norm(short, axis=-1, keepdims=True)).astype("<f4")
