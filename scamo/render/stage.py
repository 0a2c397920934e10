"""The stage on which every renderer puts its figures: ground, grid, fade, path, caption, labels, drawn by Agg.

matplotlib's own rasteriser is used without its axes, which cost ninety milliseconds a frame. What never changes (the
fade, the caption, the whole floor under a fixed camera) is drawn once. A canvas whose picture nobody holds any more is
cleaned where it was drawn on and used again, so that a frame costs what changes and not what it measures.
"""

from __future__ import annotations

import logging
import warnings
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from types import SimpleNamespace
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
        self.scene, self.background, self.names = scene, background, names
        self.way_points = None if ways is None else ways * [1, 0, 1] + [0, scene.floor, 0]
        dark = scenes.is_dark(background)
        self.ground = scenes.mix(background, (1.0, 1.0, 1.0), 0.10 if dark else 0.75)
        self.ink = scenes.mix(background, (1.0, 1.0, 1.0) if dark else (0.25, 0.27, 0.32), 0.28 if dark else 0.30)
        self.shade: Colour = (0.0, 0.0, 0.0) if dark else (0.20, 0.20, 0.24)
        self.fade = fade
        self.colours = scenes.palettes(len(scene.figures), background, fade)
        if ways is not None:
            self.steps = np.linspace(0, ways.shape[1] - 1, min(ways.shape[1], 512)).astype(int)
            self.halves = Shapes(2 * len(ways), [len(self.steps)])  # ahead of each figure, then behind each
            # The box of a whole path is large, those of its parts are not; each ends where the next one begins.
            self.parts = np.minimum(np.arange(0, len(self.steps), 16)[:, None] + np.arange(17), len(self.steps) - 1)
        self.rings: Shapes | None = None
        if grid:
            pieces = _grid(scene, 0)[0]
            self.rings = Shapes(len(pieces), pieces.shape[1] * [2])
        self.canvas = Canvas(scene.width, scene.height)
        self.canvases = deque([self.canvas], maxlen=3)  # an encoder holds one frame while the next one is drawn
        self.canvas.pixels[:] = self._ground_picture()
        self._write_caption(caption)
        if not np.ptp(scene.target, axis=0).any():
            self._draw_grid(0)
            self.rings = None
        self.bare = self.canvas.pixels.copy()

    def floor(self, frame: int) -> None:
        """Begin a picture: ground and grid, faded into the background, and the caption."""
        free = [canvas for canvas in self.canvases if canvas.lent() is None]
        self.canvas = free[0] if free else Canvas(self.scene.width, self.scene.height)
        if not free:
            self.canvases.append(self.canvas)
        self.canvas.clean(self.bare)
        self._draw_grid(frame)

    def _draw_grid(self, frame: int) -> None:
        if self.rings is not None:
            pieces, strengths = _grid(self.scene, frame)
            self.rings.points[:] = self.scene.project(pieces.reshape(self.rings.points.shape[0], -1, 3), frame)[0]
            colours = [(*self.ink, 0.8 * strength) for strength in strengths]
            self.canvas.lines(self.rings, colours, max(1.0, self.scene.height / 480))
            self.canvas.touch(boxes_round(self.rings.points.reshape(1, -1, 2), self.scene.height / 480 + 1))

    def _ground_picture(self) -> Frame:
        """The lit ground, turning into the background with distance: uint8 RGBA [H, W, 4]."""
        steps = _strength(np.sqrt(np.linspace(0, 1, 2048)))[:, None]  # by the square of the distance
        shades = np.full((len(steps), 4), 255, dtype=np.uint8)
        shades[:, :3] = np.round(255 * (np.array(self.background) * (1 - steps) + np.array(self.ground) * steps))
        # Along a row the square is a parabola: one pass of multiplications where the distance needs many.
        middle, step = (rows * np.sqrt(len(shades) - 1) / self.scene.stage for rows in self.scene.floor_rows())
        terms = [np.sum(a * b, axis=1)[:, None] for a, b in ((middle, middle), (2 * middle, step), (step, step))]
        a, b, c = (
            np.nan_to_num(term, nan=far).astype(np.float32) for term, far in zip(terms, (1e9, 0, 0), strict=True)
        )
        x = np.arange(self.scene.width, dtype=np.float32) + np.float32(0.5 - self.scene.centre[0])
        square = np.clip(a + x * (b + x * c), 0, len(shades) - 1)
        return shades.view(np.uint32)[square.astype(np.uint16), 0][..., None].view(np.uint8)

    def ways(self, frame: int) -> None:
        """The roots' paths on the floor: strong as far as they are walked, pale from there on."""
        if self.way_points is None:
            return
        count, length = self.way_points.shape[:2]
        here = frame if length == len(self.scene) else length - 1
        pixels, _ = self.scene.project(self.way_points, frame)
        self.halves.points[:count] = pixels[:, np.maximum(self.steps, here)]
        self.halves.points[count:] = pixels[:, np.minimum(self.steps, here)]
        colours = [(*of[0], alpha) for alpha in (0.25, 0.66) for of in self.colours[-count:]]
        width = max(1.2, self.scene.height / 300)
        self.canvas.lines(self.halves, colours, width)
        self.canvas.touch(boxes_round(self.halves.points[:, self.parts].reshape(-1, self.parts.shape[1], 2), width))

    def labels(self, frame: int) -> None:
        """A name over each figure's head."""
        scene = self.scene
        size = 0.82 * _font_size(min(scene.width, scene.height))
        for name, joints, colours in zip(self.names, scene.figures[:, frame], self.colours, strict=False):
            (x, y), _ = scene.project(joints[15] + [0, 0.34, 0], frame)
            self.canvas.text(x, y, name, size, colours[0])

    def _write_caption(self, lines: Sequence[str]) -> None:
        ink = (0.93, 0.93, 0.91) if scenes.is_dark(self.background) else (0.20, 0.22, 0.26)
        size = _font_size(min(self.scene.width, self.scene.height))
        for row, line in enumerate(lines):
            self.canvas.text(self.scene.width / 2, (row + 1) * 1.32 * size, line, size, ink)

    def picture(self) -> Frame:
        """The canvas as uint8 [H, W, 3], not to be written to; it is not drawn on again while anything looks at it.

        It leaves out the fourth channel, which the encoder takes as it is: to cut it off would take longer than all.
        """
        return self.canvas.lend()[..., :3]


