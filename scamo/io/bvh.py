"""BVH files: reading of any rig, writing of ours.

Reading gives the tree of joints and, for every frame, the place and rotation of each joint. Channels may have any order
and number; position channels of a joint replace its OFFSET, as in the files of capture systems.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from scamo.atomic import replacing_file
from scamo.io.animation import Animation, exact_poses, for_rig, rigid_poses
from scamo.io.export_rigs import EXPORT_RIGS, Unit, check_rig
from scamo.rotation import quat_rotate, quat_to_matrix

# The tips beyond the skeleton's ends, in metres: toes, skull, hands.
_TIPS = {
    10: (0.0, -0.01, 0.06),
    11: (0.0, -0.01, 0.06),
    15: (0.0, 0.18, 0.0),
    20: (0.08, 0.0, 0.0),
    21: (-0.08, 0.0, 0.0),
}
_STRETCH = 1e-4  # metres that a joint may leave its bone before it gets position channels of its own


@dataclass(frozen=True)
class BvhMotion:
    """The content of a BVH file, in the file's own units and axes.

    names, parents: the joints in file order (-1 for a root); offsets: [J, 3], rest position relative to the parent;
    positions: [T, J, 3] in the world; rotations: [T, J, 3, 3], joint frame -> world; fps: frames a second.
    """

    names: tuple[str, ...]
    parents: tuple[int, ...]
    offsets: NDArray[np.float64]
    positions: NDArray[np.float64]
    rotations: NDArray[np.float64]
    fps: float

    def joint(self, name: str) -> int:
        """Index of a joint by name; ValueError that lists the names the file has."""
        if name not in self.names:
            raise ValueError(f"The BVH file has no joint {name!r}; it has {', '.join(self.names)}.")
        return self.names.index(name)


def read_bvh(path: str | Path) -> BvhMotion:
    """Parse a BVH file and pose its skeleton at every frame. ValueError names the file and what is wrong with it."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8", errors="strict")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read as a BVH file: {error}.") from error
    head, found, body = text.partition("MOTION")
    if not found or "HIERARCHY" not in head:
        raise ValueError(f"{path} is not a BVH file: it lacks HIERARCHY or MOTION.")
    names, parents, offsets, channels = _parse_hierarchy(head, path)
    frames, seconds, values = _parse_motion(body, path)
    width = sum(len(c) for c in channels)
    if values.size != frames * width:
        raise ValueError(
            f"{path} announces {frames} frames of {width} channels but holds {values.size} numbers; it may be cut off."
        )
    if not np.isfinite(values).all():
        raise ValueError(f"{path} holds values that are not finite.")
    local_position, local_rotation = _local_transforms(values.reshape(frames, width), offsets, channels)
    positions = np.empty_like(local_position)
    rotations = np.empty_like(local_rotation)
    for joint, parent in enumerate(parents):
        if parent < 0:
            positions[:, joint], rotations[:, joint] = local_position[:, joint], local_rotation[:, joint]
        else:
            turned = np.einsum("tij,tj->ti", rotations[:, parent], local_position[:, joint])
            positions[:, joint] = positions[:, parent] + turned
            rotations[:, joint] = rotations[:, parent] @ local_rotation[:, joint]
    return BvhMotion(tuple(names), tuple(parents), offsets, positions, rotations, 1.0 / seconds)


