"""Stick figures, drawn by matplotlib's own rasteriser without its axes: about 2 ms a frame instead of 90.

Every frame is one numpy projection and some fifty filled outlines, painted from far to near. What never changes
(the floor's fade, the caption) is drawn once.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import scene as scenes
from .scene import CELL, CameraMode, Scene, build_scene

Array = NDArray[np.floating]
Frame = NDArray[np.uint8]
Colour = tuple[float, float, float]

# parent, child, radius at both ends in metres, colour: 0 core, 1 left, 2 right. Joints 22..26 are made by `_extend`.
_BONES = (
    (0, 1, 0.040, 0.040, 1), (0, 2, 0.040, 0.040, 2), (1, 4, 0.046, 0.036, 1), (2, 5, 0.046, 0.036, 2),
    (4, 7, 0.036, 0.027, 1), (5, 8, 0.036, 0.027, 2), (7, 10, 0.029, 0.026, 1), (8, 11, 0.029, 0.026, 2),
    (0, 3, 0.050, 0.050, 0), (3, 6, 0.050, 0.052, 0), (6, 9, 0.052, 0.052, 0), (9, 12, 0.046, 0.036, 0),
    (12, 15, 0.036, 0.034, 0), (9, 13, 0.034, 0.034, 1), (9, 14, 0.034, 0.034, 2), (13, 16, 0.034, 0.034, 1),
    (14, 17, 0.034, 0.034, 2), (16, 18, 0.036, 0.029, 1), (17, 19, 0.036, 0.029, 2), (18, 20, 0.029, 0.022, 1),
    (19, 21, 0.029, 0.022, 2), (20, 22, 0.026, 0.021, 1), (21, 23, 0.026, 0.021, 2), (24, 25, 0.088, 0.098, 0),
    (26, 26, 0.025, 0.025, 0),
)  # fmt: skip
_ENDS = np.array([bone[:2] for bone in _BONES])
_RADII = np.array([bone[2:4] for bone in _BONES])
_SIDES = [bone[4] for bone in _BONES]
_ARC = np.linspace(-np.pi / 2, np.pi / 2, 9)


def stick_frames(
    motions: Any,
    *,
    size: int | tuple[int, int] = 480,
    camera: CameraMode = "follow",
    caption: str | None = None,
    labels: Sequence[str] | None = None,
    background: Any = "#eeece7",
    path: bool = True,
    grid: bool = True,
    azimuth: float = -30.0,
    elevation: float = 16.0,
    spacing: float = 1.3,
    fps: float = 20.0,
) -> Iterator[Frame]:
    """Draw a motion, or several side by side, frame by frame: uint8 [H, W, 3], one at a time, nothing is kept.

    motions: a Motion, joints [T, 22, 3] in metres, or a list of either; the shorter ones hold their last pose.
    caption: written above, wrapped. labels: one short name over each head. path: the root's way on the floor, walked
    part strong. Camera options: see `build_scene`. The arguments are checked here, before the first frame is asked for.
    """
    lines = caption_lines(caption, size)
    scene = build_scene(
        motions, size=size, camera=camera, azimuth=azimuth, elevation=elevation, spacing=spacing,
        caption_lines=len(lines), fps=fps,
    )  # fmt: skip
    names = list(labels or [])
    if names and len(names) != len(scene.figures):
        raise ValueError(f"{len(names)} labels for {len(scene.figures)} figures; pass one for each.")
    artist = _Artist(scene, scenes.rgb(background), lines, names, grid)
    return _draw_all(artist, scene, path)


def _draw_all(artist: _Artist, scene: Scene, path: bool) -> Iterator[Frame]:
    ways = scene.figures[:, :, 0] * [1, 0, 1] if path else None
    for frame in range(len(scene)):
        artist.floor(frame)
        if ways is not None:
            for way, colours in zip(ways, artist.colours, strict=True):
                artist.way(way, frame, colours[0], walked=frame)
        artist.figures(frame)
        yield artist.picture()


def strip(
    motion: Any,
    poses: int = 6,
    *,
    size: tuple[int, int] = (1280, 420),
    caption: str | None = None,
    background: Any = "#eeece7",
    elevation: float = 12.0,
) -> Frame:
    """One still picture, uint8 [H, W, 3], of `poses` moments of a motion, from the pale first to the strong last.

    They stand where they happened when the motion travels far enough, seen from its side; else next to each other.
    """
    lines = caption_lines(caption, size)
    scene, way = scenes.strip_scene(motion, poses, size=size, elevation=elevation, caption_lines=len(lines))
    artist = _Artist(scene, scenes.rgb(background), lines, fade=True)
    artist.floor(0)
    if way is not None:
        artist.way(way, 0, artist.colours[-1][0], walked=len(way) - 1)
    artist.figures(0)
    return artist.picture()


def caption_lines(caption: str | None, size: int | tuple[int, int], most: int = 3) -> list[str]:
    """Wrap a caption to the picture's width: at most `most` lines, the last one cut with an ellipsis."""
    words = (caption or "").split()
    if not words:
        return []
    side = min((size, size) if isinstance(size, int) else size)
    width = size if isinstance(size, int) else size[0]
    limit = max(8, int(0.92 * width / (0.54 * _font_size(side))))  # the font's letters are about 0.54 em wide
    lines = [""]
    for word in words:
        word = word if len(word) <= limit else word[: limit - 1] + "…"
        if len(lines[-1]) + len(word) + 1 <= limit or not lines[-1]:
            lines[-1] = f"{lines[-1]} {word}".strip()
        elif len(lines) < most:
            lines.append(word)
        else:
            lines[-1] = lines[-1][: limit - 2] + " …"
            break
    return lines


