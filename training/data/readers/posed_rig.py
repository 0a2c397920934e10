"""What the readers of file formats give: a rig's joints at every frame, in the file's own units and axes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class PosedRig:
    """names and parents (-1 for a root) of J joints; positions float64 [T, J, 3] in the world; fps: frames a second."""

    names: tuple[str, ...]
    parents: tuple[int, ...]
    positions: np.ndarray
    fps: float
