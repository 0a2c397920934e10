"""Bodies: pyrender (EGL) where it works, else a plain numpy z-buffer; nobody needs to care which.

Light is computed here once per vertex, floor, shadow, path and caption are the stage's. A rasteriser only fills
triangles with the colours it is given, so both give the same picture up to the smoothing of edges.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from functools import cache
from itertools import chain
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

from scamo.body.mannequin import vertex_normals

from . import scene as scenes
from .scene import Scene
from .stage import Frame, Stage, set_stage, set_strip

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from scamo.body.smpl import Body

    from .stage import Options

Array = NDArray[np.floating]
Backend = Literal["auto", "pyrender", "numpy"]

CLAY: tuple[float, float, float] = (0.90, 0.88, 0.84)
_LEFT = [1, 4, 7, 10, 16, 18, 20, 22]
_RIGHT = [2, 5, 8, 11, 17, 19, 21, 23]
_TINT = 0.55  # how much of its side's colour a limb shows
_SOFT = 0.03  # metres by which the shadow's edge is blurred
_TEXEL = 0.015


def mesh_frames(
    motions: Any, body: Body | None = None, *, backend: Backend = "auto", **options: Unpack[Options]
) -> Iterator[Frame]:
    """Draw a motion, or several side by side, as bodies: uint8 [H, W, 3] frame by frame, nothing is kept.

    As `stick_frames`, with the same options, camera and floor. body: the mannequin if None. backend: "pyrender" and
    "numpy" force a rasteriser, "auto" takes pyrender where its probe passes. ValueError for what cannot be drawn,
    before the first frame is asked for.
    """
    body = body or _mannequin()
    stage = set_stage(motions, **options, floor=-body.sole)
    painter = _Painter(stage, body, _chosen(backend))
    return painter.clip([scenes.as_joints(motion) for motion in scenes.as_list(motions)])


def mesh_strip(
    motion: Any, poses: int = 6, body: Body | None = None, *, backend: Backend = "auto", **options: Any
) -> Frame:
    """One still picture, uint8 [H, W, 3], of `poses` moments of a motion. Options: see `stage.set_strip`."""
    body = body or _mannequin()
    stage = set_strip(motion, poses, floor=-body.sole, **options)
    painter = _Painter(stage, body, _chosen(backend))
    return next(painter.clip(list(stage.scene.figures)))


def _mannequin() -> Body:
    from scamo.body.smpl import load_body

    return load_body()


class Rasteriser(Protocol):
    """Fills triangles. Pixels outside are transparent; colours at half-covered edges are darker, as if over black."""

    def draw(
        self, scene: Scene, frame: int, vertices: Array, faces: NDArray[np.int64], colours: Array
    ) -> tuple[Frame, tuple[slice, slice]]:
        """vertices [V, 3], colours [V, 3] 0..1 -> uint8 RGBA of a part of the picture, and which part."""


class _Painter:
    def __init__(self, stage: Stage, body: Body, backend: Backend) -> None:
        self.stage, self.body, self.backend = stage, body, backend
        count = len(stage.scene.figures)
        self.faces = np.concatenate([body.faces + i * len(body.template) for i in range(count)])
        alike = count == 1 or stage.fade
        self.paint = np.concatenate([body_colours(body, colours, 0.0 if alike else 0.25) for colours in stage.colours])
        self.floor_points = stage.scene.floor_points()

    def clip(self, clips: list[Array]) -> Iterator[Frame]:
        """All frames; shorter clips hold their last pose."""
        length = len(self.stage.scene)
        streams = [
            self._vertices(joints, length, place[0, 0])
            for joints, place in zip(clips, self.stage.scene.figures, strict=True)
        ]
        with _rasteriser(self.backend, self.stage.scene) as rasteriser:
            for frame, bodies in enumerate(zip(*streams, strict=True)):
                yield self._draw(rasteriser, frame, np.stack(bodies))

    def _vertices(self, joints: Array, length: int, place: Array) -> Iterator[Array]:
        pose = self.body.fit(joints)
        moved = ((place - joints[0, 0]) * [1, 0, 1]).astype(np.float32)
        last = None
        for last in chain.from_iterable(self.body.vertices(pose)):
            yield last + moved
        for _ in range(length - len(joints)):
            yield last + moved

    def _draw(self, rasteriser: Rasteriser, frame: int, bodies: Array) -> Frame:
        stage, scene = self.stage, self.stage.scene
        stage.floor(frame)
        _cast_shadow(stage, frame, bodies, self.floor_points)
        stage.ways(frame)
        normals = vertex_normals(bodies, self.body.faces).reshape(-1, 3)
        vertices = bodies.reshape(-1, 3)
        colours = _lit(self.paint, vertices, normals, scene, frame)
        picture, where = rasteriser.draw(scene, frame, vertices, self.faces, colours)
        under = stage.canvas.pixels[where][..., :3]
        clear = (255 - picture[..., 3:].astype(np.uint16)) * under // 255
        under[:] = np.minimum(clear + picture[..., :3], 255)
        stage.labels(frame)
        return stage.picture()


def body_colours(body: Body, colours: tuple[scenes.Colour, ...], core_tint: float = 0.0) -> Array:
    """Colours [V, 3] of a body: clay, its limbs tinted by their side, and by `core_tint` the rest of it too."""
    core, left, right = (np.array(colour) for colour in colours)
    clay = np.array(CLAY) + core_tint * (core - CLAY)
    sides = [
        body.weights[:, [joint for joint in limbs if joint < body.weights.shape[1]]].sum(axis=1, keepdims=True)
        for limbs in (_LEFT, _RIGHT)
    ]
    return clay + _TINT * (sides[0] * (left - clay) + sides[1] * (right - clay))


def _lit(paint: Array, vertices: Array, normals: Array, scene: Scene, frame: int) -> Array:
    """Colours [V, 3] 0..1 under a soft key light, sky and ground light, a little gloss and a bright rim."""
    view = scene.eye(frame) - vertices
    view /= np.linalg.norm(view, axis=-1, keepdims=True)
    half = view + scene.light
    half /= np.linalg.norm(half, axis=-1, keepdims=True)
    key = np.clip((normals @ scene.light + 0.25) / 1.25, 0.0, 1.0)
    sky = 0.5 + 0.5 * normals[:, 1]
    near_floor = np.clip((vertices[:, 1] - scene.floor) / 0.25, 0.0, 1.0)
    gloss = np.clip((normals * half).sum(-1), 0.0, 1.0) ** 24
    rim = np.clip(1.0 - (normals * view).sum(-1), 0.0, 1.0) ** 3
    light = 0.50 + 0.14 * sky + 0.46 * key - 0.10 * (1 - near_floor)
    return np.clip(paint * light[:, None] + (0.10 * gloss + 0.08 * rim * sky)[:, None], 0.0, 1.0)


def _cast_shadow(stage: Stage, frame: int, bodies: Array, floor_points: Array) -> None:
    """Darken the floor where the bodies stand in the light: their vertices fall on it, are counted, and blurred."""
    scene = stage.scene
    light = scene.light
    points = bodies.reshape(-1, 3)
    height = np.maximum(points[:, 1] - scene.floor, 0.0)
    flat = points[:, [0, 2]] - light[[0, 2]] * (height / light[1])[:, None] - scene.target[frame, [0, 2]]
    low = flat.min(axis=0) - 5 * _SOFT
    texels = np.ceil((flat.max(axis=0) + 5 * _SOFT - low) / _TEXEL).astype(int)
    cell = ((flat - low) / _TEXEL).astype(int)
    count = np.bincount(cell[:, 0] * texels[1] + cell[:, 1], minlength=texels.prod()).reshape(texels)
    dark = 1 - np.exp(-0.45 * gaussian_filter(count.astype(np.float32), 1.3))
    dark = gaussian_filter(dark, _SOFT / _TEXEL)
    corners = np.array(
        [[x, z] for x in (low[0], low[0] + texels[0] * _TEXEL) for z in (low[1], low[1] + texels[1] * _TEXEL)]
    )
    ground = np.insert(corners + scene.target[frame, [0, 2]], 1, scene.floor, axis=1)
    pixels = scene.project(ground, frame)[0]
    x0, y0 = np.clip(np.floor(pixels.min(axis=0)), 0, [scene.width, scene.height]).astype(int)
    x1, y1 = np.clip(np.ceil(pixels.max(axis=0)) + 1, 0, [scene.width, scene.height]).astype(int)
    if x1 <= x0 or y1 <= y0:
        return
    spots = (floor_points[y0:y1, x0:x1] - low) / _TEXEL - 0.5
    shade = 0.30 * map_coordinates(dark, np.moveaxis(spots, -1, 0), order=1, mode="constant")[..., None]
    under = stage.canvas.pixels[y0:y1, x0:x1, :3]
    under[:] = np.round(under + (255 * np.array(stage.shade, dtype=np.float32) - under) * shade)


# --- rasterisers --------------------------------------------------------------------------------------------------


# pyrender shares one EGL display in a process and shuts it down with every renderer, under the hands of any other.
_display = threading.Lock()


def _chosen(backend: Backend) -> Backend:
    """The rasteriser to use, "auto" decided; ValueError where there is none of that name or it cannot work here."""
    if backend not in ("auto", "pyrender", "numpy"):
        raise ValueError(f'There is no renderer "{backend}"; choose "auto", "pyrender" or "numpy".')
    problem = pyrender_problem() if backend != "numpy" else ""
    if problem and backend == "pyrender":
        raise ValueError(problem)
    return "numpy" if problem else backend


@contextlib.contextmanager
def _rasteriser(backend: Backend, scene: Scene) -> Iterator[Rasteriser]:
    """Opened in the thread that draws. While somebody else draws with pyrender, "auto" takes the numpy one."""
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
    """Why pyrender cannot draw here, with the remedy; empty where it can. Import, creation and a picture are tried."""
    triangle = np.array([[-9.0, -9, -1], [9, -9, -1], [0, 9, -1]])
    try:
        with _display, contextlib.closing(_OffScreen(16, 16)) as screen:
            drawn = screen.render(triangle, np.array([[0, 1, 2]]), np.ones((3, 3)), np.eye(4), 16.0, (8.0, 8.0))
        return "" if drawn[8, 8, :3].min() > 200 else "pyrender draws black here; use the numpy renderer."
    except Exception as error:  # libraries that are absent, broken or too old fail in every way there is
        return (
            f"pyrender cannot draw on this machine ({type(error).__name__}: {error}). Install OpenGL with "
            "`apt-get install libegl1 libgl1` and `pip install pyrender==0.1.45`, or use the numpy renderer."
        )


class _OffScreen:
    """An EGL picture of a given size; knows triangles and a pinhole camera, nothing of motion."""

    def __init__(self, width: int, height: int) -> None:
        os.environ.setdefault("PYOPENGL_PLATFORM", "egl")  # pyrender reads it when it is imported, and not later
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

    Alpha is 0 or 1. Inside a triangle 1 / depth and the colours are linear in x and y. Triangles seen from behind are
    left out.
    """
    a, b, c = (points[faces[:, i]] for i in range(3))
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    front = area < -1e-6  # y runs down
    faces, a, b, c, area = faces[front], a[front], b[front], c[front], area[front]
    # Edge i lies opposite corner i; its value is corner i's share of the pixel, positive inside.
    edges = []
    for p, q in ((b, c), (c, a), (a, b)):
        slope_x, slope_y = (p[:, 1] - q[:, 1]) / area, (q[:, 0] - p[:, 0]) / area
        edges.append((slope_x, slope_y, -(slope_x * p[:, 0] + slope_y * p[:, 1])))
    low, high = np.minimum(np.minimum(a[:, 1], b[:, 1]), c[:, 1]), np.maximum(np.maximum(a[:, 1], b[:, 1]), c[:, 1])
    first = np.clip(np.ceil(low - 0.5), 0, height).astype(np.int64)
    rows = np.clip(np.floor(high - 0.5) + 1, 0, height).astype(np.int64) - first
    triangle, y = _runs(first, np.maximum(rows, 0))
    middle = y.astype(np.float32) + np.float32(0.5)
    left, right = np.zeros(len(y), dtype=np.float32), np.full(len(y), width, dtype=np.float32)
    for slope_x, slope_y, constant in edges:
        along = slope_x[triangle]
        with np.errstate(divide="ignore", invalid="ignore"):
            cross = -(slope_y[triangle] * middle + constant[triangle]) / along
        left = np.where(along > 0, np.maximum(left, cross), left)
        right = np.where(along < 0, np.minimum(right, cross), right)
    start = np.ceil(left - 0.5).astype(np.int64)
    row, x = _runs(start, np.maximum(np.floor(right - 0.5).astype(np.int64) + 1 - start, 0))
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
    seen = np.flatnonzero(nearest >= 0)
    triangle = nearest[seen] & 0xFFFFFFFF
    centre_x = (seen % width).astype(np.float32) + np.float32(0.5)
    centre_y = (seen // width).astype(np.float32) + np.float32(0.5)
    out = np.zeros((width * height, 4), dtype=np.float32)
    shades = np.insert(colours.astype(np.float32), 3, 1.0, axis=1)[faces]
    colour = np.zeros((len(seen), 4), dtype=np.float32)
    for i, (slope_x, slope_y, constant) in enumerate(edges):
        share = slope_x[triangle] * centre_x + slope_y[triangle] * centre_y + constant[triangle]
        colour += share[:, None] * shades[triangle, i]
    out[seen] = np.clip(colour, 0.0, 1.0)
    return out.reshape(height, width, 4)


def _runs(start: NDArray[np.int64], count: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For runs of `count` numbers from `start` on: which run each number belongs to, and the numbers."""
    run = np.repeat(np.arange(len(count)), count)
    return run, np.arange(len(run)) - np.repeat(np.cumsum(count) - count, count) + start[run]
