"""glTF 2.0 files in: a rig's nodes at every frame of the first animation, from .glb, .vrma or self-contained .gltf.

The file is JSON and arrays, so it is read without a library, as `scamo.io.gltf` writes it without one. Other files are
never opened: a .gltf file must carry its buffers itself.
"""

from __future__ import annotations

import base64
import binascii
import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation, Slerp

from scamo.io.bvh_read import MAX_JOINTS, MAX_PLACES
from scamo.io.frame_rates import check_length, rate_of_step
from scamo.numpy_files import reason_of

Array = NDArray[np.float64]

MAX_BYTES = 512 << 20
_COMPONENTS = {5120: "i1", 5121: "u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
_WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}
_FPS = 30.0  # at which keys without a steady rate are sampled
_CHUNK = 1 << 19  # frames x nodes that are posed at once


@dataclass(frozen=True, eq=False)
class GltfMotion:
    """The rig of a file. names, parents (-1 for a root, before its children); positions [T, J, 3] in metres, Y up."""

    names: tuple[str, ...]
    parents: tuple[int, ...]
    positions: Array
    fps: float
    notes: tuple[str, ...]


def read_gltf(path: str | Path) -> GltfMotion:
    """Read the first animation of a glTF file. ValueError says what is wrong with the file."""
    path = Path(path)
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"it is larger than {MAX_BYTES >> 20} MiB; cut it first")
    document, binary = _parts(path.read_bytes())
    if not isinstance(document, dict) or not isinstance(document.get("asset"), dict):
        raise ValueError("it is no glTF file: it lacks its asset; export it again")
    try:
        return _animated(document, _Buffers(document, binary))
    except (KeyError, IndexError, TypeError, AttributeError, struct.error, OverflowError) as error:
        raise ValueError(f"its glTF is broken ({type(error).__name__}: {reason_of(error)}); export it again") from error


def _parts(raw: bytes) -> tuple[Any, bytes]:
    """The JSON document, and the binary chunk of a .glb file."""
    try:
        if not raw.startswith(b"glTF"):
            return json.loads(raw), b""
        length, kind = struct.unpack_from("<I4s", raw, 12)
        if kind != b"JSON" or 20 + length > len(raw):
            raise ValueError("it is cut off")
        document, start = json.loads(raw[20 : 20 + length]), 20 + length
        if start + 8 > len(raw):
            return document, b""
        size, kind = struct.unpack_from("<I4s", raw, start)
        return document, raw[start + 8 : start + 8 + size] if kind == b"BIN\0" else b""
    except (RecursionError, struct.error, ValueError) as error:
        reason = "its JSON is nested too deeply" if isinstance(error, RecursionError) else reason_of(error)
        raise ValueError(f"it is no glTF file: {reason}; export it again") from error


class _Buffers:
    """Accessors by number, each decoded once and within the bounds of its buffer."""

    def __init__(self, document: Mapping[str, Any], binary: bytes) -> None:
        self._accessors = document.get("accessors", [])
        self._views = document.get("bufferViews", [])
        self._buffers = document.get("buffers", [])
        self._binary = binary
        self._decoded: dict[int, bytes] = {}
        self._arrays: dict[int, Array] = {}
        self._numbers = 0

    def _buffer(self, number: int) -> bytes:
        if number not in self._decoded:
            self._decoded[number] = self._read_buffer(number)
        return self._decoded[number]

    def _read_buffer(self, number: int) -> bytes:
        uri = self._buffers[number].get("uri")
        if uri is None:
            return self._binary
        if not isinstance(uri, str) or not uri.startswith("data:"):
            raise ValueError("its buffers are in other files; export it as one .glb file")
        try:
            return base64.b64decode(uri.split(",", 1)[-1], validate=True)
        except binascii.Error as error:
            raise ValueError(f"its buffer is damaged ({error})") from error

    def array(self, number: int) -> Array:
        """[N, width] as float64, normalised integers as fractions."""
        if number not in self._arrays:
            self._arrays[number] = self._read_array(number)
        return self._arrays[number]

    def _read_array(self, number: int) -> Array:
        accessor = self._accessors[number]
        if "sparse" in accessor or "bufferView" not in accessor:
            raise ValueError("its animation is sparse, which is not read; export it without compression")
        view = self._views[accessor["bufferView"]]
        if "EXT_meshopt_compression" in view.get("extensions", {}):
            raise ValueError("its animation is compressed, which is not read; export it without compression")
        dtype, width = np.dtype(_COMPONENTS[accessor["componentType"]]), _WIDTHS[accessor["type"]]
        count, item = int(accessor["count"]), dtype.itemsize * width
        stride = int(view.get("byteStride", 0)) or item
        start = int(view.get("byteOffset", 0)) + int(accessor.get("byteOffset", 0))
        data = self._buffer(view["buffer"])
        if count < 1 or stride < item or start < 0 or start + stride * (count - 1) + item > len(data):
            raise ValueError("an array is longer than its buffer; the file is cut off or damaged")
        self._numbers += count * width
        if self._numbers > sum(map(len, self._decoded.values())):  # a number takes a byte at least
            raise ValueError("its arrays lie over each other; export it again")
        raw = np.ndarray((count, width), dtype, data, start, (stride, dtype.itemsize)).astype(np.float64)
        if accessor.get("normalized") and dtype.kind != "f":
            raw = np.maximum(raw / np.iinfo(dtype).max, -1.0)
        if not np.isfinite(raw).all():
            raise ValueError("its animation holds values that are not finite")
        return raw


