"""The 3D player: the component that shows motions on one floor and one clock, and the values it is given.

What runs in the browser is in static/: player.js and, for people, body.js are its source, three.entry.js shows how
three.min.js is bundled.
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

from scamo.body.person import LENGTHS, LIMITS, REGIONS, STEP, load_person
from scamo.body.toes import BENDS, TOES
from scamo.motion import Motion
from scamo.render.scene import palettes
from scamo.render.stick import BONES, extend
from scamo.rotation import quat_conjugate, quat_multiply
from scamo.skeleton import PARENTS, joint_rotations

STATIC = Path(__file__).parents[1] / "static"
SCRIPTS = ("three.min.js", "body.js", "player.js")  # in this order
TINT = 0.75  # how much of a figure's own colour its shirt takes where several figures share a floor
# A figure without errors beside others whose colours are errors.
PLAIN = {"light": ["#57534e", "#8a857f", "#3f3b37"], "dark": ["#c9c5c0", "#f0eeeb", "#a8a29e"]}
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
    places = [quote((STATIC / name).as_posix()) for name in SCRIPTS]
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


def player_figure(
    label: str, motion: Motion, person: str | None = None, errors: NDArray[np.floating] | None = None
) -> dict[str, Any]:
    """A motion as the browser gets it: the places of its points, for sticks, and the turns of its joints, for a person.

    person: who it is, one of `scamo.body.person.PEOPLE`; the neutral one if None. errors: how far every joint is from
    where it should be, [T, 22] metres, which is shown as colours.
    """
    joints = np.asarray(motion.skeleton_joints)
    points = extend(joints)
    shown = {} if errors is None else {"errors": pack_int16(errors, MILLIMETRES)}
    return shown | {
        "label": label,
        "person": person,
        "fps": motion.fps,
        "frames": len(points),
        "points": points.shape[1],
        "positions": pack_int16(points, MILLIMETRES),
        "turns": pack_int16(turns(joints), FINE),
    }


def player_value(
    figures: Sequence[dict[str, Any]], run: str, places: int | None = None, worst: float | None = None
) -> dict[str, Any]:
    """A player's value: figures from `player_figure`, side by side in this order.

    run: values of one run keep the clock and the view, so that a figure can join those that already move. places: the
    number of colours to choose, where more figures will come. worst: metres at which the colours of errors end.
    """
    themes = {"light": (1.0, 1.0, 1.0), "dark": (0.0, 0.0, 0.0)}
    colours = {theme: palettes(places or len(figures), background) for theme, background in themes.items()}
    tint = TINT if (places or len(figures)) > 1 else 0.0
    painted = [
        {**one, "tint": tint}
        | {theme: [_code(colour) for colour in palette[place]] for theme, palette in colours.items()}
        | (PLAIN if worst is not None and "errors" not in one else {})
        for place, one in enumerate(figures)
    ]
    return {"run": run, "bones": BONES, "figures": painted, "worst": worst}


def turns(joints: np.ndarray) -> NDArray[np.float64]:
    """How the joints are turned in the world: joints [T, 22, 3] -> rotation vectors [T, 17, 3], radians."""
    world = joint_rotations(joints)
    for joint in range(1, len(PARENTS)):
        world[:, joint] = quat_multiply(world[:, PARENTS[joint]], world[:, joint])
    xyzw = world[:, TURNING][..., [1, 2, 3, 0]]
    return Rotation.from_quat(xyzw.reshape(-1, 4)).as_rotvec().reshape(len(joints), -1, 3)


def body(name: str) -> dict[str, Any]:
    """What the browser asks for when people are to be shown: "mesh", or one of `scamo.body.person.PEOPLE`."""
    return people_mesh() if name == "mesh" else person_shape(name)


def people_mesh() -> dict[str, Any]:
    """What all people have in common, 190 kB: the mesh, its bones, and how a pose moves them.

    points, regions: of every vertex, which point of the skin it is and the place of its colour. faces: three vertices
    each. bones, weights (0..255): four for every point. follows: which of the turns each joint follows. parents,
    lengths, limits: for `clampBones`. toes: their joints; bends: quaternions x y z w by which they can bend.
    """
    person = load_person()
    return {
        "points": _base64(person.points.astype("<u2")),
        "regions": _base64(person.regions.astype("u1")),
        "faces": _base64(person.faces.astype("<u2")),
        "bones": _base64(person.bones.astype("u1")),
        "weights": _base64(np.rint(255 * person.weights).astype("u1")),
        "follows": [TURNING.index(joint if joint in TURNING else PARENTS[joint]) for joint in range(22)],
        "parents": PARENTS,
        "lengths": LENGTHS.round(5).tolist(),
        "limits": LIMITS,
        "shirt": REGIONS.index("shirt"),
        "toes": TOES,
        "bends": BENDS[:, [1, 2, 3, 0]].round(6).tolist(),
    }


def person_shape(name: str) -> dict[str, Any]:
    """One of the people on that mesh, 50 kB: points of the skin and joints, both in the bind pose, and the looks.

    unbind: quaternions x y z w, which turn the joints of the bind pose back. sole: metres below the toe joint.
    tips: of each toe the points that can be the lowest, seen from its joint.
    """
    person = load_person(name)
    return {
        "vertices": pack_int16(person.skin, 1 / STEP),
        "steps": 1 / STEP,
        "joints": person.joints.round(5).tolist(),
        "unbind": quat_conjugate(person.bind)[:, [1, 2, 3, 0]].round(6).tolist(),
        "colours": [_code(colour) for colour in person.colours.tolist()],
        "size": person.size,
        "sole": person.sole / person.size,
        "tips": [points.round(4).tolist() for points in person.tips],
    }


def pack_int16(values: np.ndarray, steps: float) -> str:
    """Numbers as little-endian int16 in base64, `steps` to one; what is out of reach is clipped."""
    return _base64(np.rint(np.clip(values * steps, -32767, 32767)).astype("<i2"))


def _base64(values: NDArray[Any]) -> str:
    return base64.b64encode(values.tobytes()).decode()


def _code(colour: tuple[float, float, float]) -> str:
    return "#" + "".join(f"{round(255 * part):02x}" for part in colour)
