"""Everything in a picture but the figures: ground, grid, paths on the floor, caption and labels.

What never changes (the lit ground, the caption, the whole floor under a fixed camera) is drawn once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from . import scene as scenes
from .canvas import Canvas, Frame, Shapes, boxes_round
from .scene import GRID_STEP, CameraMode, Colour, Figure, Scene, build_scene

Array = NDArray[np.floating]

BACKGROUND = "#eeece7"


class Options(TypedDict, total=False):
    """The options of a picture; the defaults stand in `build_backdrop`.

    size: pixels, one number or (width, height). camera: "follow" goes along with the figures, "fixed" stays.
    caption: text above, wrapped. labels: a short name over each figure's head. background: any colour matplotlib knows.
    path: the root's path on the floor, the walked part strong. grid: lines every half metre. azimuth: degrees round the
    figure, 0 looks it in the face, -90 sees it walk to the right. elevation: degrees above the horizon.
    spacing: metres between several figures, 0 leaves them where they are.
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


VIDEO_OPTIONS = (*Options.__annotations__, "backend", "body_model", "person")
"""The names of the options of videos."""
STRIP_OPTIONS = ("size", "caption", "background", "elevation", "poses", "backend", "body_model", "person")
"""The names of the options of strips."""


def build_backdrop(
    figures: Sequence[Figure],
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
    floor: float = 0.0,
) -> Backdrop:
    """Check all options and lay the clip out. floor: metres, the floor's height. ValueError says what to change."""
    lines, names = caption_lines(caption, size), list(labels or [])
    if not names and any(figure.label for figure in figures):
        names = [figure.label or "" for figure in figures]
    scene = build_scene(
        figures, size=size, camera=camera, azimuth=azimuth, elevation=elevation, spacing=spacing,
        caption_lines=len(lines) + bool(names), floor=floor,
    )  # fmt: skip
    if names and len(names) != len(scene.figures):
        raise ValueError(f"{len(names)} labels for {len(scene.figures)} figures; pass one for each.")
    paths = scene.figures[:, :, 0] if path else None
    return Backdrop(scene, scenes.rgb(background), lines, names, grid, paths)


def build_strip_backdrop(
    figure: Figure,
    poses: int = 6,
    *,
    size: tuple[int, int] = (1280, 420),
    caption: str | None = None,
    background: Any = BACKGROUND,
    elevation: float = 12.0,
    floor: float = 0.0,
) -> Backdrop:
    """The backdrop of a still strip: `poses` moments of one motion, a figure for each, from pale first to strong last.

    They stand where they happened if the motion travels far enough, seen from its side; otherwise side by side.
    """
    lines = caption_lines(caption, size)
    scene, path = scenes.build_strip_scene(
        figure, poses, size=size, elevation=elevation, caption_lines=len(lines), floor=floor
    )
    return Backdrop(scene, scenes.rgb(background), lines, paths=None if path is None else path[None], fade=True)