def draw_caption(picture: Frame, lines: Sequence[str], background: Colour) -> None:
    """Write caption lines onto a picture uint8 [H, W, 4], in place; used by both renderers."""
    height, width = picture.shape[:2]
    canvas = _Canvas(width, height)
    canvas.pixels[:] = picture
    ink = (0.93, 0.93, 0.91) if scenes.is_dark(background) else (0.20, 0.22, 0.26)
    size = _font_size(min(width, height))
    for row, line in enumerate(lines):
        canvas.text(width / 2, (row + 1) * 1.32 * size, line, size, ink)
    picture[:] = canvas.pixels


def _font_size(side: int) -> float:
    return 0.0355 * side


def capsules(ends: Array, radii: Array) -> Array:
    """Outlines of lines with round, tapering ends. ends [..., 2, 2], radii [..., 2] -> [..., 18, 2], one winding."""
    along = ends[..., 1, :] - ends[..., 0, :]
    heading = np.arctan2(along[..., 1], along[..., 0])[..., None]
    angles = np.concatenate([heading + np.pi + _ARC, heading + _ARC], axis=-1)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    half = len(_ARC)
    centre = np.repeat(ends, half, axis=-2)
    return centre + circle * np.repeat(radii, half, axis=-1)[..., None]


def _extend(joints: Array) -> Array:
    """Joints [..., 22, 3] -> [..., 27, 3]: finger tips, the skull's two ends and the nose, which the skeleton lacks."""

    def unit(v: Array) -> Array:
        return v / np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), 1e-6)

    hands = joints[..., [20, 21], :] + 0.085 * unit(joints[..., [20, 21], :] - joints[..., [18, 19], :])
    neck = unit(joints[..., 15, :] - joints[..., 12, :])
    face = unit(np.cross(joints[..., 16, :] - joints[..., 17, :], neck))
    up = unit(0.92 * neck - 0.40 * face)  # joint 15 lies before the neck, the skull sits straight above it
    head = joints[..., 15, :]
    extra = np.stack([head + 0.055 * up, head + 0.125 * up, head + 0.075 * up + 0.108 * face], axis=-2)
    return np.concatenate([joints, hands, extra], axis=-2)


