"""What a caller knows of a file better than the reader."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from scamo.io.frame_rates import MAX_FPS, MIN_FPS
from scamo.io.upright import AXES, UNITS, Axis

if TYPE_CHECKING:
    from scamo.body.smpl import SmplSkeleton


class ReadOptions(NamedTuple):
    """joints: our names -> the file's; up, fps, unit: the file's; skeleton: poses SMPL files. None: found by itself."""

    joints: Mapping[str, str] | None = None
    up: Axis | None = None
    fps: float | None = None
    unit: str | None = None
    skeleton: SmplSkeleton | None = None

    def check(self) -> None:
        """ValueError for an option that is none."""
        if self.unit is not None and self.unit not in list(UNITS):
            raise ValueError(f'There is no unit "{self.unit}"; choose from {", ".join(UNITS)}.')
        if self.up is not None and self.up not in AXES:
            raise ValueError(f'There is no up axis "{self.up}"; choose x, y or z, or -y where Y points down.')
        if self.joints is not None and not isinstance(self.joints, Mapping):
            raise ValueError("The joint map is no mapping; give our joint names with the file's, such as "
                             '{"left_hip": "LThigh"}.')  # fmt: skip
        number = isinstance(self.fps, (int, float, np.number)) and not isinstance(self.fps, bool)
        if self.fps is not None and not (number and MIN_FPS <= self.fps <= MAX_FPS):
            raise ValueError(f"A motion cannot run at {self.fps} frames a second; give a number such as 20.")