class Backdrop:
    """What one clip is drawn on. For each frame: start_frame, draw_paths, the figures, draw_labels, finished.

    paths: [N, P, 3], paths on the floor; with as many points as frames they are walked frame by frame, otherwise they
    count as walked. fade: the figures are one figure's moments, from pale to strong.
    """

    def __init__(
        self,
        scene: Scene,
        background: Colour,
        caption: Sequence[str] = (),
        names: Sequence[str] = (),
        grid: bool = True,
        paths: Array | None = None,
        fade: bool = False,
    ) -> None:
        self.scene, self.background, self.names = scene, background, names
        self.path_points = None if paths is None else paths * [1, 0, 1] + [0, scene.floor, 0]
        dark = scenes.is_dark(background)
        self.ground = scenes.mix(background, (1.0, 1.0, 1.0), 0.10 if dark else 0.75)
        self.ink = scenes.mix(background, (1.0, 1.0, 1.0) if dark else (0.25, 0.27, 0.32), 0.28 if dark else 0.30)
        self.shade: Colour = (0.0, 0.0, 0.0) if dark else (0.20, 0.20, 0.24)
        self.fade = fade
        self.colours = scenes.palettes(len(scene.figures), background, fade)
        if paths is not None:
            self.steps = np.linspace(0, paths.shape[1] - 1, min(paths.shape[1], 512)).astype(int)
            self.halves = Shapes(2 * len(paths), [len(self.steps)])  # ahead of each figure, then behind each
            # The box round a whole path is large, the boxes round its parts are small; each ends where the next begins.
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

    def start_frame(self, frame: int) -> None:
        """Begin a picture: ground and grid, which fade into the background, and the caption."""
        unused = [canvas for canvas in self.canvases if canvas.lent() is None]
        self.canvas = unused[0] if unused else Canvas(self.scene.width, self.scene.height)
        if not unused:
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
        middle, step = (rows * np.sqrt(len(shades) - 1) / self.scene.lit_radius for rows in self.scene.floor_rows())
        terms = [np.sum(a * b, axis=1)[:, None] for a, b in ((middle, middle), (2 * middle, step), (step, step))]
        a, b, c = (
            np.nan_to_num(term, nan=far).astype(np.float32) for term, far in zip(terms, (1e9, 0, 0), strict=True)
        )
        x = np.arange(self.scene.width, dtype=np.float32) + np.float32(0.5 - self.scene.centre[0])
        square = np.clip(a + x * (b + x * c), 0, len(shades) - 1)
        return shades.view(np.uint32)[square.astype(np.uint16), 0][..., None].view(np.uint8)

    def draw_paths(self, frame: int) -> None:
        """Draw the roots' paths on the floor: strong as far as they are walked, pale beyond."""
        if self.path_points is None:
            return
        count, length = self.path_points.shape[:2]
        here = frame if length == len(self.scene) else length - 1
        pixels, _ = self.scene.project(self.path_points, frame)
        self.halves.points[:count] = pixels[:, np.maximum(self.steps, here)]
        self.halves.points[count:] = pixels[:, np.minimum(self.steps, here)]
        colours = [(*of[0], alpha) for alpha in (0.25, 0.66) for of in self.colours[-count:]]
        width = max(1.2, self.scene.height / 300)
        self.canvas.lines(self.halves, colours, width)
        self.canvas.touch(boxes_round(self.halves.points[:, self.parts].reshape(-1, self.parts.shape[1], 2), width))

    def draw_labels(self, frame: int) -> None:
        """Write a name over each figure's head."""
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

    def finished(self) -> Frame:
        """The picture as read-only uint8 [H, W, 3]; its canvas is not used again as long as the picture is in use.

        It is a view without the fourth channel: a copy would take longer than all the drawing.
        """
        return self.canvas.lend()[..., :3]


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
    """How much of the floor shows at a distance, in lit radii: all of it within a third, nothing beyond one."""
    away = np.clip((distance - 0.35) / 0.65, 0.0, 1.0)
    return 1 - away * away * (3 - 2 * away)


def _grid(scene: Scene, frame: int) -> tuple[Array, Array]:
    """The floor's lines round the target, cut by rings that fade; the lines lie still while the camera moves.

    Returns pieces of lines [rings, N, 2, 3], some of them empty, and the strength of each ring [rings].
    """
    rings = scene.lit_radius * np.array([0.0, 0.40, 0.55, 0.68, 0.80, 0.95])
    steps = GRID_STEP * np.arange(-np.ceil(scene.lit_radius / GRID_STEP), np.ceil(scene.lit_radius / GRID_STEP) + 1)
    middle = scene.target[frame, [0, 2]]
    across = (
        GRID_STEP * np.round(middle[::-1, None] / GRID_STEP) + steps
    )  # [2, S]: z of the lines along x, x of those along z
    reach = np.sqrt(np.maximum(rings[:, None, None] ** 2 - (across - middle[::-1, None]) ** 2, 0.0))
    spans = np.stack([reach[:-1], reach[1:]], axis=-1)[:, :, None] * np.array([-1.0, 1.0])[:, None, None]
    pieces = np.full((*spans.shape, 3), scene.floor)  # [rings, 2, 2 sides, S, 2, 3]
    for axis in (0, 1):
        pieces[:, axis, ..., 2 * axis] = middle[axis] + spans[:, axis]
        pieces[:, axis, ..., 2 - 2 * axis] = across[axis][:, None]
    count = len(rings) - 1
    strength = _strength((rings[1:] + rings[:-1]) / 2 / scene.lit_radius)
    return pieces.reshape(count, -1, 2, 3), strength
