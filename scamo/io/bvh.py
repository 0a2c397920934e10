"""BVH files out: our skeleton, for Blender, MotionBuilder and Unreal. Reading is in `scamo.io.bvh_read`."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scamo.atomic import replacing_file
from scamo.io.animation import Animation, exact_poses, for_rig, rigid_poses
from scamo.io.export_rigs import EXPORT_RIGS, Unit, check_rig
from scamo.io.write_options import WriteOptions
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
    WriteOptions(unit=unit, fps=fps)  # type: ignore[arg-type]


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
