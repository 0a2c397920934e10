"""BVH files out: our skeleton, for Blender, MotionBuilder and Unreal. Reading is in `scamo.io.bvh_read`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from scamo.atomic import replacing_file
from scamo.rotation import quat_conjugate, quat_multiply, quat_rotate, quat_to_matrix
from scamo.skeleton import JOINTS, PARENTS, checked_joints, joint_rotations, rest_offsets

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
    unit: Literal["m", "cm"] = "m",
    rigid: bool = False,
) -> Path:
    """Joints [T, 22, 3] in metres as BVH: HumanML3D's names and tree, T-pose offsets, rotations in the order Z, X, Y.

    The skeleton is the one that fits the recording best. Joints that leave it by more than 0.1 mm (a network's bones
    stretch a little) get position channels of their own, so that nothing is lost; rigid=True writes none, for rigs that
    only bend. unit: "m" is what Blender expects, "cm" what MotionBuilder and Unreal expect. ValueError for another unit
    or rate, or joints that are none.
    """
    joints = checked_joints(joints)
    check_bvh_options(fps, unit)
    scale = 1.0 if unit == "m" else 100.0
    offsets = rest_offsets(joints)
    rotations = joint_rotations(joints, offsets)
    places = _local_places(joints, rotations)
    loose = np.abs(places - offsets).max(axis=(0, 2)) > _STRETCH
    loose[0] = True
    if rigid:
        loose[1:] = False
    angles = _zxy_degrees(quat_to_matrix(rotations))
    columns: list[NDArray[np.floating]] = []
    for joint in _depth_first():
        if loose[joint]:
            columns.append(places[:, joint] * scale)
        columns.append(angles[:, joint])
    lines = ["HIERARCHY", *_hierarchy(offsets * scale, loose, scale)]
    lines += ["MOTION", f"Frames: {len(joints)}", f"Frame Time: {1 / fps:.9g}"]
    path = Path(path)
    with replacing_file(path) as temporary, temporary.open("w", encoding="ascii", newline="\n") as file:
        file.write("\n".join(lines) + "\n")
        np.savetxt(file, np.concatenate(columns, axis=1), fmt="%.6f")
    return path


def check_bvh_options(fps: float, unit: str) -> None:
    """ValueError for a frame rate or a unit that `write_bvh` does not write."""
    if unit not in ("m", "cm"):
        raise ValueError(f'There is no BVH unit "{unit}"; choose "m" (Blender) or "cm" (MotionBuilder, Unreal).')
    if not (np.isfinite(fps) and 0 < fps <= 10_000):
        raise ValueError(f"A BVH file cannot run at {fps} frames a second; pass 20 or 30.")


def _local_places(joints: NDArray[np.floating], rotations: NDArray[np.floating]) -> NDArray[np.floating]:
    """Every joint in its parent's frame, [T, 22, 3]; the root in the world."""
    places, world = joints.copy(), np.array(rotations)
    for joint in range(1, 22):
        parent = PARENTS[joint]
        world[:, joint] = quat_multiply(world[:, parent], rotations[:, joint])
        places[:, joint] = quat_rotate(quat_conjugate(world[:, parent]), joints[:, joint] - joints[:, parent])
    return places


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


def _children(joint: int) -> list[int]:
    return [child for child, parent in enumerate(PARENTS) if parent == joint]


def _depth_first(joint: int = 0) -> list[int]:
    return [joint, *(below for child in _children(joint) for below in _depth_first(child))]


def _hierarchy(
    offsets: NDArray[np.floating], loose: NDArray[np.bool_], scale: float, joint: int = 0, depth: int = 0
) -> list[str]:
    """The lines of one joint and of all below it."""
    tab = "\t" * depth
    kinds = [f"{axis}position" for axis in "XYZ"] if loose[joint] else []
    kinds += [f"{axis}rotation" for axis in "ZXY"]
    offset = np.zeros(3) if joint == 0 else offsets[joint]
    lines = [
        f"{tab}{'JOINT' if joint else 'ROOT'} {JOINTS[joint]}",
        f"{tab}{{",
        f"{tab}\tOFFSET " + " ".join(f"{value:.6f}" for value in offset),
        f"{tab}\tCHANNELS {len(kinds)} " + " ".join(kinds),
    ]
    for child in _children(joint):
        lines += _hierarchy(offsets, loose, scale, child, depth + 1)
    if joint in _TIPS:
        tip = " ".join(f"{scale * value:.6f}" for value in _TIPS[joint])
        lines += [f"{tab}\tEnd Site", f"{tab}\t{{", f"{tab}\t\tOFFSET {tip}", f"{tab}\t}}"]
    return [*lines, f"{tab}}}"]