def _parse_hierarchy(head: str, path: Path) -> tuple[list[str], list[int], NDArray[np.float64], list[list[str]]]:
    names: list[str] = []
    parents: list[int] = []
    offsets: list[list[float]] = []
    channels: list[list[str]] = []
    stack: list[int] = []
    words = iter(head.split())
    try:
        for word in words:
            if word in ("ROOT", "JOINT"):
                names.append(next(words))
                parents.append(stack[-1] if stack else -1)
                offsets.append([0.0, 0.0, 0.0])
                channels.append([])
            elif word == "End":
                next(words)  # "Site": a tip has an offset, no channels and no children, so it is skipped
                for _ in range(7 - 1):
                    next(words)  # { OFFSET x y z }
            elif word == "{":
                stack.append(len(names) - 1)
            elif word == "}":
                stack.pop()
            elif word == "OFFSET":
                offsets[-1] = [float(next(words)) for _ in range(3)]
            elif word == "CHANNELS":
                channels[-1] = [next(words).lower() for _ in range(int(next(words)))]
    except (StopIteration, ValueError, IndexError) as error:
        raise ValueError(f"{path}: the HIERARCHY part is broken ({error or 'it ends too early'}).") from error
    if not names:
        raise ValueError(f"{path}: the HIERARCHY part names no joint.")
    return names, parents, np.array(offsets), channels


def _parse_motion(body: str, path: Path) -> tuple[int, float, NDArray[np.float64]]:
    try:
        _, frames, rest = body.split(":", 1)[0], body.split(":", 1)[1].split(None, 1)[0], body.split(":", 2)[2]
        seconds, values = rest.split(None, 1) if len(rest.split(None, 1)) == 2 else (rest, "")
        step = float(seconds)
        if not 0 < step < 10:
            raise ValueError(f"a frame time of {step} s")
        return int(frames), step, np.array(values.split(), dtype=np.float64)
    except (IndexError, ValueError) as error:
        raise ValueError(f"{path}: the MOTION part is broken ({error}).") from error