class _Canvas:
    """The few strokes needed of matplotlib's Agg renderer, in pixels with y down."""

    def __init__(self, width: int, height: int) -> None:
        from matplotlib.backends.backend_agg import RendererAgg
        from matplotlib.transforms import Affine2D

        self.renderer: Any = RendererAgg(width, height, 72)  # 72 dpi: a point is a pixel
        self.pixels: Frame = np.asarray(self.renderer.buffer_rgba())
        self.flip = Affine2D().scale(1, -1).translate(0, height)
        self.gc = self.renderer.new_gc()
        self.gc.set_antialiased(True)
        self.gc.set_snap(False)
        self.gc.set_capstyle("round")
        self.gc.set_joinstyle("round")

    def fill(self, outlines: Array, colour: Colour, alpha: float = 1.0) -> None:
        """Fill outlines [N, P, 2] as one shape, so that overlaps do not darken."""
        from matplotlib.path import Path

        codes = np.full(outlines.shape[:2], Path.LINETO, dtype=np.uint8)
        codes[:, 0] = Path.MOVETO
        self.gc.set_linewidth(0)
        self.gc.set_alpha(alpha)
        self.renderer.draw_path(self.gc, Path(outlines.reshape(-1, 2), codes.ravel()), self.flip, colour)

    def paint(self, outlines: Sequence[Array], colours: Array) -> None:
        """Fill many outlines [P, 2] one over the other, each in its colour [N, 4]; one call into Agg for all."""
        from matplotlib.path import Path
        from matplotlib.transforms import IdentityTransform

        self.renderer.draw_path_collection(
            self.gc, self.flip.frozen(), [Path(outline) for outline in outlines], np.empty((0, 3, 3)),
            np.empty((0, 2)), IdentityTransform(), colours, np.empty((0, 4)), [0.0], [(0, None)], [1], [None], "screen",
        )  # fmt: skip

    def lines(self, points: Array, colour: Colour, width: float, alpha: float = 1.0) -> None:
        """Stroke polylines [N, P, 2]."""
        from matplotlib.path import Path

        codes = np.full(points.shape[:2], Path.LINETO, dtype=np.uint8)
        codes[:, 0] = Path.MOVETO
        self.gc.set_linewidth(width)
        self.gc.set_foreground(colour)
        self.gc.set_alpha(alpha)
        self.renderer.draw_path(self.gc, Path(points.reshape(-1, 2), codes.ravel()), self.flip)

    def image(self, picture: Frame) -> None:
        """Lay an RGBA picture of the canvas's size over it, given bottom row first."""
        self.gc.set_alpha(1.0)
        self.renderer.draw_image(self.gc, 0, 0, picture)

    def text(self, x: float, y: float, text: str, size: float, colour: Colour) -> None:
        """Write text centred at x with its baseline at y; letters the font lacks become boxes, silently."""
        import warnings

        from matplotlib.font_manager import FontProperties

        font = FontProperties(family=["DejaVu Sans"], size=size)
        logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            width = self.renderer.get_text_width_height_descent(text, font, ismath=False)[0]
            self.gc.set_foreground(colour)
            self.gc.set_alpha(1.0)
            self.renderer.draw_text(self.gc, x - width / 2, y, text, font, 0, ismath=False)


