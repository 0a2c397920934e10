"""Which axis of a recording points up, in which unit it is, and what in it cannot be right."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from scamo.skeleton import bone_lengths

Array = NDArray[np.floating]
Axis = Literal["x", "y", "z", "-x", "-y", "-z"]

AXES: tuple[str, ...] = get_args(Axis)
UNITS = {"m": 1.0, "cm": 0.01, "mm": 0.001, "inch": 0.0254}
_UNIT_NAMES = {"cm": "centimetres", "mm": "millimetres", "inch": "inches"}
_LONGEST_LEG = 8.0  # metres; a longer leg is measured in another unit
_FLOOR = 0.3  # of a leg: how near to zero a floor is
_FARTHEST = 1e5  # metres from the origin
_LIMBS = (4, 5, 7, 8, 18, 19, 20, 21)


def turned_up(positions: Array, up: Axis) -> Array:
    """Positions [..., 3] whose up axis is `up`, turned so that Y is up. "-y": Y points down."""
    x, y, z = np.moveaxis(positions, -1, 0)
    x, y, z = {"x": (-y, x, z), "y": (x, y, z), "z": (x, z, -y)}[up[-1]]
    return np.stack((-x, -y, z) if up.startswith("-") else (x, y, z), axis=-1)


def find_up(positions: Array, head: Array, feet: Array, usual: Axis | None, leg: float) -> Axis:
    """The axis along which the head is above the feet on average.

    positions: [T, J, 3] of all joints; head, feet: [T, 3]; leg: its length; all in the file's unit. usual: the axis
    that the format or the rest pose has up. It holds where the figure tumbles, or lies on the floor of that axis.
    ValueError for a figure that hangs upside down, unless its hands are on the floor.
    """
    height = (head - feet).mean(0)
    axis = int(np.abs(height).argmax())
    if usual is not None and abs(height[axis]) < 0.5 * np.linalg.norm(head - feet, axis=-1).mean():
        return usual  # a cartwheel: no direction lasts
    if usual is not None and axis != "xyz".index(usual[-1]):
        sign = np.sign(height[axis])
        lies = _near_floor(positions[..., "xyz".index(usual[-1])], leg)
        if lies and not _near_floor(sign * positions[..., axis], leg):
            return usual
    letter: Axis = ("x", "y", "z")[axis]
    if height[axis] < 0 and not (letter == (usual or "y") and _near_floor(positions[..., axis], leg)):
        raise ValueError(
            f"the head is below the feet on average, so it is upside down; pass up=-{letter} (--up=-{letter}) if "
            f"{letter.upper()} points down, or the axis that points up"
        )
    return letter


def _near_floor(heights: Array, leg: float) -> bool:
    return bool(abs(heights.min()) < _FLOOR * leg)


def leg_length(joints: Array) -> float:
    """Thigh and shin of our joints [T, 22, 3], the mean of both sides in the first frame; in the joints' unit."""
    lengths = bone_lengths(joints[:1])[0]
    return float(lengths[[4, 5, 7, 8]].sum() / 2)


def find_unit(leg: float) -> str:
    """The unit in which a leg is this long. "m" for legs that a person may have in metres."""
    if leg <= _LONGEST_LEG:
        return "m"
    return next((unit for unit in ("cm", "inch", "mm") if 0.5 < leg * UNITS[unit] < 1.4), "cm")


def unit_note(unit: str) -> list[str]:
    """What is said of a unit that was found."""
    return [_UNIT_NAMES[unit]] if unit in _UNIT_NAMES else []


def check_places(joints: Array) -> None:
    """ValueError for joints that no body has: all in one point, or as far away as a number allows."""
    if np.abs(joints).max() > _FARTHEST:
        raise ValueError("its joints are farther away than any motion; it is damaged, or not in metres")
    if leg_length(joints) < 1e-6:
        raise ValueError("its joints are all in one point, or a leg has no length")


