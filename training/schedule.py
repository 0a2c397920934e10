"""The learning-rate schedule: a warm-up, then a constant rate with one drop (multistep) or a cosine."""

from __future__ import annotations

import math


def learning_rate(
    step: int, steps: int, peak: float, schedule: str, warmup: float, milestone: float, final_share: float
) -> float:
    """Learning rate of a step (0-based) of a training of `steps` steps.

    It rises linearly over the share `warmup` of the steps. multistep stays at `peak` until the share `milestone` and is
    `final_share` of it afterwards; cosine falls to that share at the end (appendix Tab. 2 has both). Raises ValueError
    for an unknown schedule.
    """
    warm = max(1, round(warmup * steps))
    if step < warm:
        return peak * (step + 1) / warm
    if schedule == "multistep":
        return peak * (final_share if step >= milestone * steps else 1.0)
    if schedule == "cosine":
        done = (step - warm) / max(1, steps - warm)
        return peak * (final_share + (1 - final_share) * (1 + math.cos(math.pi * done)) / 2)
    raise ValueError(f"Unknown schedule {schedule!r}; choose multistep or cosine.")
