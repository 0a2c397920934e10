"""The layouts in which the field keeps motions in arrays."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from scamo.skeleton import bone_lengths

Array = NDArray[np.floating]

FEATURE_WIDTHS = (263, 251)
_MOTIONS = "a motion is features [frames, 263] or joints [frames, 22, 3] (tokens become features with `scamo tokenize`)"
_KIMODO_77 = {0: "pelvis", 1: "spine1", 2: "spine2", 3: "spine3", 4: "neck", 6: "head", 11: "left_collar",
              12: "left_shoulder", 13: "left_elbow", 14: "left_wrist", 39: "right_collar", 40: "right_shoulder",
              41: "right_elbow", 42: "right_wrist", 67: "left_hip", 68: "left_knee", 69: "left_ankle",
              70: "left_foot", 72: "right_hip", 73: "right_knee", 74: "right_ankle", 75: "right_foot"}  # fmt: skip
_KIMODO_30 = {0: "pelvis", 1: "spine1", 2: "spine2", 3: "spine3", 4: "neck", 6: "head", 10: "left_collar",
              11: "left_shoulder", 12: "left_elbow", 13: "left_wrist", 16: "right_collar", 17: "right_shoulder",
              18: "right_elbow", 19: "right_wrist", 22: "left_hip", 23: "left_knee", 24: "left_ankle",
              25: "left_foot", 26: "right_hip", 27: "right_knee", 28: "right_ankle", 29: "right_foot"}  # fmt: skip
_COCO = {5: "left_shoulder", 6: "right_shoulder", 7: "left_elbow", 8: "right_elbow", 9: "left_wrist",
         10: "right_wrist", 11: "left_hip", 12: "right_hip", 13: "left_knee", 14: "right_knee", 15: "left_ankle",
         16: "right_ankle"}  # fmt: skip


class Layout(NamedTuple):
    """Joints of a foreign order: whose it is, index -> our joint, and the frame rate that its files have."""

    name: str
    joints: dict[int, str]
    fps: float


LAYOUTS = {77: Layout("Kimodo's SOMA", _KIMODO_77, 30.0), 30: Layout("Kimodo's SOMA", _KIMODO_30, 30.0),
           17: Layout("COCO (AIST++)", _COCO, 60.0)}  # fmt: skip
"""By the number of joints."""


def checked_numbers(array: NDArray[Any], name: str = "it") -> NDArray[Any]:
    """The array; ValueError where it holds no real numbers, or some that are not finite."""
    if array.dtype.kind not in "fiu":
        raise ValueError(f"{name} holds {array.dtype} {list(array.shape)}; {_MOTIONS}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} holds NaN or infinite values; repair or cut those frames")
    return array


def as_motion(array: NDArray[Any]) -> NDArray[Any]:
    """Features [T, 263 or 251] or joints [T, J, 3] of an array in one of the field's layouts.

    [1, ...] of one motion; MDM's [22, 3, T]; joints in one row [T, 66]; the same with axes exchanged. ValueError says
    what the array is instead.
    """
    shape = list(array.shape)
    while array.ndim > 2 and array.shape[0] == 1 and (array.ndim > 3 or array.shape[-1] in (*FEATURE_WIDTHS, 66)):
        array = array[0]
    if array.ndim == 4 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim == 2 and array.shape[0] in FEATURE_WIDTHS and array.shape[1] not in (*FEATURE_WIDTHS, 66):
        array = array.T
    if array.ndim == 2 and array.shape[1] in FEATURE_WIDTHS:
        return checked_numbers(array)
    if array.ndim == 2 and array.shape[1] == 66:
        array = array.reshape(-1, 22, 3)
    if array.ndim == 3 and array.shape[:2] in ((22, 3), (24, 3)):
        array = array.transpose(2, 0, 1)
    elif array.ndim == 3 and array.shape[1:] in ((3, 22), (3, 24)):
        array = array.transpose(0, 2, 1)
    elif _is_by_joints(array):
        array = array.transpose(1, 0, 2)
    if array.ndim == 4:
        raise ValueError(f"it holds {shape[0]} motions, {shape}; save one of them, array[0]")
    if array.ndim == 3 and array.shape[1] == 34 and array.shape[2] == 3:
        raise ValueError("it holds the 34 joints of a robot (Unitree G1), which is no body of 22 joints")
    known = array.ndim == 3 and array.shape[2] == 3 and (array.shape[1] >= 22 or array.shape[1] in LAYOUTS)
    if not known or array.dtype.kind not in "fiu":
        raise ValueError(f"it holds {array.dtype} {shape}; {_MOTIONS}")
    if len(array) == 0:
        raise ValueError("it has no frames")
    return checked_numbers(array)


def _is_by_joints(array: NDArray[Any]) -> bool:
    """Whether an array [22, N, 3] holds N frames of 22 joints, and not 22 frames of N: bones keep their length."""
    if array.ndim != 3 or array.shape[0] not in (22, 24) or array.shape[1] < 22 or array.shape[2] != 3:
        return False
    if array.shape[1] in (22, 24, *LAYOUTS) or array.dtype.kind not in "fiu" or not np.isfinite(array).all():
        return False
    lengths = [bone_lengths(some[:, :22].astype(np.float64))[:, 1:] for some in (array, array.transpose(1, 0, 2))]
    spreads = [float((some.std(axis=0) / np.maximum(some.mean(axis=0), 1e-9)).mean()) for some in lengths]
    return spreads[1] < 0.1 and spreads[1] < 0.5 * spreads[0]


def named_joints(joints: Array) -> tuple[dict[str, Array], Layout] | None:
    """Joints [T, J, 3] of a foreign order by our names; None for those whose first 22 are ours."""
    layout = LAYOUTS.get(joints.shape[1])
    if layout is None:
        return None
    found = {ours: joints[:, index] for index, ours in layout.joints.items()}
    if joints.shape[1] == 17:
        found["head"] = (joints[:, 3] + joints[:, 4]) / 2  # between the ears
    return found, layout