def find_faults(joints: Array, fps: float, up_is_known: bool = False) -> list[str]:
    """What is hardly right in joints [T, 22, 3] in metres, Y up: sentences without a full stop.

    up_is_known: no doubt about what is up, so that lying and hanging are no faults.
    """
    faults = [] if up_is_known else _doubts_about_up(joints)
    lowest = joints[..., 1].min(axis=1)
    gap = float(np.median(lowest) - lowest.min())
    if len(joints) > 4 and gap > 0.35:
        faults.append(f"the figure stands {gap:.2f} m over its lowest point most of the time: it floats, or its feet "
                      "go through the floor once")  # fmt: skip
    if len(joints) > 1:
        steps = np.linalg.norm(np.diff(joints[:, 0], axis=0), axis=-1)
        worst = int(steps.argmax())
        if steps[worst] > 0.5 and steps[worst] * fps > 15:
            faults.append(f"it jumps by {steps[worst]:.1f} m at frame {worst + 1}")
        lengths = bone_lengths(joints)[:, _LIMBS]
        low, high = np.percentile(lengths, [1, 99], axis=0)
        if ((high - low) > 0.25 * np.maximum(np.median(lengths, axis=0), 1e-9)).any():
            faults.append("its bones change their length by more than a quarter")
    toes = (joints[:, 10] - joints[:, 7]) + (joints[:, 11] - joints[:, 8])
    left = (joints[:, 1] - joints[:, 2]) + (joints[:, 16] - joints[:, 17])
    ahead = np.cross(left, joints[:, 12] - joints[:, 0])
    size = np.linalg.norm(toes, axis=-1) * np.linalg.norm(ahead, axis=-1)
    if (toes * ahead).sum(-1).mean() < -0.05 * size.mean():
        faults.append("its feet point backwards: left and right may be exchanged, or the file left-handed")
    return faults


def _doubts_about_up(joints: Array) -> list[str]:
    body = joints[:, 15] - (joints[:, 7] + joints[:, 8]) / 2
    steep = body[:, 1] / np.maximum(np.linalg.norm(body, axis=-1), 1e-9)
    if np.median(steep) < -0.3:
        return ["the figure is upside down most of the time; pass up= (--up) if another axis points up"]
    if np.abs(steep).max() < 0.4:
        return ["the figure lies all the time; pass up= (--up) if another axis points up"]
    return []


def without_rest_frame(joints: Array) -> tuple[Array, list[str]]:
    """Joints [T, 22, 3] without a first frame that is clearly the rig's rest pose, and what is said of it.

    Clearly: arms and legs are straight, the legs point down, the arms to the sides, and the body leaps from there into
    the second frame, much farther than it ever does afterwards.
    """
    if len(joints) < 4:
        return joints, []
    local = joints - joints[:, :1]
    leaps = np.linalg.norm(np.diff(local, axis=0), axis=-1).mean(axis=-1)
    if leaps[0] < max(2.5 * leaps[1:].max(), 0.03 * leg_length(joints)):
        return joints, []
    first = joints[0]
    left = first[16] - first[17]
    left = left / max(float(np.linalg.norm(left)), 1e-9)
    for hip, knee, ankle in ((1, 4, 7), (2, 5, 8)):
        thigh, shin = _direction(first[knee] - first[hip]), _direction(first[ankle] - first[knee])
        if thigh[1] > -0.95 or shin[1] > -0.95:
            return joints, []
    for shoulder, elbow, wrist, side in ((16, 18, 20, 1.0), (17, 19, 21, -1.0)):
        upper, lower = _direction(first[elbow] - first[shoulder]), _direction(first[wrist] - first[elbow])
        if upper @ lower < 0.95 or side * (upper @ left) < 0.6 or not -0.8 < upper[1] < 0.3:
            return joints, []
    return joints[1:], ["the first frame is the rig's rest pose and is left out"]


def _direction(bone: Array) -> Array:
    return bone / max(float(np.linalg.norm(bone)), 1e-9)
