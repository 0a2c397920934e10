"""Binary FBX 7.4: a skinned figure with one animation, Y up, facing +Z, for Unreal, Unity, Maya and Blender.

A file is a tree of named nodes with typed properties (`_encoded`). The scene is a list of objects with numbers, and of
connections between them (`_Scene`). Autodesk publishes no specification; Blender's notes on the format are the source:
https://code.blender.org/2013/08/fbx-binary-file-format-specification/
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from scamo.atomic import replacing_file
from scamo.io.animation import Animation
from scamo.io.export_rigs import Unit, check_rig
from scamo.io.figure import Figure, FigureName, Mesh, bound_at_rest, build_figure
from scamo.rotation import quat_to_matrix
from scamo.version import VERSION

Array = NDArray[np.floating]

_VERSION = 7400
_TICKS = 46_186_158_000  # of FBX's clock in a second
# Readers check these three against each other; they belong to this moment.
_TIME = "1970-01-01 10:00:00:000"
_FILE_ID = bytes.fromhex("28b32aebb624ccc2bfc8b02aa92bfcf1")
_FOOT_ID = bytes.fromhex("fabcab09d0c8d466b176fb831cf7267e")
_END = bytes.fromhex("f85a8c6adef5d97eece90ce3758f290b")


def write_fbx(
    joints: Array,
    path: str | os.PathLike[str],
    fps: float = 20.0,
    *,
    figure: FigureName = "person",
    person: str = "neutral",
    rig: str = "humanml3d",
    unit: Unit | None = None,
    to_fps: float | None = None,
) -> Path:
    """Write joints [T, 22, 3] in metres as a skinned, animated figure: binary FBX 7.4, Y up, facing +Z.

    The figure, its pose and `person`: see `build_figure`. rig: names, axes and rest pose, a key of `EXPORT_RIGS`.
    unit: "cm" (default) or "m"; the file names it, so importers that read it give the same size. to_fps: the file's
    frame rate, default `fps`. ValueError for another figure, rig or unit.
    """
    check_rig(rig)
    if unit not in (None, "m", "cm"):
        raise ValueError(f'There is no unit "{unit}"; choose "cm" (what FBX files are in) or "m".')
    built = bound_at_rest(build_figure(joints, fps, figure, person=person, rig=rig, to_fps=to_fps))
    path = Path(path)
    with replacing_file(path) as temporary:
        temporary.write_bytes(_fbx(built, 1.0 if unit == "m" else 100.0))
    return path


class _Node(NamedTuple):
    """One node of the file: a name, properties, nodes below it.

    Properties: int is int32, np.int64 is int64, float is double, str, bytes, and arrays of float32, float64, int32 or
    int64.
    """

    name: str
    properties: tuple[Any, ...] = ()
    children: tuple[_Node, ...] = ()


def _encoded(nodes: Sequence[_Node], start: int) -> bytes:
    """Nodes as bytes that begin at `start` in the file, with the empty node that ends a list."""
    out = b""
    for node in nodes:
        properties = b"".join(map(_property, node.properties))
        name = node.name.encode("ascii")
        head = 13 + len(name)
        below = start + len(out) + head + len(properties)
        # Readers of Autodesk's expect the end of a list, though it is empty, in these two cases.
        has_list = node.children or not node.properties or node.name == "AnimationLayer"
        children = _encoded(node.children, below) if has_list else b""
        sizes = struct.pack("<IIIB", below + len(children), len(node.properties), len(properties), len(name))
        out += sizes + name + properties + children
    return out + bytes(13)


def _property(value: Any) -> bytes:
    if isinstance(value, np.ndarray):
        kind = {"f4": b"f", "f8": b"d", "i4": b"i", "i8": b"l"}[value.dtype.str[1:]]
        raw = np.ascontiguousarray(value, value.dtype.newbyteorder("<")).tobytes()
        packed = zlib.compress(raw)
        return kind + struct.pack("<III", value.size, 1, len(packed)) + packed  # 1: compressed
    if isinstance(value, np.int64):
        return b"L" + struct.pack("<q", value)
    if isinstance(value, int):
        return b"I" + struct.pack("<i", value)
    if isinstance(value, float):
        return b"D" + struct.pack("<d", value)
    raw = value.encode("utf-8") if isinstance(value, str) else value
    return (b"S" if isinstance(value, str) else b"R") + struct.pack("<I", len(raw)) + raw


class _Scene:
    """The objects of a scene and the connections between them."""

    def __init__(self) -> None:
        self.objects: list[_Node] = []
        self.connections: list[_Node] = []

    def add(self, kind: str, name: str, subclass: str, *children: _Node, label: str | None = None) -> np.int64:
        """Add an object and return its number. label: what follows its name, default `kind`."""
        number = np.int64(1000 + len(self.objects))
        self.objects.append(_Node(kind, (number, f"{name}\0\1{label or kind}", subclass), children))
        return number

    def connect(self, child: np.int64, parent: np.int64, slot: str | None = None) -> None:
        """Put an object under another, or on its property `slot`; number 0 is the scene."""
        self.connections.append(_Node("C", ("OO", child, parent) if slot is None else ("OP", child, parent, slot)))


def _value(name: str, kind: str, *values: Any, flags: str = "") -> _Node:
    second = {"Lcl Translation": "", "Lcl Rotation": "", "double": "Number", "int": "Integer", "KTime": "Time"}
    return _Node("P", (name, kind, second.get(kind, ""), flags, *values))


def _properties(*values: _Node) -> _Node:
    return _Node("Properties70", (), values)


def _fbx(figure: Figure, scale: float) -> bytes:
    """The whole file. scale: its units in a metre."""
    scene = _Scene()
    bones = _add_bones(scene, figure.animation, scale)
    _add_mesh(scene, figure, bones, scale)
    _add_animation(scene, figure.animation, bones, scale)
    length = np.int64(round((len(figure.animation.places) - 1) / figure.animation.fps * _TICKS))
    settings = _properties(
        *(_value(f"{axis}Axis{end}", "int", value) for axis, value in (("Up", 1), ("Front", 2), ("Coord", 0))
          for end, value in (("", value), ("Sign", 1))),
        _value("UnitScaleFactor", "double", 100.0 / scale),
        _value("OriginalUnitScaleFactor", "double", 100.0 / scale),
        _value("TimeMode", "enum", 14),  # the rate that follows
        _value("CustomFrameRate", "double", float(figure.animation.fps)),
        _value("TimeSpanStart", "KTime", np.int64(0)),
        _value("TimeSpanStop", "KTime", length),
    )  # fmt: skip
    creator = f"ScaMo {VERSION}"
    kinds = ["GlobalSettings", *(node.name for node in scene.objects)]
    counts = [_Node("ObjectType", (kind,), (_Node("Count", (kinds.count(kind),)),)) for kind in dict.fromkeys(kinds)]
    document = _Node("Document", (np.int64(1), "Scene", "Scene"), (_Node("RootNode", (np.int64(0),)),))
    nodes = [
        _Node("FBXHeaderExtension", (), (
            _Node("FBXHeaderVersion", (1003,)), _Node("FBXVersion", (_VERSION,)), _Node("EncryptionType", (0,)),
            _Node("Creator", (creator,)),
        )),
        _Node("FileId", (_FILE_ID,)),
        _Node("CreationTime", (_TIME,)),
        _Node("Creator", (creator,)),
        _Node("GlobalSettings", (), (_Node("Version", (1000,)), settings)),
        _Node("Documents", (), (_Node("Count", (1,)), document)),
        _Node("References"),
        _Node("Definitions", (), (_Node("Version", (100,)), _Node("Count", (len(kinds),)), *counts)),
        _Node("Objects", (), tuple(scene.objects)),
        _Node("Connections", (), tuple(scene.connections)),
        _Node("Takes", (), (_Node("Current", ("motion",)),)),
    ]  # fmt: skip
    head = b"Kaydara FBX Binary  \0\x1a\0" + struct.pack("<I", _VERSION)
    out = head + _encoded(nodes, len(head)) + _FOOT_ID + bytes(4)
    out += bytes(16 - len(out) % 16)
    return out + struct.pack("<I", _VERSION) + bytes(120) + _END


def _add_bones(scene: _Scene, animation: Animation, scale: float) -> list[np.int64]:
    """The bones at rest; returns their numbers."""
    angles = _xyz_degrees(animation.rest_rotations[None])[0]
    numbers: list[np.int64] = []
    for bone, parent in enumerate(animation.parents):
        name = animation.names[bone]
        number = scene.add(
            "Model", name, "LimbNode",
            _Node("Version", (232,)),
            _properties(
                _value("InheritType", "enum", 1),  # rotations and scales of parents are inherited in order
                _value("Lcl Translation", "Lcl Translation", *_floats(animation.rest_places[bone] * scale), flags="A"),
                _value("Lcl Rotation", "Lcl Rotation", *_floats(angles[bone]), flags="A"),
            ),
        )  # fmt: skip
        skeleton = scene.add("NodeAttribute", name, "LimbNode", _Node("TypeFlags", ("Skeleton",)))
        scene.connect(skeleton, number)
        scene.connect(number, numbers[parent] if parent >= 0 else np.int64(0))
        numbers.append(number)
    return numbers


def _add_mesh(scene: _Scene, figure: Figure, bones: Sequence[np.int64], scale: float) -> None:
    """The skin with its material, bound to the bones, and the pose in which it is bound."""
    mesh, animation, places, rotations = figure
    geometry = scene.add("Geometry", "figure", "Mesh", *_geometry(mesh, scale))
    model = scene.add("Model", "figure", "Mesh", _Node("Version", (232,)))
    material = scene.add(
        "Material", "painted", "", _Node("Version", (102,)), _Node("ShadingModel", ("lambert",)),
        _properties(_value("DiffuseColor", "Color", 0.9, 0.88, 0.84, flags="A")),
    )  # fmt: skip
    skin = scene.add("Deformer", "skin", "Skin", _Node("Version", (101,)))
    for child, parent in ((geometry, model), (material, model), (model, np.int64(0)), (skin, geometry)):
        scene.connect(child, parent)
    binds = np.tile(np.eye(4), (len(places), 1, 1))
    binds[:, :3, :3], binds[:, :3, 3] = quat_to_matrix(rotations), places * scale
    for bone, bind in enumerate(binds):
        weights = np.where(mesh.bones == bone, mesh.weights, 0.0).sum(axis=1)
        held = np.flatnonzero(weights > 0)
        cluster = scene.add(
            "Deformer", animation.names[bone], "Cluster",
            _Node("Version", (100,)),
            *((_Node("Indexes", (held.astype("i4"),)), _Node("Weights", (weights[held].astype("f8"),)))
              if len(held) else ()),
            _Node("Transform", (_matrix(np.linalg.inv(bind)),)),
            _Node("TransformLink", (_matrix(bind),)),
            label="SubDeformer",
        )  # fmt: skip
        scene.connect(cluster, skin)
        scene.connect(bones[bone], cluster)
    placed = [(model, np.eye(4)), *zip(bones, binds, strict=True)]
    scene.add(
        "Pose", "bind", "BindPose",
        _Node("Type", ("BindPose",)), _Node("Version", (100,)), _Node("NbPoseNodes", (len(placed),)),
        *(_Node("PoseNode", (), (_Node("Node", (number,)), _Node("Matrix", (_matrix(matrix),))))
          for number, matrix in placed),
    )  # fmt: skip


def _geometry(mesh: Mesh, scale: float) -> list[_Node]:
    corners = mesh.faces.astype("i4")
    polygons = corners.copy()
    polygons[:, 2] = -1 - polygons[:, 2]  # the last corner of a polygon is marked so
    shown = np.where(mesh.colours <= 0.0031308, 12.92 * mesh.colours, 1.055 * mesh.colours ** (1 / 2.4) - 0.055)
    shown = np.insert(shown, 3, 1.0, axis=1)  # FBX's colours are as a screen shows them (sRGB), and opaque
    normals = _Node("LayerElementNormal", (0,), (
        _Node("Version", (101,)), _Node("Name", ("",)), _Node("MappingInformationType", ("ByPolygonVertex",)),
        _Node("ReferenceInformationType", ("Direct",)),
        _Node("Normals", (mesh.normals[corners].astype("f8").reshape(-1),)),
    ))  # fmt: skip
    colours = _Node("LayerElementColor", (0,), (
        _Node("Version", (101,)), _Node("Name", ("colour",)), _Node("MappingInformationType", ("ByPolygonVertex",)),
        _Node("ReferenceInformationType", ("IndexToDirect",)), _Node("Colors", (shown.astype("f8").reshape(-1),)),
        _Node("ColorIndex", (corners.reshape(-1),)),
    ))  # fmt: skip
    materials = _Node("LayerElementMaterial", (0,), (
        _Node("Version", (101,)), _Node("Name", ("",)), _Node("MappingInformationType", ("AllSame",)),
        _Node("ReferenceInformationType", ("IndexToDirect",)), _Node("Materials", (np.zeros(1, "i4"),)),
    ))  # fmt: skip
    elements = [
        _Node("LayerElement", (), (_Node("Type", (layer.name,)), _Node("TypedIndex", (0,))))
        for layer in (normals, colours, materials)
    ]
    return [
        _Node("Vertices", ((mesh.positions * scale).astype("f8").reshape(-1),)),
        _Node("PolygonVertexIndex", (polygons.reshape(-1),)),
        _Node("GeometryVersion", (124,)),
        normals,
        colours,
        materials,
        _Node("Layer", (0,), (_Node("Version", (100,)), *elements)),
    ]


def _add_animation(scene: _Scene, animation: Animation, bones: Sequence[np.int64], scale: float) -> None:
    """One stack with one layer: translations of pelvis and root bone, rotations of our 22 joints."""
    times = np.round(np.arange(len(animation.places)) / animation.fps * _TICKS).astype("i8")
    span = _properties(*(
        _value(name, "KTime", np.int64(time))
        for name, time in (("LocalStart", 0), ("LocalStop", times[-1]), ("ReferenceStart", 0),
                           ("ReferenceStop", times[-1]))
    ))  # fmt: skip
    stack = scene.add("AnimationStack", "motion", "", span, label="AnimStack")
    layer = scene.add("AnimationLayer", "motion", "", label="AnimLayer")
    scene.connect(layer, stack)
    angles = _xyz_degrees(animation.rotations)
    for bone, joint in enumerate(animation.joints):
        tracks = [("Lcl Translation", "T", animation.places[:, bone] * scale)] if joint <= 0 else []
        tracks += [("Lcl Rotation", "R", angles[:, bone])] if 0 <= joint < 22 else []
        for slot, name, values in tracks:
            start = _properties(*(_value(f"d|{axis}", "Number", float(values[0, i])) for i, axis in enumerate("XYZ")))
            node = scene.add("AnimationCurveNode", name, "", start, label="AnimCurveNode")
            scene.connect(node, layer)
            scene.connect(node, bones[bone], slot)
            for i, axis in enumerate("XYZ"):
                curve = scene.add("AnimationCurve", "", "", *_curve(times, values[:, i]), label="AnimCurve")
                scene.connect(curve, node, f"d|{axis}")


def _curve(times: NDArray[np.int64], values: Array) -> list[_Node]:
    return [
        _Node("Default", (float(values[0]),)),
        _Node("KeyVer", (4008,)),
        _Node("KeyTime", (times,)),
        _Node("KeyValueFloat", (values.astype("f4"),)),
        _Node("KeyAttrFlags", (np.array([4], "i4"),)),  # linear between keys, the same for all of them
        _Node("KeyAttrDataFloat", (np.zeros(4, "f4"),)),
        _Node("KeyAttrRefCount", (np.array([len(times)], "i4"),)),
    ]


def _xyz_degrees(rotations: Array) -> Array:
    """Quaternions [T, J, 4] -> FBX's angles x, y, z [T, J, 3] in degrees (Rz Ry Rx), as steady in time as they can be.

    Of the two triples that give the same rotation, and of their full turns, the one nearest the frame before is taken.
    """
    m = quat_to_matrix(rotations)
    y = np.arcsin(np.clip(-m[..., 2, 0], -1.0, 1.0))
    locked = np.abs(m[..., 2, 0]) > 1 - 1e-9  # only x plus or minus z is defined
    x = np.where(locked, np.arctan2(-m[..., 1, 2], m[..., 1, 1]), np.arctan2(m[..., 2, 1], m[..., 2, 2]))
    z = np.where(locked, 0.0, np.arctan2(m[..., 1, 0], m[..., 0, 0]))
    angles = np.stack([x, y, z], axis=-1)
    other = np.stack([x + np.pi, np.pi - y, z + np.pi], axis=-1)
    for frame in range(1, len(angles)):
        before = angles[frame - 1]
        near, far = (
            some + 2 * np.pi * np.round((before - some) / (2 * np.pi)) for some in (angles[frame], other[frame])
        )
        is_far = np.abs(far - before).sum(-1, keepdims=True) < np.abs(near - before).sum(-1, keepdims=True)
        angles[frame] = np.where(is_far, far, near)
    return np.degrees(angles)


def _matrix(matrix: Array) -> Array:
    """A matrix as FBX stores it, column by column."""
    return matrix.T.astype("f8").reshape(-1)


def _floats(values: Array) -> list[float]:
    return [float(value) for value in values]
