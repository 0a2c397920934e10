"""Stick figures: numpy lays out many frames at once; of each, Agg paints some fifty outlines from far to near."""

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
_SHADOWS = ((0.045, 0.07), (0.012, 0.10))  # grown by so many metres, and how dark: a soft edge and the core
_ARC = 12  # points of a round end
_TOGETHER = 32  # frames laid out at once


def stick_frames(motions: Any, **options: Unpack[Options]) -> Iterator[Frame]:
    """Draw a motion, or several side by side, frame by frame: uint8 [H, W, 3], one at a time, nothing is kept.

    motions: a Motion, joints [T, 22, 3] in metres, or a list of either; the shorter ones hold their last pose. Options
    and defaults: see `stage.Options`, `stage.set_stage`. They are checked here, before the first frame is asked for.
    """
    stage = set_stage(motions, **options)
    return _Painter(stage).frames()


def strip(motion: Any, poses: int = 6, **options: Any) -> Frame:
    """One still picture, uint8 [H, W, 3], of `poses` moments of a motion. Options: see `stage.set_strip`."""
    return next(_Painter(set_strip(motion, poses, **options)).frames())


class _Painter:
    def __init__(self, stage: Stage) -> None:
        from matplotlib.path import Path

        self.stage = stage
        # For every bone of every figure the colours of its rim and of itself, [F * bones, 2, 4].
        self.paints = np.array(
            [[(*stage.ground, 1.0), (*palette[side], 1.0)] for palette in stage.colours for side in _SIDES]
        )
        # Their outlines, in the order they are painted in: paths made once, that look at memory written every frame.
        self.rims, self.bones = np.empty((len(self.paints), 4, 2)), np.empty((len(self.paints), 2 * _ARC, 2))
        pairs = zip(self.rims, self.bones, strict=True)
        self.outlines = [Path(outline) for pair in pairs for outline in pair]

    def frames(self) -> Iterator[Frame]:
        """The pictures, one after the other."""
        for first in range(0, len(self.stage.scene), _TOGETHER):
            yield from self._some(slice(first, min(first + _TOGETHER, len(self.stage.scene))))

    def _some(self, frames: slice) -> Iterator[Frame]:
        stage, scene = self.stage, self.stage.scene
        ends = extend(scene.figures[:, frames].swapaxes(0, 1))[:, :, _ENDS].reshape(-1, len(self.paints), 2, 3)
        shadows = self._shadows(ends, frames)
        pixels, depth = scene.project(ends, frames)
        radii = np.tile(_RADII, (len(scene.figures), 1)) * scene.focal / depth
        rim = max(1.0, scene.height / 400)
        # The rim in the ground's colour parts crossing limbs; it stops short of the joints, not to cut the neighbours.
        inner = pixels + np.array([[0.22], [-0.22]]) * (pixels[..., 1:, :] - pixels[..., :1, :])
        rims, bones = _bands(inner, radii + rim), capsules(pixels, radii, _ARC)
        orders = np.argsort(-depth.mean(axis=-1), axis=-1)
        for i, order in enumerate(orders):
            stage.floor(frames.start + i)
            stage.ways(frames.start + i)
            for shadow, (_, alpha) in zip(shadows, _SHADOWS, strict=True):
                stage.canvas.fill(shadow[i], stage.shade, alpha)
            self.rims[:], self.bones[:] = rims[i, order], bones[i, order]
            stage.canvas.paint(self.outlines, self.paints[order].reshape(-1, 4))
            stage.labels(frames.start + i)
            yield stage.picture()

    def _shadows(self, ends: Array, frames: slice) -> list[Array]:
        scene, radii = self.stage.scene, np.tile(_RADII, (len(self.stage.scene.figures), 1))
        light = scene.light
        fallen = ends - light * (np.maximum(ends[..., 1:2] - scene.floor, 0.0) / light[1])
        flat = [capsules(fallen[..., [0, 2]], radii + grown, arc=5) for grown, _ in _SHADOWS]
        outlines = [np.stack([x[..., 0], np.full(x.shape[:-1], scene.floor), x[..., 1]], axis=-1) for x in flat]
        return [scene.project(outline, frames)[0] for outline in outlines]


def capsules(ends: Array, radii: Array, arc: int) -> Array:
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
