"""The 3D player: the component that shows motions on one floor and one clock, and the values it is given.

What runs in the browser is in static/: player.js is its source, three.entry.js shows how three.min.js is bundled.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import gradio as gr
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from scamo.body.mannequin import mannequin, rest_joints
from scamo.motion import Motion
from scamo.render.scene import palettes
from scamo.render.stick import BONES, extend
from scamo.rotation import quat_multiply
from scamo.skeleton import JOINTS, PARENTS, joint_rotations

STATIC = Path(__file__).parents[1] / "static"
MILLIMETRES = 1000  # int16 reaches 32.767 metres from the origin
FINE = 10_000  # a tenth of a millimetre, up to 3.2767 m; or of a milliradian, where half a turn is 31416
TURNING = sorted(set(PARENTS) - {-1})  # the end of a limb turns with its parent


def motion_player(elem_id: str, without: str) -> gr.HTML:
    """Lay out a player inside Blocks. Its value comes from `player_value`, or is None for an empty floor.

    Fill it only where people have seen it: Gradio drops values of tabs that were never opened. without: the hint for
    a browser that shows no 3D.
    """
    gr.set_static_paths([STATIC])
    # The template is without `${`, so that a new value does not replace the canvas.
    template = (STATIC / "player.html").read_text(encoding="utf-8")
    # Quoted, for the folder may have "#", "%" or "?" in its name.
    places = [quote((STATIC / name).as_posix()) for name in ("three.min.js", "player.js")]
    scripts = [f'<script src="gradio_api/file={place}"></script>' for place in places]
    return gr.HTML(
        None,
        html_template=template,
        head="".join(scripts),
        js_on_load="window.mountMotionPlayer(element, props, watch, server);",
        server_functions=[body],
        apply_default_css=False,
        elem_id=elem_id,
        without=without,
    )


def player_figure(label: str, motion: Motion) -> dict[str, Any]:
    """A motion as the browser gets it: the places of its points, for the sticks, and the turns of its joints, for the
    body."""
    joints = np.asarray(motion.skeleton_joints)
    points = extend(joints)
    return {
        "label": label,
        "fps": motion.fps,
        "frames": len(points),
        "points": points.shape[1],
        "positions": pack_int16(points, MILLIMETRES),
        "turns": pack_int16(turns(joints), FINE),
    }


def player_value(figures: Sequence[dict[str, Any]], run: str, places: int | None = None) -> dict[str, Any]:
    """A player's value: figures from `player_figure`, side by side in this order.

    run: values of one run keep the clock and the view, so that a figure can join those that already move. places: the
    number of colours to choose, where more figures will come.
    """
    themes = {"light": (1.0, 1.0, 1.0), "dark": (0.0, 0.0, 0.0)}
    colours = {theme: palettes(places or len(figures), background) for theme, background in themes.items()}
    painted = [
        one | {theme: [_code(colour) for colour in palette[place]] for theme, palette in colours.items()}
        for place, one in enumerate(figures)
    ]
    return {"run": run, "bones": BONES, "figures": painted}


def turns(joints: np.ndarray) -> NDArray[np.float64]:
    """How the joints are turned in the world: joints [T, 22, 3] -> rotation vectors [T, 17, 3], radians."""
    world = joint_rotations(joints)
    for joint in range(1, len(PARENTS)):
        world[:, joint] = quat_multiply(world[:, PARENTS[joint]], world[:, joint])
    xyzw = world[:, TURNING][..., [1, 2, 3, 0]]
    return Rotation.from_quat(xyzw.reshape(-1, 4)).as_rotvec().reshape(len(joints), -1, 3)


def body(_: Any = None) -> dict[str, Any]:
    """The mannequin: 240 kB, the same for every figure. The browser asks for it when a user wants to see it.

    Vertices at rest, faces, and for every vertex four bones with their weights (0..255); joints at rest, which of the
    turns each of them follows, and its side (0 core, 1 left, 2 right).
    """
    data = mannequin()
    weights = data["weights"][:, :22].copy()
    weights[:, [20, 21]] += data["weights"][:, [22, 23]]  # hands turn with the wrists
    strongest = np.argsort(-weights, axis=1)[:, :4]
    shares = np.take_along_axis(weights, strongest, axis=1)
    return {
        "vertices": pack_int16(data["v_template"], FINE),
        "faces": _base64(data["f"].astype("<u2")),
        "bones": _base64(strongest.astype("u1")),
        "weights": _base64(np.rint(255 * shares).astype("u1")),
        "joints": rest_joints()[:22].round(4).tolist(),
        "follows": [TURNING.index(joint if joint in TURNING else PARENTS[joint]) for joint in range(22)],
        "sides": [("left", "right").index(name.split("_")[0]) + 1 if "_" in name else 0 for name in JOINTS],
    }


def pack_int16(values: np.ndarray, steps: float) -> str:
    """Numbers as little-endian int16 in base64, `steps` to one; what is out of reach is clipped."""
    return _base64(np.rint(np.clip(values * steps, -32767, 32767)).astype("<i2"))


def _base64(values: NDArray[Any]) -> str:
    return base64.b64encode(values.tobytes()).decode()


def _code(colour: tuple[float, float, float]) -> str:
    return "#" + "".join(f"{round(255 * part):02x}" for part in colour)
