"""Bodies and people: light is computed per vertex, a rasteriser fills the triangles, the backdrop gives the rest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

from scamo.body.person import REGIONS, Person, load_person
from scamo.body.surface import vertex_normals

from . import scene as scenes
from .backdrop import Backdrop, build_backdrop, build_strip_backdrop
from .canvas import Frame
from .rasteriser import Backend, Rasteriser, choose_backend, open_rasteriser
from .scene import Figure, Motions, Scene, one_figure, to_figures

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from scamo.body.smpl import Body
    from scamo.motion import Motion

    from .backdrop import Options

Array = NDArray[np.floating]

CLAY: tuple[float, float, float] = (0.90, 0.88, 0.84)
_LEFT = [1, 4, 7, 10, 16, 18, 20, 22]
_RIGHT = [2, 5, 8, 11, 17, 19, 21, 23]
_TINT = 0.55  # how much of its side's colour a limb shows
_CORE_TINT, _SHIRT_TINT = 0.25, 0.75  # how much of a figure's colour a body, a shirt shows in company
_SHIRT = REGIONS.index("shirt")
_SOFT = 0.03  # metres by which the shadow's edge is blurred
_TEXEL = 0.015


def mesh_frames(
    motions: Motions,
    body: Body | Person | Sequence[Person] | None = None,
    *,
    fps: float | None = None,
    backend: Backend = "auto",
    **options: Unpack[Options],
) -> Iterator[Frame]:
    """Draw a motion, or several side by side, as bodies: uint8 [H, W, 3] frame by frame, nothing is kept.

    motions, fps and options as for `stick_frames`, with the same camera and floor. body: a body or person for all, or a
    person for each; the neutral person if None. backend: "pyrender" and "numpy" force a rasteriser, "auto" takes
    pyrender where it works. ValueError for what cannot be drawn, before the first frame is drawn.
    """
    figures = to_figures(motions, fps)
    bodies = _one_for_each(body, len(figures))
    figures = [_fitted(figure, one, bodies[0]) for figure, one in zip(figures, bodies, strict=True)]
    floor = -bodies[0].sole if bodies else 0.0
    painter = _Painter(build_backdrop(figures, **options, floor=floor), bodies, choose_backend(backend))
    return painter.frames([figure.joints for figure in figures])


def mesh_strip(
    motion: Motion | Array,
    poses: int = 6,
    body: Body | Person | None = None,
    *,
    backend: Backend = "auto",
    **options: Any,
) -> Frame:
    """One still picture, uint8 [H, W, 3], of `poses` moments of a motion. Options: see `build_strip_backdrop`."""
    body = body or load_person()
    backdrop = build_strip_backdrop(_fitted(one_figure(motion), body, body), poses, floor=-body.sole, **options)
    moments = list(backdrop.scene.figures)
    return next(_Painter(backdrop, [body] * len(moments), choose_backend(backend)).frames(moments))


def _one_for_each(body: Body | Person | Sequence[Person] | None, count: int) -> Sequence[Body | Person]:
    if not isinstance(body, Sequence):
        return [body or load_person()] * count
    if len(body) != count:
        raise ValueError(f"{len(body)} people for {count} motions; pass one for each, or one for all.")
    return body


def _fitted(figure: Figure, body: Body | Person, first: Body | Person) -> Figure:
    """The figure as this person stands: joints at the person's size, soles as low as the first one's."""
    if not isinstance(body, Person):
        return figure
    return replace(figure, joints=body.fit(figure.joints) + [0, body.sole - first.sole, 0])


class _Painter:
    def __init__(self, backdrop: Backdrop, bodies: Sequence[Body | Person], backend: Backend) -> None:
        self.backdrop, self.bodies, self.backend = backdrop, bodies, backend
        starts = np.cumsum([0, *(len(body.template) for body in bodies)])
        self.faces = np.concatenate([body.faces + start for body, start in zip(bodies, starts, strict=False)])
        alike = len(bodies) == 1 or backdrop.fade
        self.paint = np.concatenate(
            [paint(body, colours, not alike) for body, colours in zip(bodies, backdrop.colours, strict=True)]
        )
        self.floor_points = backdrop.scene.floor_points()

    def frames(self, clips: list[Array]) -> Iterator[Frame]:
        """All frames of joints [T, 22, 3] each; shorter clips hold their last pose."""
        length = len(self.backdrop.scene)
        streams = [
            _vertices(body, joints, length, place[0, 0], self.backdrop.scene.floor)
            for body, joints, place in zip(self.bodies, clips, self.backdrop.scene.figures, strict=True)
        ]
        with open_rasteriser(self.backend, self.backdrop.scene) as rasteriser:
            for frame, skins in enumerate(zip(*streams, strict=True)):
                yield self._draw(rasteriser, frame, skins)

    def _draw(self, rasteriser: Rasteriser, frame: int, skins: Sequence[Array]) -> Frame:
        backdrop, scene = self.backdrop, self.backdrop.scene
        backdrop.start_frame(frame)
        vertices = np.concatenate(skins)
        _cast_shadow(backdrop, frame, vertices, self.floor_points)
        backdrop.draw_paths(frame)
        normals = np.concatenate([normals_of(body, skin) for body, skin in zip(self.bodies, skins, strict=True)])
        colours = _lit(self.paint, vertices, normals, scene, frame)
        picture, where = rasteriser.draw(scene, frame, vertices, self.faces, colours)
        under = backdrop.canvas.pixels[where][..., :3]
        clear = (255 - picture[..., 3:].astype(np.uint16)) * under // 255
        under[:] = np.minimum(clear + picture[..., :3], 255)
        backdrop.draw_labels(frame)
        return backdrop.finished()


def _vertices(body: Body | Person, joints: Array, length: int, place: Array, floor: float) -> Iterator[Array]:
    """A body's vertices in every frame, moved to its place over the floor; it holds the last pose until `length`."""
    pieces = body.vertices(joints, floor) if isinstance(body, Person) else body.vertices(body.fit(joints))
    moved = ((place - joints[0, 0]) * [1, 0, 1]).astype(np.float32)
    last = None
    for last in chain.from_iterable(pieces):
        yield last + moved
    for _ in range(length - len(joints)):
        yield last + moved


def normals_of(body: Body | Person, vertices: Array) -> Array:
    """Unit normals [V, 3] of a body's vertices [V, 3]."""
    return body.normals(vertices) if isinstance(body, Person) else vertex_normals(vertices, body.faces)


def paint(body: Body | Person, colours: tuple[scenes.Colour, ...], in_company: bool = False) -> Array:
    """Colours [V, 3] of a body beside others or alone. colours: of core, left and right, see `palettes`.

    A person wears own colours, in company a shirt of the core's colour. Other bodies are of clay, the limbs tinted by
    their side, in company the rest tinted as well.
    """
    core, left, right = (np.array(colour) for colour in colours)
    if isinstance(body, Person):
        table = body.colours.copy()
        table[_SHIRT] += _SHIRT_TINT * in_company * (core - table[_SHIRT])
        return table[body.regions]
    clay = np.array(CLAY) + (_CORE_TINT if in_company else 0.0) * (core - CLAY)
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


def _cast_shadow(backdrop: Backdrop, frame: int, vertices: Array, floor_points: Array) -> None:
    """Darken the floor in the bodies' shadow: vertices are projected along the light, counted and blurred."""
    scene = backdrop.scene
    light = scene.light
    points = vertices.reshape(-1, 3)
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
    under = backdrop.canvas.pixels[y0:y1, x0:x1, :3]
    under[:] = np.round(under + (255 * np.array(backdrop.shade, dtype=np.float32) - under) * shade)
