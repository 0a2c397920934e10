"""The drawing surface: outlines, lines and text by matplotlib's Agg rasteriser, without its axes.

Axes cost ninety milliseconds a frame. A canvas remembers where it was drawn on, so that it can be cleaned there and
used again: a frame then costs what changes in it and not what it measures.
"""

from __future__ import annotations

import logging
import warnings
import weakref
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .scene import Colour

Array = NDArray[np.floating]
Frame = NDArray[np.uint8]


class Shapes:
    """A fixed number of shapes, each of outlines or lines; their points are written anew for every frame.

    count: how many shapes; lengths: the points of each outline in a shape. points: [N, P, 2], pixels with y down. A
    matplotlib Path takes as long to create as to draw, and Agg reads only the four attributes that stand here.
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
    """A picture in memory with the few strokes that are needed, in pixels with y down."""

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
        """The whole picture, uint8 RGBA [H, W, 4], for writing."""
        self.changed = [self.whole]
        return np.asarray(self.renderer.buffer_rgba())

    def lend(self) -> Frame:
        """The whole picture, read-only; `lent` returns it as long as it or a view of it is in use."""
        pixels = np.asarray(self.renderer.buffer_rgba())
        pixels.flags.writeable = False
        self.lent = weakref.ref(pixels)
        return pixels

    def clean(self, picture: Frame) -> None:
        """Copy this picture back to the places where something was drawn since the last call."""
        pixels = np.asarray(self.renderer.buffer_rgba()).view(np.uint32)[..., 0]
        for x0, y0, x1, y1 in self.changed:
            if x0 < x1 and y0 < y1:
                pixels[y0:y1, x0:x1] = picture.view(np.uint32)[y0:y1, x0:x1, 0]
        self.changed = []

    def touch(self, boxes: Array) -> None:
        """Note that something is drawn within these boxes [N, 4]: left, top, right, bottom."""
        self.changed += np.clip(boxes, 0, self.whole[2:] * 2).astype(int).tolist()

    def fill(self, shapes: Sequence[Any], colours: Any) -> None:
        """Fill shapes one over the other, each in its colour [N, 4]; outlines of one shape do not darken each other."""
        self._draw(shapes, colours, np.empty((0, 4)), 0.0)

    def lines(self, shapes: Shapes, colours: Any, width: float) -> None:
        """Stroke lines with round ends, one over the other, each in its colour [N, 4]."""
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