def _local_transforms(
    values: NDArray[np.float64], offsets: NDArray[np.float64], channels: list[list[str]]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    frames, joints = len(values), len(offsets)
    position = np.tile(offsets, (frames, 1, 1))
    rotation = np.tile(np.eye(3), (frames, joints, 1, 1))
    column = 0
    for joint, names in enumerate(channels):
        block = values[:, column : column + len(names)]
        column += len(names)
        for i, name in enumerate(names):
            if name.endswith("position"):
                position[:, joint, "xyz".index(name[0])] = block[:, i]
        turns = [i for i, name in enumerate(names) if name.endswith("rotation")]
        if turns:
            order = "".join(names[i][0] for i in turns).upper()  # capitals: each turn is about the axes turned so far
            rotation[:, joint] = Rotation.from_euler(order, block[:, turns], degrees=True).as_matrix()
    return position, rotation


def write_bvh(
    joints: NDArray[np.floating],
    path: str | os.PathLike[str],
    fps: float = 20.0,
    *,
    rig: str = "humanml3d",
    unit: Unit | None = None,
    exact: bool = False,
    to_fps: float | None = None,
) -> Path:
    """Joints [T, 22, 3] in metres as BVH: rotations in the order Z, X, Y, positions of the root alone.

    Bones keep one length, as every importer expects: the motion is the closest one of a rigid skeleton, see
    `scamo.io.rigid`. exact=True keeps every joint where it is, to 0.1 mm: joints that stretch their bone get position
    channels of their own, which Blender reads and three.js adds to the bone's offset.
    rig: names and rest pose, a key of `EXPORT_RIGS`. unit: "m" is what Blender expects, "cm" what MotionBuilder, Unity
    and Unreal expect; default the rig's. to_fps: the file's frame rate, default `fps`. ValueError for another rig, unit
    or rate, or joints that are none.
    """
    poses = exact_poses(joints, fps) if exact else rigid_poses(joints, fps)
    check_bvh_options(fps if to_fps is None else to_fps, unit, rig)
    poses = poses.at_rate(fps if to_fps is None else to_fps)
    animation = for_rig(poses, EXPORT_RIGS[rig], rigid_root=True)
    return write_bvh_animation(animation, path, 100.0 if (unit or EXPORT_RIGS[rig].unit) == "cm" else 1.0)


def write_bvh_animation(animation: Animation, path: str | os.PathLike[str], scale: float = 1.0) -> Path:
    """An animation whose bones have no axes of their own as BVH. scale: the file's units in a metre."""
    loose = np.abs(animation.places - animation.rest_places).max(axis=(0, 2)) > _STRETCH
    loose[0] = True
    angles = _zxy_degrees(quat_to_matrix(animation.rotations))
    columns: list[NDArray[np.floating]] = []
    for bone in _depth_first(animation.parents):
        if loose[bone]:
            columns.append(animation.places[:, bone] * scale)
        columns.append(angles[:, bone])
    lines = ["HIERARCHY", *_hierarchy(animation, loose, scale)]
    lines += ["MOTION", f"Frames: {len(angles)}", f"Frame Time: {1 / animation.fps:.9g}"]
    path = Path(path)
    with replacing_file(path) as temporary, temporary.open("w", encoding="ascii", newline="\n") as file:
        file.write("\n".join(lines) + "\n")
        np.savetxt(file, np.concatenate(columns, axis=1), fmt="%.6f")
    return path


def check_bvh_options(fps: float, unit: str | None, rig: str) -> None:
    """ValueError for a frame rate, a unit or a rig that `write_bvh` does not write."""
    check_rig(rig)
    if unit not in (None, "m", "cm"):
        raise ValueError(f'There is no unit "{unit}"; choose "m" (Blender) or "cm" (MotionBuilder, Unreal).')
    if not (np.isfinite(fps) and 0 < fps <= 10_000):
        raise ValueError(f"A file cannot run at {fps} frames a second; pass 20 or 30.")


def _zxy_degrees(matrices: NDArray[np.floating]) -> NDArray[np.float64]:
    """Rotation matrices [T, J, 3, 3] = Rz Rx Ry -> angles z, x, y [T, J, 3] in degrees, without jumps in time."""
    x = np.arcsin(np.clip(matrices[..., 2, 1], -1.0, 1.0))
    locked = np.abs(matrices[..., 2, 1]) > 1 - 1e-9  # straight up or down, only z plus or minus y is defined
    z = np.where(locked, 0.0, np.arctan2(-matrices[..., 0, 1], matrices[..., 1, 1]))
    y = np.where(
        locked,
        np.arctan2(matrices[..., 0, 2], matrices[..., 0, 0]),
        np.arctan2(-matrices[..., 2, 0], matrices[..., 2, 2]),
    )
    return np.degrees(np.unwrap(np.stack([z, x, y], axis=-1), axis=0)).astype(np.float64)


def _depth_first(parents: tuple[int, ...], bone: int = 0) -> list[int]:
    below = [child for child, parent in enumerate(parents) if parent == bone]
    return [bone, *(other for child in below for other in _depth_first(parents, child))]


def _hierarchy(
    animation: Animation, loose: NDArray[np.bool_], scale: float, bone: int = 0, depth: int = 0
) -> list[str]:
    """The lines of one bone and of all below it."""
    tab = "\t" * depth
    kinds = [f"{axis}position" for axis in "XYZ"] if loose[bone] else []
    kinds += [f"{axis}rotation" for axis in "ZXY"]
    offset = animation.rest_places[bone] * scale if bone else np.zeros(3)
    lines = [
        f"{tab}{'JOINT' if bone else 'ROOT'} {animation.names[bone]}",
        f"{tab}{{",
        f"{tab}\tOFFSET " + " ".join(f"{value:.6f}" for value in offset),
        f"{tab}\tCHANNELS {len(kinds)} " + " ".join(kinds),
    ]
    for child in (child for child, parent in enumerate(animation.parents) if parent == bone):
        lines += _hierarchy(animation, loose, scale, child, depth + 1)
    if (joint := animation.joints[bone]) in _TIPS:
        tip = " ".join(f"{scale * value:.6f}" for value in quat_rotate(animation.turns[joint], np.array(_TIPS[joint])))
        lines += [f"{tab}\tEnd Site", f"{tab}\t{{", f"{tab}\t\tOFFSET {tip}", f"{tab}\t}}"]
    return [*lines, f"{tab}}}"]
