"""Numbers and yes-or-no answers about a motion's joints, of which the checks of actions are made.

Joints are [T, 22, 3] in metres with Y up, at 20 frames a second.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from scamo.motion import FPS, first_facing

PELVIS, NECK, HEAD = 0, 12, 15
KNEES, ANKLES, TOES, ELBOWS, WRISTS = (4, 5), (7, 8), (10, 11), (18, 19), (20, 21)  # left, right
LEFT, RIGHT = 0, 1
STANDING = 0.8  # a pelvis over this height stands
SHOULDERS = 0.18  # below the neck joint
SEATED = 0.68  # one below sits, crouches, kneels or lies
SECOND = round(FPS)  # frames
QUARTER = SECOND // 4

Joints = NDArray[Any]


def forward_metres(joints: Joints) -> float:
    """Metres that the root moves along the facing: each frame's step, projected on the facing of that frame, in sum."""
    steps = np.diff(joints[:, PELVIS], axis=0)
    return float((steps * first_facing(joints[:-1])).sum())


def left_metres(joints: Joints) -> float:
    """Metres that the root moves to its left."""
    steps = np.diff(joints[:, PELVIS], axis=0)
    return float((steps * left_of(first_facing(joints[:-1]))).sum())


def turned_degrees(joints: Joints) -> float:
    """Heading at the end minus heading at the start, in degrees; left is positive."""
    facing = first_facing(joints)
    heading = np.unwrap(np.arctan2(facing[:, 0], facing[:, 2]))
    return float(np.degrees(heading[-1] - heading[0]))


def speed(joints: Joints) -> float:
    """Speed of the root over the floor in its fastest second, in metres a second."""
    step = np.linalg.norm(np.diff(joints[:, PELVIS], axis=0)[:, [0, 2]], axis=-1)
    return float(np.convolve(step, np.ones(SECOND), "valid").max()) if len(step) >= SECOND else float(step.sum())


def above_head(joints: Joints, side: int) -> bool:
    """Whether a wrist is above the head joint for a quarter of a second or more."""
    return int((joints[:, WRISTS[side], 1] > joints[:, HEAD, 1]).sum()) >= QUARTER


def raised(joints: Joints, side: int) -> bool:
    """Whether a wrist is at the height of the shoulders or over it for a quarter of a second or more.

    Feminine and old clips raise it no further.
    """
    return int((joints[:, WRISTS[side], 1] > joints[:, NECK, 1] - SHOULDERS).sum()) >= QUARTER


def sways(joints: Joints, side: int) -> int:
    """How often the wrist changes its sideways direction while it is raised."""
    across = left_of(first_facing(joints))
    wrist = joints[:, WRISTS[side]]
    offset = ((wrist - joints[:, PELVIS]) * across).sum(-1)[wrist[:, 1] > joints[:, NECK, 1] - SHOULDERS]
    moves = np.diff(offset)
    moves = moves[np.abs(moves) > 0.01]
    return int((np.sign(moves[1:]) != np.sign(moves[:-1])).sum())


def seconds_in_air(joints: Joints, clearance: float = 0.07) -> float:
    """The longest time that no toe and no ankle is near the height where it stood."""
    toes, ankles = joints[:, TOES, 1], joints[:, ANKLES, 1]
    free = (toes > np.quantile(toes, 0.1) + clearance).all(1) & (ankles > np.quantile(ankles, 0.1) + clearance).all(1)
    return longest_run(free) / FPS


def uprightness(joints: Joints) -> NDArray[np.float64]:
    """How upright the trunk is in every frame: 1 standing, 0 lying, -1 upside down."""
    trunk = joints[:, NECK] - joints[:, PELVIS]
    return np.asarray(trunk[:, 1] / np.linalg.norm(trunk, axis=-1).clip(1e-6))


def limb_speed(joints: Joints, joint: int) -> float:
    """The fastest that a joint moves beside the pelvis, in metres a second, over two frames."""
    own = joints[:, joint] - joints[:, PELVIS]
    return float(np.linalg.norm(own[2:] - own[:-2], axis=-1).max() * FPS / 2) if len(own) > 2 else 0.0


def foot_height(joints: Joints, side: int) -> float:
    """How high an ankle comes over the other one."""
    return float((joints[:, ANKLES[side], 1] - joints[:, ANKLES[1 - side], 1]).max())


