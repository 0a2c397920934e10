"""Frame rates: the rate behind a rounded frame time, and the bounds of a motion that is read."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

import numpy as np

_USUAL = (30.0, 60.0, 120.0, 20.0, 24.0, 25.0, 50.0, 100.0, 240.0, 10.0, 12.0, 12.5, 15.0, 40.0, 48.0, 72.0, 75.0,
          80.0, 90.0, 96.0, 125.0, 144.0, 150.0, 180.0, 200.0, 250.0, 300.0, 360.0, 400.0, 480.0, 500.0)  # fmt: skip
_FILM = tuple(rate * 1000 / 1001 for rate in (30, 60, 24, 120))  # 29.97 and its kin

MIN_FPS, MAX_FPS = 1.0, 10_000.0
MAX_SECONDS = 1800.0  # of a motion that is read: half an hour, as long as the longest takes of AMASS


def rate_of_step(step: str) -> float:
    """Frames a second of a frame time as text: "0.0333333" is 30, "0.0333667" is 29.97, "0.0083" is 120.

    The usual rate that rounds (or is cut off) to the text's decimals; for a time that no usual rate has, 1 / step.
    ValueError where the text is no positive number.
    """
    try:
        number = Decimal(step)
    except InvalidOperation as error:
        raise ValueError(f'a frame time of "{step[:20]}"') from error
    seconds = float(number)
    if not 0 < seconds < float("inf"):
        raise ValueError(f'a frame time of "{step[:20]}"')
    exponent = number.as_tuple().exponent
    last_digit = 10.0 ** max(exponent, -300) if isinstance(exponent, int) else 0.0
    for room in (0.501 * last_digit, 0.999 * last_digit):
        room = max(room, 1e-7 * seconds)  # as much as a number of 32 bits may be off
        for rates in (_USUAL, _FILM):
            near = [(abs(1 / rate - seconds), rate) for rate in rates if abs(1 / rate - seconds) <= room]
            if near:
                return min(near)[1]
    return 1 / seconds


def check_length(frames: int, fps: float) -> None:
    """ValueError for a rate or a length that no motion has; called before anything is resampled."""
    if not (np.isfinite(fps) and MIN_FPS <= fps <= MAX_FPS):
        raise ValueError(f"it runs at {fps:g} frames a second; give the rate with fps= (--fps), such as 30")
    if frames / fps > MAX_SECONDS:
        raise ValueError(
            f"it lasts {frames / fps:.0f} s at {fps:g} frames a second; cut it to {MAX_SECONDS:.0f} s, or give its "
            "rate with fps= (--fps)"
        )
