"""Stick figures: one numpy projection and some fifty filled outlines a frame, painted from far to near."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .stage import Frame, Stage, set_stage, set_strip

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .stage import Options

Array = NDArray[np.floating]

# parent, child, radius at both ends in metres, colour: 0 core, 1 left, 2 right. Joints 22..26 are made by `extend`.
BONES = (
    (0, 1, 0.040, 0.040, 1), (0, 2, 0.040, 0.040, 2), (1, 4, 0.046, 0.036, 1), (2, 5, 0.046, 0.036, 2),
    (4, 7, 0.036, 0.027, 1), (5, 8, 0.036, 0.027, 2), (7, 10, 0.029, 0.026, 1), (8, 11, 0.029, 0.026, 2),
    (0, 3, 0.050, 0.050, 0), (3, 6, 0.050, 0.052, 0), (6, 9, 0.052, 0.052, 0), (9, 12, 0.046, 0.036, 0),
    (12, 15, 0.036, 0.034, 0), (9, 13, 0.034, 0.034, 1), (9, 14, 0.034, 0.034, 2), (13, 16, 0.034, 0.034, 1),
    (14, 17, 0.034, 0.034, 2), (16, 18, 0.036, 0.029, 1), (17, 19, 0.036, 0.029, 2), (18, 20, 0.029, 0.022, 1),
    (19, 21, 0.029, 0.022, 2), (20, 22, 0.026, 0.021, 1), (21, 23, 0.026, 0.021, 2), (24, 25, 0.088, 0.098, 0),
    (26, 26, 0.025, 0.025, 0),
)  # fmt: skip
_ENDS = np.array([bone[:2] for bone in BONES])
_RADII = np.array([bone[2:4] for bone in BONES])
_SIDES = [bone[4] for bone in BONES]


def stick_frames(motions: Any, **options: Unpack[Options]) -> Iterator[Frame]:
    """Draw a motion, or several side by side, frame by frame: uint8 [H, W, 3], one at a time, nothing is kept.

    motions: a Motion, joints [T, 22, 3] in metres, or a list of either; the shorter ones hold their last pose. Options
    and defaults: see `stage.Options`, `stage.set_stage`. They are checked here, before the first frame is asked for.
    """
    stage = set_stage(motions, **options)
    painter = _Painter(stage)
    return (painter.draw(frame) for frame in range(len(stage.scene)))


def strip(motion: Any, poses: int = 6, **options: Any) -> Frame:
    """One still picture, uint8 [H, W, 3], of `poses` moments of a motion. Options: see `stage.set_strip`."""
    return _Painter(set_strip(motion, poses, **options)).draw(0)


class _Painter:
    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        # For every bone of every figure the colours of its rim and of itself, [F * bones, 2, 4].
        self.paints = np.array(
            [[(*stage.ground, 1.0), (*palette[side], 1.0)] for palette in stage.colours for side in _SIDES]
        )

    def draw(self, frame: int) -> Frame:
        """The whole picture of one frame."""
        stage, scene = self.stage, self.stage.scene
        stage.floor(frame)
        stage.ways(frame)
        ends = extend(scene.figures[:, frame])[:, _ENDS]
        self._shadow(ends, frame)
        pixels, depth = scene.project(ends, frame)
        radii = _RADII * scene.focal / depth
        rim = max(1.0, scene.height / 400)
        # The rim in the ground's colour parts crossing limbs; it stops short of the joints, not to cut the neighbours.
        inner = pixels + np.array([[0.22], [-0.22]]) * (pixels[..., 1:, :] - pixels[..., :1, :])
        rims, outlines = _bands(inner, radii + rim), capsules(pixels, radii)
        rims, outlines = rims.reshape(-1, *rims.shape[2:]), outlines.reshape(-1, *outlines.shape[2:])
        order = np.argsort(-depth.mean(axis=-1), axis=None)
        painted = [shape for index in order for shape in (rims[index], outlines[index])]
        stage.canvas.paint(painted, self.paints[order].reshape(-1, 4))
        stage.labels(frame)
        return stage.picture()

    def _shadow(self, ends: Array, frame: int) -> None:
        scene = self.stage.scene
        light = scene.light
        fallen = ends - light * (np.maximum(ends[..., 1:2] - scene.floor, 0.0) / light[1])
        fallen[..., 1] = scene.floor
        for grown, alpha in ((0.045, 0.07), (0.012, 0.10)):
            flat = capsules(fallen[..., [0, 2]], _RADII + grown, arc=5).reshape(-1, 10, 2)
            outline = np.stack([flat[..., 0], np.full(flat.shape[:2], scene.floor), flat[..., 1]], axis=-1)
            self.stage.canvas.fill(scene.project(outline, frame)[0], self.stage.shade, alpha)


def capsules(ends: Array, radii: Array, arc: int = 12) -> Array:
    """Outlines of lines with round, tapering ends. ends [..., 2, 2], radii [..., 2] -> [..., 2 arc, 2], one winding."""
    along = ends[..., 1, :] - ends[..., 0, :]
    heading = np.arctan2(along[..., 1], along[..., 0])[..., None]
    bow = np.linspace(-np.pi / 2, np.pi / 2, arc)
    angles = np.concatenate([heading + np.pi + bow, heading + bow], axis=-1)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    return np.repeat(ends, arc, axis=-2) + circle * np.repeat(radii, arc, axis=-1)[..., None]


def extend(joints: Array) -> Array:
    """Joints [..., 22, 3] -> [..., 27, 3]: finger tips, the skull's two ends and the nose, which the skeleton lacks."""

    def unit(v: Array) -> Array:
        return v / np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), 1e-6)

    hands = joints[..., [20, 21], :] + 0.085 * unit(joints[..., [20, 21], :] - joints[..., [18, 19], :])
    neck = unit(joints[..., 15, :] - joints[..., 12, :])
    down = unit(np.cross(joints[..., 16, :] - joints[..., 17, :], neck))
    # Joint 15 lies before the neck, 38 degrees from upright; the skull sits straight above it and looks ahead.
    up, face = unit(0.79 * neck - 0.61 * down), unit(0.79 * down + 0.61 * neck)
    head = joints[..., 15, :]
    extra = np.stack([head + 0.055 * up, head + 0.125 * up, head + 0.078 * up + 0.098 * face], axis=-2)
    return np.concatenate([joints, hands, extra], axis=-2)


def _bands(ends: Array, radii: Array) -> Array:
    """Quadrilaterals along ends [..., 2, 2], as wide as radii [..., 2] -> [..., 4, 2]."""
    along = ends[..., 1, :] - ends[..., 0, :]
    across = np.stack([-along[..., 1], along[..., 0]], axis=-1)
    across = across / np.maximum(np.linalg.norm(across, axis=-1, keepdims=True), 1e-6)
    offset = across[..., None, :] * radii[..., None]
    return np.concatenate([ends + offset, (ends - offset)[..., ::-1, :]], axis=-2)
