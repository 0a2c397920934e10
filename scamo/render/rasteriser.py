"""Rasterisers fill triangles: pyrender (OpenGL through EGL) where it works, otherwise a z-buffer in numpy.

Light is computed per vertex before, so both give the same picture up to the smoothing of edges.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from functools import cache
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from .canvas import Frame
from .scene import Scene

Array = NDArray[np.floating]
Backend = Literal["auto", "pyrender", "numpy"]


class Rasteriser(Protocol):
    """Fills triangles. Pixels outside are transparent; half-covered pixels at edges have their colour over black."""

    def draw(
        self, scene: Scene, frame: int, vertices: Array, faces: NDArray[np.int64], colours: Array
    ) -> tuple[Frame, tuple[slice, slice]]:
        """vertices [V, 3], colours [V, 3] 0..1 -> uint8 RGBA of a part of the picture, and which part."""


# pyrender shares one EGL display in a process, and every renderer that closes shuts it down for all others.
_display = threading.Lock()


def choose_backend(backend: Backend) -> Backend:
    """The rasteriser to use, "auto" decided; ValueError if there is none of that name or it cannot work here."""
    if backend not in ("auto", "pyrender", "numpy"):
        raise ValueError(f'There is no renderer "{backend}"; choose "auto", "pyrender" or "numpy".')
    problem = pyrender_problem() if backend != "numpy" else ""
    if problem and backend == "pyrender":
        raise ValueError(problem)
    return "numpy" if problem else backend


@contextlib.contextmanager
def open_rasteriser(backend: Backend, scene: Scene) -> Iterator[Rasteriser]:
    """A rasteriser, opened in the thread that draws. While another thread draws with pyrender, "auto" takes numpy."""
    if backend == "numpy" or not _display.acquire(blocking=backend == "pyrender"):
        yield NumpyRasteriser()
        return
    try:
        screen = _OffScreen(scene.width, scene.height)
        try:
            yield PyrenderRasteriser(screen)
        finally:
            screen.close()
    finally:
        _display.release()


@cache
def pyrender_problem() -> str:
    """Why pyrender cannot draw here, with a remedy, or "" if it can. Import, creation and a small picture are tried."""
    triangle = np.array([[-9.0, -9, -1], [9, -9, -1], [0, 9, -1]])
    try:
        with _display, contextlib.closing(_OffScreen(16, 16)) as screen:
            drawn = screen.render(triangle, np.array([[0, 1, 2]]), np.ones((3, 3)), np.eye(4), 16.0, (8.0, 8.0))
        return "" if drawn[8, 8, :3].min() > 200 else "pyrender draws black here; use the numpy renderer."
    except Exception as error:  # absent, broken and old libraries raise all kinds of exceptions
        return (
            f"pyrender cannot draw on this machine ({type(error).__name__}: {error}). Install OpenGL with "
            "`apt-get install libegl1 libgl1` and `pip install pyrender==0.1.45`, or use the numpy renderer."
        )


class _OffScreen:
    """An EGL picture of a given size, with triangles and a pinhole camera."""

    def __init__(self, width: int, height: int) -> None:
        os.environ.setdefault("PYOPENGL_PLATFORM", "egl")  # pyrender reads it only when it is imported
        import pyglet

        pyglet.options["headless"] = True
        import pyrender

        self.pyrender = pyrender
        self.renderer = pyrender.OffscreenRenderer(width, height)

    def close(self) -> None:
        """Give the OpenGL context back."""
        self.renderer.delete()

    def render(
        self,
        vertices: Array,
        faces: NDArray[np.int64],
        colours: Array,
        pose: Array,
        focal: float,
        centre: tuple[float, float],
    ) -> Frame:
        """vertices [V, 3], colours [V, 3] 0..1, camera pose [4, 4] -> uint8 RGBA [H, W, 4]."""
        pyrender = self.pyrender
        primitive = pyrender.Primitive(
            positions=vertices.astype(np.float32),
            indices=faces.astype(np.uint32),
            color_0=np.concatenate([colours, np.ones((len(colours), 1))], axis=1).astype(np.float32),
            material=pyrender.MetallicRoughnessMaterial(baseColorFactor=(1.0, 1.0, 1.0, 1.0)),
        )
        scene = pyrender.Scene(bg_color=[0.0, 0.0, 0.0, 0.0])
        scene.add(pyrender.Mesh([primitive]))
        scene.add(pyrender.IntrinsicsCamera(focal, focal, *centre, znear=0.05, zfar=200.0), pose=pose)
        flags = pyrender.RenderFlags
        return self.renderer.render(scene, flags=flags.RGBA | flags.FLAT)[0]


class PyrenderRasteriser:
    """Triangles by OpenGL."""

    def __init__(self, screen: _OffScreen) -> None:
        self.screen = screen

    def draw(
        self, scene: Scene, frame: int, vertices: Array, faces: NDArray[np.int64], colours: Array
    ) -> tuple[Frame, tuple[slice, slice]]:
        pose = np.eye(4)
        pose[:3, :3] = scene.rotation.T
        pose[:3, 3] = scene.eye(frame)
        picture = self.screen.render(vertices, faces, colours, pose, scene.focal, scene.centre)
        return picture, (slice(None), slice(None))


class NumpyRasteriser:
    """Triangles by a z-buffer in numpy: rows of every triangle at once, then pixels of every row, four per pixel."""

    def draw(
        self, scene: Scene, frame: int, vertices: Array, faces: NDArray[np.int64], colours: Array
    ) -> tuple[Frame, tuple[slice, slice]]:
        pixels, depth = scene.project(vertices, frame)
        low = np.clip(np.floor(pixels.min(axis=0)) - 1, 0, [scene.width, scene.height]).astype(int)
        high = np.clip(np.ceil(pixels.max(axis=0)) + 1, 0, [scene.width, scene.height]).astype(int)
        width, height = np.maximum(high - low, 1)
        where = (slice(low[1], low[1] + height), slice(low[0], low[0] + width))
        fine = _fill(((pixels - low) * 2).astype(np.float32), depth, faces, colours, int(2 * width), int(2 * height))
        mean = (fine[::2, ::2] + fine[::2, 1::2] + fine[1::2, ::2] + fine[1::2, 1::2]) * np.float32(255 / 4)
        return (mean + np.float32(0.5)).astype(np.uint8), where


def _fill(points: Array, depth: Array, faces: NDArray[np.int64], colours: Array, width: int, height: int) -> Array:
    """Z-buffered triangles: points [V, 2] in pixels, depth [V], colours [V, 3] -> float32 [height, width, 4].

    Alpha is 0 or 1. Inside a triangle 1 / depth and the colours are linear in x and y. Triangles whose back
    is in view are left out.
    """
    a, b, c = (points[faces[:, i]] for i in range(3))
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    facing = area < -1e-6  # y runs down
    faces, a, b, c, area = faces[facing], a[facing], b[facing], c[facing], area[facing]
    # Edge i lies opposite corner i; its value is corner i's share of the pixel, positive inside.
    edges = []
    for p, q in ((b, c), (c, a), (a, b)):
        slope_x, slope_y = (p[:, 1] - q[:, 1]) / area, (q[:, 0] - p[:, 0]) / area
        edges.append((slope_x, slope_y, -(slope_x * p[:, 0] + slope_y * p[:, 1])))
    low, high = np.minimum(np.minimum(a[:, 1], b[:, 1]), c[:, 1]), np.maximum(np.maximum(a[:, 1], b[:, 1]), c[:, 1])
    first = np.clip(np.ceil(low - 0.5), 0, height).astype(np.int32)  # half of what 64 bits have to be moved
    rows = np.clip(np.floor(high - 0.5) + 1, 0, height).astype(np.int32) - first
    triangle, y = _runs(first, np.maximum(rows, 0))
    middle = y.astype(np.float32) + np.float32(0.5)
    left, right = np.zeros(len(y), dtype=np.float32), np.full(len(y), width, dtype=np.float32)
    for slope_x, slope_y, constant in edges:
        along = slope_x[triangle]
        with np.errstate(divide="ignore", invalid="ignore"):
            cross = -(slope_y[triangle] * middle + constant[triangle]) / along
        left = np.where(along > 0, np.maximum(left, cross), left)
        right = np.where(along < 0, np.minimum(right, cross), right)
    start = np.ceil(left - 0.5).astype(np.int32)
    row, x = _runs(start, np.maximum(np.floor(right - 0.5).astype(np.int32) + 1 - start, 0))
    x = np.minimum(x, width - 1)
    triangle, y = triangle[row], y[row]
    nearness = (1.0 / depth).astype(np.float32)[faces]
    slope_x, slope_y, constant = (np.stack([edge[k] for edge in edges], axis=1) for k in range(3))
    tilt_x, tilt_y, height_0 = ((plane * nearness).sum(axis=1) for plane in (slope_x, slope_y, constant))
    z = tilt_x[triangle] * (x.astype(np.float32) + np.float32(0.5))
    z += tilt_y[triangle] * middle[row] + height_0[triangle]
    key = (np.clip(z, 0, 60) * np.float32(2**24)).astype(np.int64) << 32 | triangle
    nearest = np.full(width * height, -1, dtype=np.int64)
    np.maximum.at(nearest, y * width + x, key)
    covered = np.flatnonzero(nearest >= 0)
    triangle = nearest[covered] & 0xFFFFFFFF
    y, x = np.divmod(covered, width)
    # Each triangle's colours as planes over the picture: one row of numbers is fetched for every pixel.
    shades = colours.astype(np.float32)[faces]
    planes = np.stack([np.einsum("fk,fkc->fc", plane, shades) for plane in (slope_x, slope_y, constant)], axis=1)
    across, down, start = np.moveaxis(planes[triangle], 1, 0)
    out = np.zeros((width * height, 4), dtype=np.float32)
    shade = across * (x.astype(np.float32) + np.float32(0.5))[:, None]
    shade += down * (y.astype(np.float32) + np.float32(0.5))[:, None]
    shade += start
    out[covered, :3] = np.clip(shade, 0.0, 1.0, out=shade)
    out[covered, 3] = 1.0
    return out.reshape(height, width, 4)


def _runs(start: NDArray[np.int32], count: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """For runs of `count` numbers from `start` on: which run each number belongs to, and the numbers."""
    run = np.repeat(np.arange(len(count), dtype=np.int32), count)
    return run, np.arange(len(run), dtype=np.int32) + (start - np.cumsum(count, dtype=np.int32) + count)[run]