def reach_forward(joints: Joints, side: int) -> NDArray[np.float64]:
    """How far in front of the neck a wrist is in every frame."""
    return np.asarray(((joints[:, WRISTS[side]] - joints[:, NECK]) * first_facing(joints)).sum(-1))


def left_of(facing: NDArray[Any]) -> NDArray[np.float64]:
    return np.stack([facing[:, 2], np.zeros(len(facing)), -facing[:, 0]], -1)


def longest_run(flags: NDArray[Any] | np.bool_) -> int:
    """The longest run of True."""
    edges = np.diff(np.concatenate([[0], np.asarray(flags, dtype=int), [0]]))
    lengths = np.flatnonzero(edges == -1) - np.flatnonzero(edges == 1)
    return int(lengths.max(initial=0))


def pelvis_height(joints: Joints) -> NDArray[np.float64]:
    return np.asarray(joints[:, PELVIS, 1])


def is_up(joints: Joints) -> bool:
    return bool(np.quantile(pelvis_height(joints), 0.1) > 0.72)


def one_hand_raised(joints: Joints, side: int) -> bool:
    return raised(joints, side) and not raised(joints, 1 - side) and speed(joints) < 1


def punches(joints: Joints, side: int) -> bool:
    """A wrist that shoots forward at the height of the chest."""
    reach = reach_forward(joints, side)
    rate = (reach[2:] - reach[:-2]) * FPS / 2
    height = joints[2:, WRISTS[side], 1] - joints[2:, NECK, 1]
    return bool(((rate > 0.6) & (reach[2:] > 0.22) & (np.abs(height) < 0.35)).any())


def is_inverted(joints: Joints) -> bool:
    return bool((uprightness(joints) < -0.3).sum() >= 3)


def kicks(joints: Joints, side: int) -> bool:
    return foot_height(joints, side) > 0.4 and limb_speed(joints, ANKLES[side]) > 2.5 and is_up(joints)


def height_at(joints: Joints, end: int) -> float:
    """The pelvis' height in the first (0) or last (-1) fifth of a second."""
    part = joints[-4:] if end else joints[:4]
    return float(part[:, PELVIS, 1].mean())


def end_uprightness(joints: Joints) -> float:
    return float(uprightness(joints)[-4:].mean())


def head_dip(joints: Joints) -> float:
    head = joints[:, HEAD, 1]
    lowest = int(head.argmin())
    return float(min(head[: lowest + 1].max(), head[lowest:].max()) - head[lowest])


def wrists_rise(joints: Joints) -> float:
    """How far the wrist that rises less comes up, over the pelvis."""
    return float(np.ptp(joints[:, WRISTS, 1] - joints[:, [PELVIS], 1], axis=0).min())


def low_seconds(joints: Joints) -> float:
    return longest_run(pelvis_height(joints) < SEATED) / FPS


def is_on_feet(joints: Joints) -> bool:
    """Whether no knee comes near the floor, nor the pelvis."""
    return bool(joints[:, KNEES, 1].min() > 0.08 and pelvis_height(joints).min() > 0.3)


def distance_reached(joints: Joints) -> float:
    """Metres from the first place of the root to the one furthest from it."""
    ground = joints[:, PELVIS][:, [0, 2]]
    return float(np.linalg.norm(ground - ground[0], axis=-1).max())


def above_neck_once(joints: Joints, wrist: int) -> bool:
    """Whether a wrist is ever above the neck."""
    return bool((joints[:, wrist, 1] > joints[:, NECK, 1]).any())


def kneels(joints: Joints) -> bool:
    knee_down = (joints[:, KNEES, 1] < 0.08).any(1) & (pelvis_height(joints) > 0.25) & (pelvis_height(joints) < 0.72)
    return longest_run(knee_down & (uprightness(joints) > 0.2)) >= QUARTER


def jacks(joints: Joints) -> int:
    """How often wrists rise over the head together while the ankles are apart."""
    over = (joints[:, WRISTS, 1] > joints[:, HEAD, 1][:, None]).all(1)
    apart = np.linalg.norm(np.diff(joints[:, ANKLES], axis=1)[:, 0], axis=-1) > 0.45
    return int((np.diff((over & apart).astype(int)) == 1).sum())


def turning(joints: Joints) -> float:
    facing = first_facing(joints)
    heading = np.degrees(np.unwrap(np.arctan2(facing[:, 0], facing[:, 2])))
    return float(np.ptp(heading))
