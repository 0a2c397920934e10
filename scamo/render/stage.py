"""The stage on which every renderer puts its figures: ground, grid, fade, path, caption, labels, drawn by Agg.

matplotlib's own rasteriser is used without its axes, which cost ninety milliseconds a frame. What never changes (the
fade, the caption, the whole floor under a fixed camera) is drawn once.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from . import scene as scenes
from .scene import CELL, CameraMode, Colour, Scene, build_scene

if TYPE_CHECKING:
    from matplotlib.path import Path

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
        self.bare = self._ground_picture()
        _write_caption(self.bare, caption, background)
        self.still: Frame | None = None  # the whole floor, once drawn, if the camera never moves

    def floor(self, frame: int) -> None:
        """Ground and grid, faded into the background, and the caption."""
        if self.still is not None:
            self.canvas.pixels[:] = self.still
            return
        self.canvas.pixels[:] = self.bare
        if self.grid:
            width = max(1.0, self.scene.height / 480)
            pieces, some, strengths = _grid(self.scene, frame)
            pixels, _ = self.scene.project(pieces, frame)
            for ring, strength in enumerate(strengths):
                self.canvas.lines(pixels[ring, some[ring]], self.ink, width, 0.8 * strength)
        if not np.ptp(self.scene.target, axis=0).any():
            self.still = self.canvas.pixels.copy()

    def _ground_picture(self) -> Frame:
        """The lit ground, turning into the background with distance: uint8 RGBA [H, W, 4]."""
        distance = np.nan_to_num(np.linalg.norm(self.scene.floor_points(), axis=-1), nan=np.inf)
        strength = _strength(distance / self.scene.stage)[..., None]
        picture = np.full((self.scene.height, self.scene.width, 4), 255, dtype=np.uint8)
        ground, background = np.array(self.ground), np.array(self.background)
        picture[..., :3] = np.round(255 * (background + (ground - background) * strength))
        return picture

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
        """The canvas as uint8 [H, W, 3]: a view of a copy with a fourth channel, which the encoder takes as it is.

        To drop that channel would take eight times as long as the copy.
        """
        return self.canvas.pixels.copy()[..., :3]


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

    def paint(self, outlines: Sequence[Path], colours: Array) -> None:
        """Fill many outlines one over the other, each in its colour [N, 4]; one call into Agg for all."""
        from matplotlib.transforms import IdentityTransform

        self.renderer.draw_path_collection(
            self.gc, self.flip.frozen(), outlines, np.empty((0, 3, 3)), np.empty((0, 2)), IdentityTransform(),
            colours, np.empty((0, 4)), [0.0], [(0, None)], [1], [None], "screen",
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


def _strength(distance: Array) -> Array:
    """How much of the floor is left at this distance, in stages: all of it within a third, nothing beyond one."""
    away = np.clip((distance - 0.35) / 0.65, 0.0, 1.0)
    return 1 - away * away * (3 - 2 * away)


def _grid(scene: Scene, frame: int) -> tuple[Array, NDArray[np.bool_], Array]:
    """The floor's lines round the target, cut by rings that fade: they lie still in the world while the camera moves.

    Pieces of lines [rings, N, 2, 3], which of them are any [rings, N], and how strong each ring is [rings].
    """
    rings = scene.stage * np.array([0.0, 0.40, 0.55, 0.68, 0.80, 0.95])
    steps = CELL * np.arange(-np.ceil(scene.stage / CELL), np.ceil(scene.stage / CELL) + 1)
    middle = scene.target[frame, [0, 2]]
    across = CELL * np.round(middle[::-1, None] / CELL) + steps  # [2, S]: z of the lines along x, x of those along z
    reach = np.sqrt(np.maximum(rings[:, None, None] ** 2 - (across - middle[::-1, None]) ** 2, 0.0))
    spans = np.stack([reach[:-1], reach[1:]], axis=-1)[:, :, None] * np.array([-1.0, 1.0])[:, None, None]
    pieces = np.full((*spans.shape, 3), scene.floor)  # [rings, 2, 2 sides, S, 2, 3]
    for axis in (0, 1):
        pieces[:, axis, ..., 2 * axis] = middle[axis] + spans[:, axis]
        pieces[:, axis, ..., 2 - 2 * axis] = across[axis][:, None]
    count = len(rings) - 1
    strength = _strength((rings[1:] + rings[:-1]) / 2 / scene.stage)
    return pieces.reshape(count, -1, 2, 3), (spans[..., 0] != spans[..., 1]).reshape(count, -1), strength
