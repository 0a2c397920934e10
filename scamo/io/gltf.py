"""Binary glTF 2.0: a skinned figure with one animation, in metres, Y up, facing +Z.

The file is JSON and arrays, so it is written here without a library.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from scamo.atomic import replacing_file
from scamo.body.mannequin import vertex_normals
from scamo.body.smpl import Body, Pose, load_body
from scamo.render.mesh import body_colours
from scamo.render.scene import palettes
from scamo.render.stick import BONES, extend
from scamo.skeleton import JOINTS
from scamo.version import VERSION

Array = NDArray[np.floating]


def write_glb(
    joints: Array,
    path: str | os.PathLike[str],
    fps: float = 20.0,
    *,
    figure: Literal["mannequin", "stick"] = "mannequin",
    recipe: Mapping[str, Any] | None = None,
) -> Path:
    """Write joints [T, 22, 3] in metres as a skinned, animated figure: binary glTF 2.0, metres, Y up, facing +Z.

    The pose is the mannequin's, `Body.fit` of the joints. recipe goes into asset.extras. ValueError for another figure.
    """
    body = load_body()
    pose = body.fit(joints)
    if figure == "mannequin":
        mesh = _mannequin_mesh(body)
    elif figure == "stick":
        mesh = _stick_mesh(body.joints)
    else:
        raise ValueError(f'There is no figure "{figure}" for glTF; choose "mannequin" or "stick".')
    path = Path(path)
    with replacing_file(path) as temporary:
        temporary.write_bytes(_glb(mesh, body, pose, fps, dict(recipe or {}), f"scamo {figure}"))
    return path


@dataclass(frozen=True)
class _Mesh:
    positions: Array
    normals: Array
    faces: NDArray[np.integer]
    bones: NDArray[np.integer]  # [V, 4]
    weights: Array  # [V, 4]
    colours: Array  # [V, 3], linear light


def _mannequin_mesh(body: Body) -> _Mesh:
    strongest = np.argsort(-body.weights, axis=1)[:, :4]
    weights = np.take_along_axis(body.weights, strongest, axis=1)
    weights = weights / weights.sum(axis=1, keepdims=True)
    paint = body_colours(body, palettes(1, (1.0, 1.0, 1.0))[0])
    normals = vertex_normals(body.template, body.faces)
    return _Mesh(body.template, normals, body.faces, np.where(weights > 0, strongest, 0), weights, _linear(paint))


def _stick_mesh(rest: Array) -> _Mesh:
    """Tapered, eight-sided bones and a ball for the head, each fixed to one joint."""
    points = extend(rest[:22])
    colours = palettes(1, (1.0, 1.0, 1.0))[0]
    ring = np.linspace(0, 2 * np.pi, 8, endpoint=False)
    parts = []
    for start, end, first_radius, last_radius, side in BONES:
        a, b = points[start], points[end]
        along = (b - a) / np.linalg.norm(b - a) if start != end else np.array([0.0, 1.0, 0.0])
        across = np.cross(along, [0.3, 0.5, 0.8])
        across /= np.linalg.norm(across)
        circle = np.cos(ring)[:, None] * across + np.sin(ring)[:, None] * np.cross(along, across)
        caps = [(a, first_radius, bow) for bow in (-1.57, -0.8, 0.0)] + [
            (b, last_radius, bow) for bow in (0.0, 0.8, 1.57)
        ]
        normals = np.stack([np.cos(bow) * circle + np.sin(bow) * along for _, _, bow in caps])
        places = np.stack([centre + radius * normal for (centre, radius, _), normal in zip(caps, normals, strict=True)])
        index = np.arange(places.size // 3).reshape(places.shape[:2])
        beside = np.roll(index, -1, axis=1)
        quads = np.stack([index[:-1], beside[:-1], beside[1:], index[1:]], axis=-1).reshape(-1, 4)
        parts.append(
            (
                places,
                normals,
                quads[:, [0, 1, 2, 0, 2, 3]].reshape(-1, 3),
                min(start, 15) if start > 21 else start,
                side,
            )
        )
    each = parts[0][0].size // 3
    bones = np.zeros((len(parts) * each, 4), dtype=np.int64)
    bones[:, 0] = np.repeat([joint for *_, joint, _ in parts], each)
    return _Mesh(
        positions=np.concatenate([places for places, *_ in parts]).reshape(-1, 3),
        normals=np.concatenate([normals for _, normals, *_ in parts]).reshape(-1, 3),
        faces=np.concatenate([faces + i * each for i, (_, _, faces, *_) in enumerate(parts)]),
        bones=bones,
        weights=np.tile([1.0, 0.0, 0.0, 0.0], (len(bones), 1)),
        colours=_linear(np.repeat(np.array([colours[side] for *_, side in parts]), each, axis=0)),
    )


def _linear(srgb: Array) -> Array:
    """Colours as a screen shows them (sRGB) -> linear light, which glTF's vertex colours are."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


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


