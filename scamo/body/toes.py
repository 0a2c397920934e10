"""Toes bend up where they would go through the floor, as they do when a heel is raised.

Motions have no joint beyond the ball of the foot, so a shoe that is turned as its ankle is would go through the floor.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull

from scamo.rotation import quat_rotate

Array = NDArray[np.floating]

TOES = (10, 11)  # the joints at the balls of the feet
ANGLES = np.linspace(0, np.radians(70), 57)  # how far toes can bend
BENDS = np.stack([np.cos(ANGLES / 2), -np.sin(ANGLES / 2), 0 * ANGLES, 0 * ANGLES], axis=-1)
"""The same as quaternions wxyz about the x axis, to the figure's left, [57, 4]."""


def tip(points: Array) -> Array:
    """Of a toe's points [P, 3], seen from its joint with z ahead, those ahead that can be the lowest: their corners."""
    ahead = points[points[:, 2] > 0]
    return ahead[ConvexHull(ahead).vertices]


def toe_bends(tip_p3: Array, up_t3: Array, room_t: Array) -> NDArray[np.int64]:
    """The least bend of a toe in each frame that keeps it above the floor: places in BENDS, [T].

    tip: from `tip`. up: where the world's up is, seen from the toe's joint, unit vectors. room: how far the floor is
    below the joint, in the unit of tip. Where no bend is enough, the best.
    """
    bent_apc = quat_rotate(BENDS[:, None], tip_p3)
    lowest_ta = np.stack([(up_t3 @ points.T).min(axis=1) for points in bent_apc], axis=-1)
    is_clear = lowest_ta >= -room_t[:, None] - 1e-4
    return np.where(is_clear.any(axis=1), is_clear.argmax(axis=1), lowest_ta.argmax(axis=1))
