"""Motions for game engines: in place, and in loops without a seam."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scamo.motion import FPS, first_facing
from scamo.skeleton import bone_lengths, checked_joints, with_bone_lengths

Array = NDArray[np.floating]

BLEND = 0.3  # seconds over which the end of a loop becomes its beginning
LONGEST_LOOP = 3_000  # frames: every moment is compared with every other
_FLOOR = np.array([1.0, 0.0, 1.0])


def for_engine(joints: Array, fps: float = FPS, *, in_place: bool = False, loop: bool = False) -> Array:
    """Prepare a motion for a game engine: keep it in place, or make it repeat without a seam, or both.

    joints [T, 22, 3] in metres, Y up -> float64 [t, 22, 3]; t is T, or for a loop at least half of T.

    loop: two moments, at least half of the motion apart, are chosen at which pose and movement over 0.3 s are most
    alike, wherever the figure stands and faces. The frames between them are kept, and the first 0.3 s fade over from
    the frames after the second moment. So the step from the last frame to the first is a step of the motion itself, for
    the root too, once the engine adds the place and heading that a cycle gains.
    in_place: the pelvis stays above one spot and keeps its height. In a loop the heading that a cycle gains is removed
    as well, evenly over the frames.

    ValueError if a motion to be looped is shorter than 0.9 s or longer than 3,000 frames.
    """
    joints = checked_joints(joints)
    gained = 0.0
    if loop:
        joints, gained = _cycle(joints, fps)
    if in_place:
        own = joints - joints[:, :1] * _FLOOR
        joints = _turned(own, -gained * np.arange(len(own))[:, None] / len(own)) + joints[0, 0] * _FLOOR
    return joints


def _cycle(joints: Array, fps: float) -> tuple[Array, float]:
    """A loop, and the heading in radians that it gains."""
    from scipy.spatial.distance import cdist

    blend = max(2, round(BLEND * fps))
    if not 3 * blend <= len(joints) <= LONGEST_LOOP:
        raise ValueError(
            f"A loop is made of {3 * blend / fps:.1f} seconds to {LONGEST_LOOP:,} frames and this motion has "
            f"{len(joints):,} frames at {fps:g} a second; make a longer one, or cut it."
        )
    forward = first_facing(joints)
    heading, place = np.arctan2(forward[:, 0], forward[:, 2]), joints[:, 0] * _FLOOR
    moments = np.arange(len(joints) - blend + 1)
    windows = joints[moments[:, None] + np.arange(blend)] - place[moments, None, None]  # seen from the figure
    windows = _turned(windows, -heading[moments, None, None]).reshape(len(moments), -1)
    gap = cdist(windows, windows)
    gap[moments[:, None] + max(blend, len(joints) // 2) > moments] = np.inf
    first, last = map(int, np.unravel_index(np.argmin(gap), gap.shape))

    gained = float(np.angle(np.exp(1j * (heading[last] - heading[first]))))
    after = _turned(joints[last : last + blend] - place[last], np.array(-gained)) + place[first]
    before = joints[first : first + blend]
    share = 0.5 + 0.5 * np.cos(np.pi * np.arange(blend) / blend)[:, None]
    lengths = share * bone_lengths(after) + (1 - share) * bone_lengths(before)
    mixed = share[..., None] * after + (1 - share[..., None]) * before
    mixed = with_bone_lengths(mixed, lengths.T[..., None])  # a mean of two poses has shorter bones than both
    return np.concatenate([mixed, joints[first + blend : last]]), gained


def _turned(points: Array, angle: Array) -> Array:
    """Points [..., 3] turned about Y by radians [...]; a positive angle turns +Z towards +X."""
    sine, cosine = np.sin(angle), np.cos(angle)
    x, y, z = np.moveaxis(points, -1, 0)
    return np.stack([x * cosine + z * sine, y, z * cosine - x * sine], axis=-1)
