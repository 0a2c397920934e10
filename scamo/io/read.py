"""Motion files in: one reader for the library, the page and training.

    load_motion("walk.bvh")            -> Motion
    load_joints("walk.bvh", up="z")    -> joints [T, 22, 3] in metres, Y up, and the file's frame rate

npy     features [T, 263] (or KIT-ML's [T, 251]), joints [T, 22 or more, 3] or [T, 66]
npz     SMPL parameters, ours and AMASS's, see `scamo.io.smpl_npz`
bvh     any rig that `scamo.io.retarget` knows, or one whose joints are named
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from scamo.io.bvh_read import read_bvh
from scamo.io.retarget import Axis, find_rig, find_up, retarget, turned_up
from scamo.io.smpl_npz import read_smpl
from scamo.motion import FPS, Motion
from scamo.skeleton import JOINTS, checked_joints

if TYPE_CHECKING:
    from scamo.body.smpl import SmplSkeleton

Array = NDArray[np.floating]

READABLE = (".npy", ".npz", ".bvh")
UNITS = {"m": 1.0, "cm": 0.01, "mm": 0.001, "inch": 0.0254}
_LONGEST_LEG = 8.0  # metres; a leg that is longer is measured in centimetres
_FEATURE_WIDTHS = (263, 251)


def load_motion(
    path: str | os.PathLike[str],
    *,
    joints: Mapping[str, str] | None = None,
    up: Axis | None = None,
    fps: float | None = None,
    unit: str | None = None,
) -> Motion:
    """Read a motion from a file.

    Joints are resampled to 20 fps and brought to the canonical skeleton and place; one frame is lost to the velocities.
    Features are taken as they are. joints, up, fps, unit: see `load_joints`; features have neither up axis nor unit.
    ValueError says what the file is instead.
    """
    path = Path(path)
    if path.suffix.lower() == ".npy":
        array = _load_npy(path)
        if _are_features(array):
            return Motion(array, FPS if fps is None else fps)
    found, rate = load_joints(path, joints=joints, up=up, fps=fps, unit=unit)
    try:
        return Motion.from_joints(found, rate)
    except ValueError as error:
        raise ValueError(f'"{path}": {error}') from error


def load_joints(
    path: str | os.PathLike[str],
    *,
    joints: Mapping[str, str] | None = None,
    up: Axis | None = None,
    fps: float | None = None,
    unit: str | None = None,
    trunk: Literal["file", "ours"] = "file",
    skeleton: SmplSkeleton | None = None,
) -> tuple[Array, float]:
    """Read the joints [T, 22, 3] of a file, in metres, Y up, at its own place and frame rate: (joints, fps).

    joints: for a BVH file of an unknown rig, our joint names (`scamo.skeleton.JOINTS`) -> the file's. up: the axis that
    points up. Default: Y, the axis that a .npz file names, or for a retargeted rig the axis from its feet to its head.
    fps: the frame rate, if the file's is wrong or missing (.npy files have none; default 20). unit: "m", "cm", "mm" or
    "inch"; default: metres, or centimetres for legs longer than 8 units. trunk: "ours" also retargets rigs with all 22
    joints, unless their skeleton is ours. skeleton: the body that poses a .npz file (default the mannequin). A
    retargeted rig gets HumanML3D's bone lengths, so its unit does not matter. ValueError says what is wrong with the
    file.
    """
    path = Path(path)
    if path.suffix.lower() not in READABLE:
        raise ValueError(f'"{path}" is no motion file; give one that ends in {", ".join(READABLE)}.')
    if not path.is_file():
        raise ValueError(f'There is no file "{path}".')
    if unit is not None and unit not in UNITS:
        raise ValueError(f'There is no unit "{unit}"; choose from {", ".join(UNITS)}.')
    if up is not None and up not in ("x", "y", "z"):
        raise ValueError(f'There is no up axis "{up}"; choose x, y or z.')
    if fps is not None and not (np.isfinite(fps) and fps > 0):
        raise ValueError(f"A motion cannot run at {fps} frames a second; give a number such as 20.")
    scale = None if unit is None else UNITS[unit]
    if path.suffix.lower() == ".bvh":
        found, rate = _read_bvh(path, joints, up, scale, trunk)
    else:
        found, rate = _read_npy(path) if path.suffix.lower() == ".npy" else _read_npz(path, skeleton, up)
        if up is not None and path.suffix.lower() == ".npy":
            found = turned_up(found, up)
        found = found if scale is None else found * scale
    return checked_joints(found), rate if fps is None else fps


def _load_npy(path: Path) -> NDArray[Any]:
    if not path.is_file():
        raise ValueError(f'There is no file "{path}".')
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError, MemoryError) as error:  # a header may claim any size
        raise ValueError(f'"{path}" cannot be read as a numpy file: {error}') from error


def _are_features(array: NDArray[Any]) -> bool:
    return array.ndim == 2 and array.shape[1] in _FEATURE_WIDTHS


def _read_npy(path: Path) -> tuple[Array, float]:
    array = _load_npy(path)
    if _are_features(array):
        return np.asarray(Motion(array).skeleton_joints, dtype=np.float64), FPS
    if array.ndim == 2 and array.shape[1] == 66:
        array = array.reshape(-1, 22, 3)
    if array.ndim != 3 or array.shape[1] < 22 or array.shape[2] != 3 or array.dtype.kind not in "fiu":
        raise ValueError(
            f'"{path}" holds {array.dtype} {list(array.shape)}; a motion is features [frames, 263] or joints '
            "[frames, 22, 3] (tokens become features with `scamo tokenize`)."
        )
    return array[:, :22], FPS


def _read_npz(path: Path, skeleton: SmplSkeleton | None, up: Axis | None) -> tuple[Array, float]:
    found = read_smpl(path)
    if up is not None:
        found = replace(found, up=up)
    return found.joints(skeleton), found.fps or FPS


def _read_bvh(
    path: Path, names: Mapping[str, str] | None, up: Axis | None, scale: float | None, trunk: str
) -> tuple[Array, float]:
    recording = read_bvh(path)
    try:
        if len(recording.positions) == 0:
            raise ValueError("it has no frames")
        rig, at = find_rig(recording.names, names)
        positions: Array = recording.positions
        if set(at) >= set(JOINTS) and (rig.is_ours or trunk == "file"):
            joints: Array = positions[:, [at[joint] for joint in JOINTS]]
            joints = joints if up is None else turned_up(joints, up)
            if scale is None:
                leg = float(np.linalg.norm(joints[0, [4, 7]] - joints[0, [1, 4]], axis=-1).sum())
                scale = 0.01 if leg > _LONGEST_LEG else 1.0
            return joints * scale, recording.fps
        positions = turned_up(positions, up or find_up(positions, at))
        return retarget({joint: positions[:, place] for joint, place in at.items()}), recording.fps
    except ValueError as error:
        raise ValueError(f'"{path}": {error}') from error
