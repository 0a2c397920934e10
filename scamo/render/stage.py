"""The stage on which every renderer puts its figures: ground, grid, fade, path, caption, labels, drawn by Agg.

matplotlib's own rasteriser is used without its axes, which cost ninety milliseconds a frame. What never changes (the
fade, the caption, the whole floor under a fixed camera) is drawn once.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from . import scene as scenes
from .scene import CELL, CameraMode, Colour, Scene, build_scene

Array = NDArray[np.floating]
Frame = NDArray[np.uint8]

BACKGROUND = "#eeece7"


class Options(TypedDict, total=False):
    """What a picture may be asked for; the defaults stand in `set_stage`.

    size: pixels, one number or (width, height). camera: "follow" goes along with the figures, "fixed" stays.
    caption: text above, wrapped. labels: a short name over each figure's head. background: any colour matplotlib knows.
    path: the root's way on the floor, the walked part strong. grid: lines every half metre. azimuth: degrees round the
    figure, 0 looks it in the face, -90 sees it walk to the right. elevation: degrees above the horizon.
    spacing: metres between several figures, 0 leaves them where they are. fps: of the motion, for the camera's calm.
    """

    size: int | tuple[int, int]
    camera: CameraMode
    caption: str | None
    labels: Sequence[str] | None
    background: Any
    path: bool
    grid: bool
    azimuth: float
    elevation: float
    spacing: float
    fps: float


def set_stage(
    motions: Any,
    *,
    size: int | tuple[int, int] = 480,
    camera: CameraMode = "follow",
    caption: str | None = None,
    labels: Sequence[str] | None = None,
    background: Any = BACKGROUND,
    path: bool = True,
    grid: bool = True,
    azimuth: float = -30.0,
    elevation: float = 16.0,
    spacing: float = 1.3,
    fps: float = 20.0,
    floor: float = 0.0,
) -> Stage:
    """Check everything that was asked for and lay the clip out. ValueError says what to change."""
    lines, names = caption_lines(caption, size), list(labels or [])
    scene = build_scene(
        motions, size=size, camera=camera, azimuth=azimuth, elevation=elevation, spacing=spacing,
        caption_lines=len(lines) + bool(names), fps=fps, floor=floor,
    )  # fmt: skip
    if names and len(names) != len(scene.figures):
        raise ValueError(f"{len(names)} labels for {len(scene.figures)} figures; pass one for each.")
    ways = scene.figures[:, :, 0] if path else None
    return Stage(scene, scenes.rgb(background), lines, names, grid, ways)


def set_strip(
    motion: Any,
    poses: int = 6,
    *,
    size: tuple[int, int] = (1280, 420),
    caption: str | None = None,
    background: Any = BACKGROUND,
    elevation: float = 12.0,
    floor: float = 0.0,
) -> Stage:
    """The stage of a still strip: `poses` moments of one motion as so many figures, from a pale first to a strong last.

    They stand where they happened when the motion travels far enough, seen from its side; else next to each other.
    """
    lines = caption_lines(caption, size)
    scene, way = scenes.strip_scene(
        motion, poses, size=size, elevation=elevation, caption_lines=len(lines), floor=floor
    )
    return Stage(scene, scenes.rgb(background), lines, ways=None if way is None else way[None], fade=True)


class Stage:
    """One clip's picture in the making. Call floor, then draw what stands on it, then labels, then picture.

    ways: [N, P, 3], paths on the floor; those of a clip (P frames) are walked as it goes, others are walked already.
    fade: the figures are one figure's moments, from pale to strong.
    """

    def __init__(
        self,
        scene: Scene,
        background: Colour,
        caption: Sequence[str] = (),
        names: Sequence[str] = (),
        grid: bool = True,
        ways: Array | None = None,
        fade: bool = False,
    ) -> None:
        self.scene, self.background, self.names, self.grid = scene, background, names, grid
        self.way_points = None if ways is None else ways * [1, 0, 1] + [0, scene.floor, 0]
        dark = scenes.is_dark(background)
        self.ground = scenes.mix(background, (1.0, 1.0, 1.0), 0.10 if dark else 0.75)
        self.ink = scenes.mix(background, (1.0, 1.0, 1.0) if dark else (0.25, 0.27, 0.32), 0.28 if dark else 0.30)
        self.shade: Colour = (0.0, 0.0, 0.0) if dark else (0.20, 0.20, 0.24)
        self.fade = fade
        self.colours = scenes.palettes(len(scene.figures), background, fade)
        self.canvas = Canvas(scene.width, scene.height)
        self.bare = np.empty_like(self.canvas.pixels)
        self.bare[:] = (*(round(255 * c) for c in self.ground), 255)
        veil = _veil(scene, background)
        _write_caption(veil, caption, background)
        self.veil = np.ascontiguousarray(veil[::-1])  # Agg's images have their first row at the bottom
        self.still: Frame | None = None  # the whole floor, once drawn, if the camera never moves

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

    def ways(self, frame: int) -> None:
        """The roots' paths on the floor: thin as a whole, strong as far as they are walked."""
        if self.way_points is None:
            return
        length = self.way_points.shape[1]
        step = max(1, length // 512)
        walked = frame + 1 if length == len(self.scene) else length
        width = max(1.2, self.scene.height / 300)
        for points, colours in zip(self.way_points, self.colours[-len(self.way_points) :], strict=True):
            pixels = self.scene.project(points, frame)[0][None]
            self.canvas.lines(pixels[:, ::step], colours[0], width, 0.25)
            self.canvas.lines(pixels[:, :walked], colours[0], width, 0.55)

    def labels(self, frame: int) -> None:
        """A name over each figure's head."""
        scene = self.scene
        size = 0.82 * _font_size(min(scene.width, scene.height))
        for name, joints, colours in zip(self.names, scene.figures[:, frame], self.colours, strict=False):
            (x, y), _ = scene.project(joints[15] + [0, 0.34, 0], frame)
            self.canvas.text(x, y, name, size, colours[0])

    def picture(self) -> Frame:
        """The canvas as uint8 [H, W, 3], a copy."""
        out = np.empty((*self.canvas.pixels.shape[:2], 3), dtype=np.uint8)
        for channel in range(3):  # one strided copy a channel is eight times faster than slicing all three
            out[..., channel] = self.canvas.pixels[..., channel]
        return out


class Canvas:
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
        from matplotlib.font_manager import FontProperties

        font = FontProperties(family=["DejaVu Sans"], size=size)
        logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            width = self.renderer.get_text_width_height_descent(text, font, ismath=False)[0]
            self.gc.set_foreground(colour)
            self.gc.set_alpha(1.0)
            self.renderer.draw_text(self.gc, x - width / 2, y, text, font, 0, ismath=False)


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


def _write_caption(picture: Frame, lines: Sequence[str], background: Colour) -> None:
    """Write caption lines onto a picture uint8 [H, W, 4], in place."""
    height, width = picture.shape[:2]
    canvas = Canvas(width, height)
    canvas.pixels[:] = picture
    ink = (0.93, 0.93, 0.91) if scenes.is_dark(background) else (0.20, 0.22, 0.26)
    size = _font_size(min(width, height))
    for row, line in enumerate(lines):
        canvas.text(width / 2, (row + 1) * 1.32 * size, line, size, ink)
    picture[:] = canvas.pixels


def _font_size(side: int) -> float:
    return 0.0355 * side


def _grid(scene: Scene, frame: int) -> Array:
    """The floor's lines round the target, [N, 2, 3]; they lie still in the world while the camera moves."""
    reach = CELL * np.ceil(1.05 * scene.stage / CELL)
    x0, z0 = CELL * np.round(scene.target[frame, [0, 2]] / CELL)
    steps = np.arange(-reach, reach + CELL / 2, CELL)
    far = np.full_like(steps, reach)
    flat = np.full_like(steps, scene.floor)
    along_x = np.stack([np.stack([x0 - far, flat, z0 + steps], -1), np.stack([x0 + far, flat, z0 + steps], -1)], 1)
    along_z = np.stack([np.stack([x0 + steps, flat, z0 - far], -1), np.stack([x0 + steps, flat, z0 + far], -1)], 1)
    return np.concatenate([along_x, along_z])


def _veil(scene: Scene, background: Colour) -> Frame:
    """What turns the floor into the background with distance: RGBA, its alpha rising to 1 at the stage's edge."""
    distance = np.nan_to_num(np.linalg.norm(scene.floor_points(), axis=-1), nan=np.inf)
    away = np.clip((distance / scene.stage - 0.35) / 0.65, 0.0, 1.0)
    veil = np.empty((scene.height, scene.width, 4), dtype=np.uint8)
    veil[..., :3] = [round(255 * c) for c in background]
    veil[..., 3] = np.round(255 * away * away * (3 - 2 * away))
    return veil