def _glb(mesh: _Mesh, body: Body, pose: Pose, fps: float, recipe: dict[str, Any], name: str) -> bytes:
    buffer = _Buffer()
    attributes, indices = _add_mesh(buffer, mesh)
    count = len(body.joints)
    inverse = np.tile(np.eye(4), (count, 1, 1))
    inverse[:, 3, :3] = -body.joints  # glTF keeps matrices column by column
    binds = buffer.add(inverse.reshape(count, 16).astype("<f4"), "MAT4")
    clay = {"baseColorFactor": [1.0, 1.0, 1.0, 1.0], "metallicFactor": 0.0, "roughnessFactor": 0.7}
    extras = json.loads(json.dumps(recipe, default=str), parse_constant=lambda _: None)  # JSON has no NaN
    document = {
        "asset": {"version": "2.0", "generator": f"ScaMo {VERSION}", "extras": extras},
        "scene": 0,
        "scenes": [{"name": "motion", "nodes": [0, 1]}],
        "nodes": [{"name": name, "mesh": 0, "skin": 0}, *_joint_nodes(body, pose)],
        "meshes": [{"name": name, "primitives": [{"attributes": attributes, "indices": indices, "material": 0}]}],
        "materials": [{"name": "clay", "pbrMetallicRoughness": clay}],
        "skins": [
            {"name": "skeleton", "inverseBindMatrices": binds, "skeleton": 1, "joints": list(range(1, count + 1))}
        ],
        "animations": [_animation(buffer, pose, fps)],
        "buffers": [{"byteLength": len(buffer.binary)}],
        "bufferViews": buffer.views,
        "accessors": buffer.accessors,
    }
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    text += b" " * (-len(text) % 4)
    length = 12 + 8 + len(text) + 8 + len(buffer.binary)
    head = struct.pack("<4sIII4s", b"glTF", 2, length, len(text), b"JSON")
    return head + text + struct.pack("<I4s", len(buffer.binary), b"BIN\0") + buffer.binary


def _add_mesh(buffer: _Buffer, mesh: _Mesh) -> tuple[dict[str, int], int]:
    vertex, index = 34962, 34963
    attributes = {
        "POSITION": buffer.add(mesh.positions.astype("<f4"), "VEC3", vertex, bounds=True),
        "NORMAL": buffer.add(_unit32(mesh.normals), "VEC3", vertex),
        "COLOR_0": buffer.add(np.insert(mesh.colours, 3, 1.0, axis=1).astype("<f4"), "VEC4", vertex),
        "JOINTS_0": buffer.add(mesh.bones.astype("u1"), "VEC4", vertex),
        "WEIGHTS_0": buffer.add(mesh.weights.astype("<f4"), "VEC4", vertex),
    }
    return attributes, buffer.add(mesh.faces.reshape(-1).astype("<u2"), "SCALAR", index)


def _joint_nodes(body: Body, pose: Pose) -> list[dict[str, Any]]:
    """Node i + 1 is joint i; the nodes are in the rest pose, at the place of the first frame."""
    nodes = []
    for joint, name in enumerate((*JOINTS, "left_hand", "right_hand")):
        place = body.joints[joint] - body.joints[body.parents[joint]] if joint else pose.root[0]
        node: dict[str, Any] = {"name": name, "translation": [float(value) for value in place]}
        children = [child + 1 for child, parent in enumerate(body.parents) if parent == joint]
        nodes.append(node | ({"children": children} if children else {}))
    return nodes


def _animation(buffer: _Buffer, pose: Pose, fps: float) -> dict[str, Any]:
    times = buffer.add((np.arange(len(pose.root)) / fps).astype("<f4"), "SCALAR", bounds=True)
    outputs = [("translation", 0, buffer.add(pose.root.astype("<f4"), "VEC3"))]
    for joint in range(22):
        xyzw = _unit32(pose.rotations[:, joint, [1, 2, 3, 0]])
        outputs.append(("rotation", joint, buffer.add(xyzw, "VEC4")))
    return {
        "name": "motion",
        "samplers": [{"input": times, "output": output, "interpolation": "LINEAR"} for _, _, output in outputs],
        "channels": [
            {"sampler": i, "target": {"node": joint + 1, "path": path}} for i, (path, joint, _) in enumerate(outputs)
        ],
    }


def _unit32(vectors: Array) -> NDArray[np.float32]:
    """Unit vectors in float32 whose length is 1 in float32 too, as validators require."""
    short = vectors.astype(np.float32).astype(np.float64)
    return (short / np.linalg.norm(short, axis=-1, keepdims=True)).astype("<f4")