def _animated(document: Mapping[str, Any], buffers: _Buffers) -> GltfMotion:
    nodes = document.get("nodes", [])
    if not nodes or len(nodes) > MAX_JOINTS:
        raise ValueError(f"it has {len(nodes)} nodes; give a file with one rig")
    animations = document.get("animations", [])
    if not animations:
        raise ValueError("it has no animation; export it with one")
    order, parents = _tree(nodes)
    tracks: dict[tuple[int, str], tuple[Array, Array, str]] = {}
    for channel in animations[0]["channels"]:
        target = channel["target"]
        if "node" not in target or target["path"] not in ("translation", "rotation", "scale"):
            continue
        sampler = animations[0]["samplers"][channel["sampler"]]
        times = buffers.array(sampler["input"])[:, 0]
        if (np.diff(times) <= 0).any():
            raise ValueError("the times of its animation do not rise")
        key = int(target["node"]), str(target["path"])
        tracks[key] = times, buffers.array(sampler["output"]), sampler.get("interpolation", "LINEAR")
    if not tracks:
        raise ValueError("its animation moves no node")
    times, fps, notes = _frames([track[0] for track in tracks.values()], len(nodes))
    if len(animations) > 1:
        notes.append(f"it holds {len(animations)} animations; the first is read")
    names, kept = _rig_nodes(document, order)
    index = {node: place for place, node in enumerate(kept)}
    above = []
    for node in kept:
        parent = parents[node]
        while parent >= 0 and parent not in index:
            parent = parents[parent]
        above.append(index.get(parent, -1))
    positions = np.empty((len(times), len(kept), 3))
    step = max(1, _CHUNK // len(nodes))
    for start in range(0, len(times), step):
        part = slice(start, start + step)
        _pose(nodes, order, parents, tracks, times[part], index, positions[part])
    return GltfMotion(tuple(names[node] for node in kept), tuple(above), positions, fps, tuple(notes))


def _tree(nodes: Sequence[Mapping[str, Any]]) -> tuple[list[int], list[int]]:
    """Nodes in an order in which parents come first, and the parent of each."""
    parents = [-1] * len(nodes)
    for node, about in enumerate(nodes):
        for child in about.get("children", []):
            if not 0 <= child < len(nodes) or parents[child] >= 0:
                raise ValueError("its nodes are no tree")
            parents[child] = node
    order = [node for node, parent in enumerate(parents) if parent < 0]
    for node in order:
        order += nodes[node].get("children", [])
    if len(order) != len(nodes):
        raise ValueError("its nodes are no tree")
    return order, parents


def _frames(times: Sequence[Array], nodes: int) -> tuple[Array, float, list[str]]:
    """The instants at which the animation is sampled, and their rate: that of the keys, if they have a steady one."""
    longest = max(times, key=len)
    start, end = min(float(one[0]) for one in times), max(float(one[-1]) for one in times)
    steps, notes = np.diff(longest), list[str]()
    steady = len(steps) > 0 and float(np.ptp(steps)) < 0.02 * float(np.median(steps))
    fps = rate_of_step(f"{float(np.mean(steps)):.6f}") if steady and np.mean(steps) > 1e-4 else _FPS
    if not steady and len(steps):
        notes.append(f"its keys have no steady rate; they are sampled at {_FPS:g} fps")
    check_length(1, fps)
    frames = (end - start) * fps + 1
    check_length(int(min(frames, 1e9)), fps)
    if frames * nodes > MAX_PLACES:
        raise ValueError(f"it has {frames:.0f} frames of {nodes} nodes; cut it first")
    return start + np.arange(int(frames + 0.01)) / fps, fps, notes


def _rig_nodes(document: Mapping[str, Any], order: Sequence[int]) -> tuple[dict[int, str], list[int]]:
    """Names by node, and the nodes of the rig: the bones that VRM names, or a skin's joints, or all nodes."""
    nodes = document["nodes"]
    names = {node: str(nodes[node].get("name", f"node {node}")) for node in order}
    extensions = document.get("extensions", {})
    for extension in ("VRMC_vrm", "VRMC_vrm_animation", "VRM"):
        bones = extensions.get(extension, {}).get("humanoid", {}).get("humanBones", {})
        pairs = [(bone.get("bone"), bone.get("node")) for bone in bones] if isinstance(bones, list) else [
            (name, bone.get("node")) for name, bone in bones.items()]  # fmt: skip
        named = {int(node): str(name) for name, node in pairs if node in names}
        if len(named) >= 12:
            return named, [node for node in order if node in named]
    joints = {int(joint) for skin in document.get("skins", []) for joint in skin.get("joints", [])}
    return names, [node for node in order if node in joints] or list(order)


def _pose(
    nodes: Sequence[Mapping[str, Any]], order: Sequence[int], parents: Sequence[int],
    tracks: Mapping[tuple[int, str], tuple[Array, Array, str]], times: Array, index: Mapping[int, int],
    positions: Array,
) -> None:  # fmt: skip
    """Fill the positions [T, J, 3] in the world of the nodes in `index`, node -> place, at some instants."""
    world: dict[int, Array] = {}
    last = {parents[node]: place for place, node in enumerate(order)}
    done_after: dict[int, list[int]] = {}
    for place, node in enumerate(order):
        done_after.setdefault(last.get(node, place), []).append(node)
    for place, node in enumerate(order):
        about = nodes[node]
        if "matrix" in about:
            local = np.array(about["matrix"], dtype=np.float64).reshape(1, 4, 4).transpose(0, 2, 1)
        else:
            still = {"translation": (0, 0, 0), "rotation": (0, 0, 0, 1), "scale": (1, 1, 1)}
            moves = any((node, name) in tracks for name in still)
            at = times if moves else times[:1]  # one matrix for a node that keeps still
            parts = {name: _track(tracks.get((node, name)), about.get(name, usual), at, name == "rotation")
                     for name, usual in still.items()}  # fmt: skip
            local = np.tile(np.eye(4), (len(at), 1, 1))
            local[:, :3, :3] = Rotation.from_quat(parts["rotation"]).as_matrix() * parts["scale"][:, None, :]
            local[:, :3, 3] = parts["translation"]
        parent = parents[node]
        world[node] = local if parent < 0 else world[parent] @ local
        if node in index:
            positions[:, index[node]] = world[node][:, :3, 3]
        for done in done_after.get(place, ()):
            del world[done]


def _track(track: tuple[Array, Array, str] | None, still: Sequence[float], times: Array, turns: bool) -> Array:
    """A node's translation, rotation (x, y, z, w) or scale at every instant."""
    if track is None:
        return np.tile(np.array(still, dtype=np.float64), (len(times), 1))
    keys, values, interpolation = track
    if interpolation == "CUBICSPLINE":
        values = values.reshape(len(keys), 3, -1)
    if len(values) != len(keys) or values.shape[-1] != len(still):
        raise ValueError("an animation's keys do not fit its values")
    at = np.clip(times, keys[0], keys[-1])
    if len(keys) == 1:
        return np.tile(values[0, 1] if interpolation == "CUBICSPLINE" else values[0], (len(times), 1))
    before = np.clip(np.searchsorted(keys, at + 1e-6, side="right") - 1, 0, len(keys) - 2)
    step = (keys[before + 1] - keys[before])[:, None]
    share = np.clip((at - keys[before])[:, None] / step, 0, 1)
    if interpolation == "STEP":
        return values[np.where(share[:, 0] > 0.999, before + 1, before)]
    if interpolation == "CUBICSPLINE":
        a, b, s = values[before], values[before + 1], share
        found = ((2 * s**3 - 3 * s**2 + 1) * a[:, 1] + step * (s**3 - 2 * s**2 + s) * a[:, 2]
                 + (3 * s**2 - 2 * s**3) * b[:, 1] + step * (s**3 - s**2) * b[:, 0])  # fmt: skip
        return found
    if turns:
        return Slerp(keys, Rotation.from_quat(values))(at).as_quat()
    return values[before] * (1 - share) + values[before + 1] * share