class _Artist:
    """One clip's drawing state: the canvas, and what stays the same from frame to frame."""

    def __init__(
        self,
        scene: Scene,
        background: Colour,
        caption: Sequence[str],
        labels: Sequence[str] = (),
        grid: bool = True,
        fade: bool = False,
    ) -> None:
        self.scene, self.background, self.labels, self.grid = scene, background, labels, grid
        dark = scenes.is_dark(background)
        self.ground = scenes.mix(background, (1.0, 1.0, 1.0), 0.10 if dark else 0.75)
        self.ink = scenes.mix(background, (1.0, 1.0, 1.0) if dark else (0.25, 0.27, 0.32), 0.28 if dark else 0.30)
        self.shade: Colour = (0.0, 0.0, 0.0) if dark else (0.20, 0.20, 0.24)
        self.colours = scenes.palettes(len(scene.figures), background, fade)
        # For every bone of every figure the colours of its rim and of itself, [F * bones, 2, 4].
        self.paints = np.array(
            [[(*self.ground, 1.0), (*palette[side], 1.0)] for palette in self.colours for side in _SIDES]
        )
        self.canvas = _Canvas(scene.width, scene.height)
        self.bare = np.empty_like(self.canvas.pixels)
        self.bare[:] = (*(round(255 * c) for c in self.ground), 255)
        veil = _veil(scene, background)
        draw_caption(veil, caption, background)
        self.still: Frame | None = None  # the whole floor, once drawn, if the camera never moves
        self.veil = np.ascontiguousarray(veil[::-1])  # Agg's images have their first row at the bottom

    def floor(self, frame: int) -> None:
        """Ground and grid, faded into the background, and the caption."""
        if self.still is not None:
            self.canvas.pixels[:] = self.still
            return
        self.canvas.pixels[:] = self.bare
        if self.grid:
            pixels, depth = self.scene.project(_grid(self.scene, frame), frame)
            visible = (depth > 0.2).all(axis=1)
            self.canvas.lines(pixels[visible], self.ink, max(1.0, self.scene.height / 480), 0.8)
        self.canvas.image(self.veil)
        if not np.ptp(self.scene.target, axis=0).any():
            self.still = self.canvas.pixels.copy()

    def way(self, way: Array, frame: int, colour: Colour, walked: int) -> None:
        """A root's path [P, 3] on the floor: thin as a whole, strong up to step `walked`."""
        step = max(1, len(way) // 512)
        width = max(1.2, self.scene.height / 300)
        pixels = self.scene.project(way, frame)[0]
        self.canvas.lines(pixels[None, ::step], colour, width, 0.25)
        if walked > 0:
            self.canvas.lines(pixels[None, : walked + 1], colour, width, 0.55)

    def figures(self, frame: int) -> None:
        """All figures of one frame: their shadows, then their bones from far to near."""
        scene = self.scene
        joints = _extend(scene.figures[:, frame])
        ends = joints[:, _ENDS]
        self._shadow(ends, frame)
        pixels, depth = scene.project(ends, frame)
        radii = _RADII * scene.focal / depth
        outlines = capsules(pixels, radii)
        rim = max(1.0, scene.height / 400)
        # The rim in the ground's colour parts crossing limbs; it stops short of the joints, not to cut the neighbours.
        inner = pixels + np.array([[0.22], [-0.22]]) * (pixels[..., 1:, :] - pixels[..., :1, :])
        rims = _bands(inner, radii + rim)
        order = np.argsort(-depth.mean(axis=-1), axis=None)
        rims, outlines = rims.reshape(-1, *rims.shape[2:]), outlines.reshape(-1, *outlines.shape[2:])
        painted = [shape for index in order for shape in (rims[index], outlines[index])]
        self.canvas.paint(painted, self.paints[order].reshape(-1, 4))
        for figure, label in enumerate(self.labels):
            (x, y), _ = scene.project(joints[figure, 25] + [0, 0.22, 0], frame)
            self.canvas.text(x, y, label, 0.82 * _font_size(min(scene.width, scene.height)), self.colours[figure][0])

    def _shadow(self, ends: Array, frame: int) -> None:
        light = self.scene.light
        fallen = ends - light * (np.maximum(ends[..., 1:2], 0.0) / light[1])
        fallen[..., 1] = 0.0
        for grown, alpha in ((0.045, 0.07), (0.012, 0.10)):
            flat = capsules(fallen[..., [0, 2]], _RADII + grown).reshape(-1, 18, 2)
            outline = np.stack([flat[..., 0], np.zeros(flat.shape[:2]), flat[..., 1]], axis=-1)
            self.canvas.fill(self.scene.project(outline, frame)[0], self.shade, alpha)

    def picture(self) -> Frame:
        """The canvas as uint8 [H, W, 3], a copy."""
        out = np.empty((*self.canvas.pixels.shape[:2], 3), dtype=np.uint8)
        for channel in range(3):  # one strided copy a channel is eight times faster than slicing all three
            out[..., channel] = self.canvas.pixels[..., channel]
        return out


def _bands(ends: Array, radii: Array) -> Array:
    """Quadrilaterals along ends [..., 2, 2], as wide as radii [..., 2] -> [..., 4, 2]."""
    along = ends[..., 1, :] - ends[..., 0, :]
    across = np.stack([-along[..., 1], along[..., 0]], axis=-1)
    across = across / np.maximum(np.linalg.norm(across, axis=-1, keepdims=True), 1e-6)
    offset = across[..., None, :] * radii[..., None]
    return np.concatenate([ends + offset, (ends - offset)[..., ::-1, :]], axis=-2)


def _grid(scene: Scene, frame: int) -> Array:
    """The floor's lines round the target, [N, 2, 3]; they lie still in the world while the camera moves."""
    reach = CELL * np.ceil(1.05 * scene.stage / CELL)
    x0, z0 = CELL * np.round(scene.target[frame, [0, 2]] / CELL)
    steps = np.arange(-reach, reach + CELL / 2, CELL)
    far = np.full_like(steps, reach)
    flat = np.zeros_like(steps)
    along_x = np.stack([np.stack([x0 - far, flat, z0 + steps], -1), np.stack([x0 + far, flat, z0 + steps], -1)], 1)
    along_z = np.stack([np.stack([x0 + steps, flat, z0 - far], -1), np.stack([x0 + steps, flat, z0 + far], -1)], 1)
    return np.concatenate([along_x, along_z])


def _veil(scene: Scene, background: Colour) -> Frame:
    """What turns the floor into the background with distance: RGBA, its alpha rising to 1 at the stage's edge."""
    away = np.clip((scene.floor_distance() / scene.stage - 0.35) / 0.65, 0.0, 1.0)
    veil = np.empty((scene.height, scene.width, 4), dtype=np.uint8)
    veil[..., :3] = [round(255 * c) for c in background]
    veil[..., 3] = np.round(255 * away * away * (3 - 2 * away))
    return veil
