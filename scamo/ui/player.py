"""The 3D player: the component that shows motions on one floor and one clock, and the values it is given.

What runs in the browser is in static/: player.js is its source, three.entry.js tells how three.min.js was bundled.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from scamo.motion import FPS, Motion
from scamo.render.scene import palettes
from scamo.render.stick import BONES, extend

STATIC = Path(__file__).parent / "static"
REACH = 32.767  # metres from the origin that int16 millimetres can hold


def player(elem_id: str | None = None, value: dict[str, Any] | None = None) -> gr.HTML:
    """A player to lay out inside Blocks; its value is what `staged` makes, or None for an empty floor.

    Put it where people see it before it is filled: into the first tab, or fill it as its tab is selected.
    """
    gr.set_static_paths([STATIC])
    scripts = [f'<script src="gradio_api/file={STATIC / name}"></script>' for name in ("three.min.js", "player.js")]
    return gr.HTML(
        value,
        html_template=(STATIC / "player.html").read_text(),  # without `${`: a value must not replace the canvas
        head="".join(scripts),
        js_on_load="window.mountMotionPlayer(element, props, watch);",
        apply_default_css=False,
        elem_id=elem_id,
    )


def staged(
    motions: Sequence[tuple[str, Motion]], run: str, places: int | None = None, fps: float = FPS
) -> dict[str, Any]:
    """A player's value: figures with their labels, standing side by side in this order.

    run: values of one run keep the clock and the view, so that a figure can join those that are already moving. places:
    for how many the colours are chosen, where more are to come.
    """
    count = places or len(motions)
    light, dark = (palettes(count, background) for background in ((1.0, 1.0, 1.0), (0.0, 0.0, 0.0)))
    figures = []
    for (label, motion), by_day, by_night in zip(motions, light, dark, strict=False):
        points = extend(motion.joints)
        figures.append(
            {
                "label": label,
                "frames": len(points),
                "points": points.shape[1],
                "positions": packed(points),
                "light": [_code(colour) for colour in by_day],
                "dark": [_code(colour) for colour in by_night],
            }
        )
    return {"run": run, "fps": fps, "bones": BONES, "figures": figures}


def packed(points: np.ndarray) -> str:
    """Positions in metres as little-endian int16 millimetres in base64: 34 kB for ten seconds of 22 joints."""
    millimetres = np.rint(np.clip(points, -REACH, REACH) * 1000)
    return base64.b64encode(millimetres.astype("<i2").tobytes()).decode()


def _code(colour: tuple[float, float, float]) -> str:
    return "#" + "".join(f"{round(255 * part):02x}" for part in colour)
