"""How the call of a target may end beside a plain ValueError, and what the search takes for nonsense."""

from __future__ import annotations

import numpy as np


class Nonsense(Exception):
    """Something was accepted that is no motion, recipe or model."""


class Bare(Exception):
    """Something was refused in a way that tells nobody what is wrong."""


class Refused(ValueError):
    """Refused in words: what a command printed, or the page showed."""


def check_joints(joints: np.ndarray, fps: float) -> None:
    """Nonsense where no body can have these joints."""
    if not len(joints) or not np.isfinite(joints).all() or np.abs(joints).max() > 1e6:
        raise Nonsense(f"joints {joints.shape} up to {np.abs(joints).max() if joints.size else 0:g} m")
    if np.ptp(joints.reshape(-1, 3), axis=0).max() < 1e-6:
        raise Nonsense("all joints are in one point")
    if not 0.5 <= fps <= 10_000 or len(joints) / fps > 3600:
        raise Nonsense(f"{len(joints)} frames at {fps} a second")