class Shapes:
    """So many shapes, each of outlines or lines with so many points: made once, their points are written every frame.

    points: [N, P, 2], pixels with y down. A matplotlib Path takes as long to make as to draw; of it Agg reads but the
    four attributes that stand here.
    """

    def __init__(self, count: int, lengths: Sequence[int]) -> None:
        self.points = np.zeros((count, sum(lengths), 2))
        codes = np.full(sum(lengths), 2, dtype=np.uint8)  # a line to here
        codes[np.cumsum([0, *lengths[:-1]])] = 1  # a new outline from here
        self.paths = [
            SimpleNamespace(vertices=points, codes=codes, should_simplify=False, simplify_threshold=0.0)
            for points in self.points
        ]


class Canvas:
    """The few strokes needed of matplotlib's Agg renderer, in pixels with y down."""

    def __init__(self, width: int, height: int) -> None:
        from matplotlib.backends.backend_agg import RendererAgg
        from matplotlib.transforms import Affine2D, IdentityTransform

        self.renderer: Any = RendererAgg(width, height, 72)  # 72 dpi: a point is a pixel
        self.whole = [0, 0, width, height]
        self.changed = [self.whole]
        self.lent: Callable[[], Frame | None] = lambda: None
        self.flip, self.same = Affine2D().scale(1, -1).translate(0, height).frozen(), IdentityTransform()
        self.gc = self.renderer.new_gc()
        self.gc.set_antialiased(True)
        self.gc.set_snap(False)
        self.gc.set_capstyle("round")
        self.gc.set_joinstyle("round")

    @property
    def pixels(self) -> Frame:
        """All of it, uint8 RGBA [H, W, 4], to be written to."""
        self.changed = [self.whole]
        return np.asarray(self.renderer.buffer_rgba())

    def lend(self) -> Frame:
        """All of it, to be looked at only; `lent` returns it for as long as it or any view of it is in use."""
        pixels = np.asarray(self.renderer.buffer_rgba())
        pixels.flags.writeable = False
        self.lent = weakref.ref(pixels)
        return pixels

    def clean(self, picture: Frame) -> None:
        """Show this picture again: wherever something was drawn since."""
        pixels = np.asarray(self.renderer.buffer_rgba()).view(np.uint32)[..., 0]
        for x0, y0, x1, y1 in self.changed:
            if x0 < x1 and y0 < y1:
                pixels[y0:y1, x0:x1] = picture.view(np.uint32)[y0:y1, x0:x1, 0]
        self.changed = []

    def touch(self, boxes: Array) -> None:
        """Remember that something is drawn within these boxes [N, 4]: left, top, right, bottom."""
        self.changed += np.clip(boxes, 0, self.whole[2:] * 2).astype(int).tolist()

    def fill(self, shapes: Sequence[Any], colours: Any) -> None:
        """Fill shapes one over the other, each in its colour [N, 4]; one shape's outlines do not darken each other."""
        self._draw(shapes, colours, np.empty((0, 4)), 0.0)

    def lines(self, shapes: Shapes, colours: Any, width: float) -> None:
        """Stroke lines, round at their ends, as `fill` fills outlines."""
        self._draw(shapes.paths, np.empty((0, 4)), colours, width)

    def _draw(self, paths: Sequence[Any], faces: Any, edges: Any, width: float) -> None:
        self.renderer.draw_path_collection(
            self.gc, self.flip, paths, np.empty((0, 3, 3)), np.empty((0, 2)), self.same,
            faces, edges, [width], [(0, None)], [1], [None], "screen",
        )  # fmt: skip

    def text(self, x: float, y: float, text: str, size: float, colour: Colour) -> None:
        """Write text centred at x with its baseline at y; letters the font lacks become boxes, silently."""
        from matplotlib.font_manager import FontProperties

        font = FontProperties(family=["DejaVu Sans"], size=size)
        logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            width, height, _ = self.renderer.get_text_width_height_descent(text, font, ismath=False)
            self.gc.set_foreground(colour)
            self.gc.set_alpha(1.0)
            self.renderer.draw_text(self.gc, x - width / 2, y, text, font, 0, ismath=False)
        self.touch(np.array([[x - width / 2 - height, y - 2 * height, x + width / 2 + height, y + height]]))


def boxes_round(points: Array, margin: float) -> Array:
    """Left, top, right and bottom of each row of points [N, P, 2] with a margin round them: [N, 4]."""
    x, y = points[..., 0], points[..., 1]
    low_x, low_y = x.min(axis=1) - margin, y.min(axis=1) - margin
    return np.stack([low_x, low_y, x.max(axis=1) + margin + 1, y.max(axis=1) + margin + 1], axis=1)


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


def _font_size(side: int) -> float:
    return 0.0355 * side


def _strength(distance: Array) -> Array:
    """How much of the floor is left at this distance, in stages: all of it within a third, nothing beyond one."""
    away = np.clip((distance - 0.35) / 0.65, 0.0, 1.0)
    return 1 - away * away * (3 - 2 * away)


def _grid(scene: Scene, frame: int) -> tuple[Array, Array]:
    """The floor's lines round the target, cut by rings that fade: they lie still in the world while the camera moves.

    Pieces of lines [rings, N, 2, 3], some of them nothing, and how strong each ring is [rings].
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
    return pieces.reshape(count, -1, 2, 3), strength
