"""Stick figures: numpy lays out many frames at once; Agg paints some fifty outlines of each from far to near."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .backdrop import Backdrop, build_backdrop, build_strip_backdrop
from .canvas import Frame, Shapes, boxes_round
from .scene import Motions, one_figure, to_figures

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from scamo.motion import Motion

    from .backdrop import Options

Array = NDArray[np.floating]

# parent, child, radius at both ends in metres, colour: 0 core, 1 left, 2 right. `extend` adds joints 22..26.
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
# What casts a shadow, which costs by the length of its outline: foot to foot, hand to hand, the spine and the skull;
# joints and radii. A soft edge and the core: metres wider, how dark.
_CASTING = (
    ((10, 7, 4, 1, 2, 5, 8, 11), (0.026, 0.028, 0.036, 0.046, 0.046, 0.036, 0.028, 0.026)),
    ((22, 18, 16, 17, 19, 23), (0.021, 0.029, 0.036, 0.036, 0.029, 0.021)),
    ((0, 6, 15), (0.050, 0.052, 0.034)),
    ((24, 25), (0.088, 0.098)),
)
_GROWN, _DARK = (0.045, 0.012), (0.07, 0.10)
_ARC, _SHADOW_ARC = 12, 5  # points of a round end
_TOGETHER = 32  # frames laid out at once


def stick_frames(motions: Motions, *, fps: float | None = None, **options: Unpack[Options]) -> Iterator[Frame]:
    """Draw a motion, or several side by side, frame by frame: uint8 [H, W, 3], one at a time, nothing is kept.

    Frames are read-only, and their memory is used again when they are no longer in use: copy one to draw on it.

    motions: a Motion, joints [T, 22, 3] in metres, or a sequence of either. Shorter ones hold their last pose; ones
    with another frame rate are resampled to the first one's. fps: of bare joints (default 20). Options and defaults:
    see `backdrop.Options`, `backdrop.build_backdrop`. All are checked before the first frame is drawn.
    """
    return _Painter(build_backdrop(to_figures(motions, fps), **options)).frames()


def strip(motion: Motion | Array, poses: int = 6, **options: Any) -> Frame:
    """One still picture, uint8 [H, W, 3], of `poses` moments of a motion. Options: see `build_strip_backdrop`."""
    return next(_Painter(build_strip_backdrop(one_figure(motion), poses, **options)).frames())


class _Painter:
    def __init__(self, backdrop: Backdrop) -> None:
        self.backdrop = backdrop
        count = len(backdrop.scene.figures)
        self.shadows = Shapes(len(_GROWN), [n for k, _ in _CASTING for n in count * [2 * _SHADOW_ARC + 4 * len(k) - 8]])
        self.rims, self.bones = Shapes(count * len(BONES), [4]), Shapes(count * len(BONES), [2 * _ARC])
        pairs = zip(self.rims.paths, self.bones.paths, strict=True)
        self.paths = [*self.shadows.paths, *chain.from_iterable(pairs)]
        # For every bone of every figure the colours of its rim and of itself.
        self.paints = np.array(
            [[(*backdrop.ground, 1.0), (*palette[side], 1.0)] for palette in backdrop.colours for side in _SIDES]
        )
        self.shades = np.array([(*backdrop.shade, alpha) for alpha in _DARK])

    def frames(self) -> Iterator[Frame]:
        """All frames, one after the other."""
        for first in range(0, len(self.backdrop.scene), _TOGETHER):
            yield from self._some(slice(first, min(first + _TOGETHER, len(self.backdrop.scene))))

    def _some(self, frames: slice) -> Iterator[Frame]:
        backdrop, scene = self.backdrop, self.backdrop.scene
        joints = extend(scene.figures[:, frames].swapaxes(0, 1))
        shadows = self._shadows(joints, frames)
        ends = joints[:, :, _ENDS].reshape(len(joints), -1, 2, 3)
        pixels, depth = scene.project(ends, frames)
        radii = np.tile(_RADII, (len(scene.figures), 1)) * scene.focal / depth
        rim = max(1.0, scene.height / 400)
        # The rim in the ground's colour parts crossing limbs; it stops short of the joints, not to cut the neighbours.
        inner = pixels + np.array([[0.22], [-0.22]]) * (pixels[..., 1:, :] - pixels[..., :1, :])
        order = np.argsort(-depth.mean(axis=-1), axis=-1)
        rows = np.arange(len(order))[:, None]
        rims, bones = _bands(inner, radii + rim)[rows, order], tubes(pixels, radii, _ARC)[rows, order]
        paints = self.paints[order].reshape(len(order), -1, 4)
        boxes = np.stack(
            [boxes_round(points.reshape(len(order), -1, 2), rim + 1) for points in (shadows, bones)], axis=1
        )
        for i in range(len(order)):
            backdrop.start_frame(frames.start + i)
            backdrop.draw_paths(frames.start + i)
            self.shadows.points[:], self.rims.points[:], self.bones.points[:] = shadows[i], rims[i], bones[i]
            backdrop.canvas.touch(boxes[i])
            backdrop.canvas.fill(self.paths, np.concatenate([self.shades, paints[i]]))
            backdrop.draw_labels(frames.start + i)
            yield backdrop.finished()

    def _shadows(self, joints: Array, frames: slice) -> Array:
        """Outlines of what falls on the floor, [T, shades, P, 2] in pixels."""
        scene, light = self.backdrop.scene, self.backdrop.scene.light
        fallen = joints - light * (np.maximum(joints[..., 1:2] - scene.floor, 0.0) / light[1])
        outlines = []
        for bent, radii in _CASTING:
            grown = np.add.outer(_GROWN, radii)[:, None]
            flat = tubes(fallen[:, None, :, bent][..., [0, 2]], grown, _SHADOW_ARC)
            outlines.append(flat.reshape(*flat.shape[:2], -1, 2))
        x, z = np.moveaxis(np.concatenate(outlines, axis=2), -1, 0)
        return scene.project(np.stack([x, np.full_like(x, scene.floor), z], axis=-1), frames)[0]


def tubes(points: Array, radii: Array, arc: int) -> Array:
    """Outlines of lines with round ends, K points [..., K, 2], radii [..., K] -> [..., 2 arc + 4 (K - 2), 2]."""
    last = points.shape[-2] - 1
    line = np.ascontiguousarray(points).view(np.complex128)[..., 0]
    heading = np.exp(1j * np.angle(np.diff(line)))
    bow = np.exp(1j * np.linspace(-np.pi / 2, np.pi / 2, arc))
    # Round the first point, along the right side with a corner on either side of each bend, round the last, and back.
    bends, side = np.arange(1, last).repeat(2), np.full(2 * last - 2, 1j)
    pieces = np.arange(last).repeat(2)[1:-1]
    at = np.concatenate([np.zeros(arc, int), bends, np.full(arc, last), bends[::-1]])
    piece = np.concatenate([np.zeros(arc, int), pieces, np.full(arc, last - 1), pieces[::-1]])
    outline = line[..., at] + radii[..., at] * heading[..., piece] * np.concatenate([-bow, -side, bow, side])
    return outline[..., None].view(np.float64)


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
