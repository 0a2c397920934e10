"""What every renderer shares: the places of the figures, camera, light, floor and colours.

A picture is laid out once, in numpy, for the whole clip. The stick figure, the numpy rasteriser and pyrender differ
only in how they fill pixels, so switching between them moves nothing. World: metres, Y up, floor at y = 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from scamo.motion import FPS, Motion, resample_joints
from scamo.skeleton import checked_joints

Array = NDArray[np.floating]
Colour = tuple[float, float, float]
CameraMode = Literal["follow", "fixed"]

FOCAL = 1.9  # focal length in picture heights: a long lens, which does not enlarge limbs near the camera
MARGIN = 0.23  # metres kept free round all joints: the head above joint 15, hands and feet beyond the last joints
SMOOTHING = 0.3  # seconds over which the following camera averages the figure's path
GRID_STEP = 1.0  # metres between the floor's lines

# Core, left limbs, right limbs. The sides of a single figure have hues of their own; of several figures each has a hue,
# and its left side is the lighter one.
SOLO = ("#46505f", "#e2783c", "#2b7bba")
CROWD = (
    ("#2c5d8f", "#74b3e4", "#1e4a7c"),
    ("#b4552a", "#f4a463", "#94421d"),
    ("#2c7a5b", "#77c9a4", "#1d5d45"),
    ("#6f4a9c", "#b798df", "#553681"),
    ("#a3365f", "#ea8fb0", "#862a4c"),
    ("#8a7420", "#d8c158", "#6b5915"),
)


@dataclass(frozen=True)
class Scene:
    """A clip ready to be drawn.

    figures: [F, T, 22, 3] metres, every figure at its place and as long as the longest (shorter ones hold still).
    target: [T, 3] what the camera looks at; it moves but never turns. rotation: [3, 3], rows right, up, towards us.
    distance: metres from the target to the lens. centre: pixel (x, y down) that shows the target.
    """

    figures: Array
    target: Array
    rotation: Array
    distance: float
    width: int
    height: int
    centre: tuple[float, float]
    caption_height: int
    floor: float

    @property
    def focal(self) -> float:
        """Focal length in pixels."""
        return FOCAL * min(self.height, self.width)

    @property
    def light(self) -> Array:
        """Unit vector [3] towards the light: above, over the camera's left shoulder."""
        light = self.rotation.T @ np.array([-0.45, 0.0, 0.35]) + np.array([0.0, 1.0, 0.0])
        return light / np.linalg.norm(light)

    def __len__(self) -> int:
        return len(self.target)

    def eye(self, frame: int) -> Array:
        """Where the lens is at this frame, [3]."""
        return self.target[frame] + self.distance * self.rotation[2]

    def project(self, points: Array, frame: int | slice) -> tuple[Array, Array]:
        """World points [..., 3] -> pixels [..., 2] (x right, y down) and depth [...] in metres from the lens.

        Of several frames, a slice, the points have one row each.
        """
        target = self.target[frame]
        view = points - target.reshape(*target.shape[:-1], *[1] * (points.ndim - target.ndim), 3)
        view = (view.reshape(-1, 3) @ self.rotation.T).reshape(view.shape)  # one product instead of many small ones
        depth = np.maximum(self.distance - view[..., 2], 0.05)
        scale = self.focal / depth
        x = self.centre[0] + view[..., 0] * scale
        y = self.centre[1] - view[..., 1] * scale
        return np.stack([x, y], axis=-1), depth

    def floor_rows(self) -> tuple[Array, Array]:
        """Where on the floor each row of pixels looks, x and z relative to the target, NaN above the horizon.

        [H, 2] at the picture's centre, and [H, 2] by how much that moves with every pixel to the right.
        """
        right, up, back = self.rotation  # right is level
        y = (self.centre[1] - np.arange(self.height)[:, None] - 0.5) / self.focal
        rays, lens = y * up - back, self.distance * back
        down = np.where(rays[:, 1:2] < -1e-6, -rays[:, 1:2], np.nan)
        along = (lens[1] + self.target[0, 1] - self.floor) / down
        return lens[[0, 2]] + along * rays[:, [0, 2]], along * right[[0, 2]] / self.focal

    def floor_points(self) -> Array:
        """Where on the floor each pixel looks, x and z relative to the target, [H, W, 2]; NaN above the horizon."""
        middle, step = self.floor_rows()
        return middle[:, None] + step[:, None] * (np.arange(self.width) + 0.5 - self.centre[0])[:, None]

    @property
    def lit_radius(self) -> float:
        """Radius in metres of the lit part of the floor; beyond it the floor fades into the background."""
        return 0.62 * self.distance


@dataclass(frozen=True)
class Figure:
    """One motion to be drawn. joints: float64 [T, 22, 3] in metres, Y up; fps: frames a second; label: a short name."""

    joints: Array
    fps: float = FPS
    label: str | None = None


Motions = Motion | NDArray[np.floating] | Sequence[Motion | NDArray[np.floating]]
"""What can be drawn: a motion, joints [T, 22, 3] (or [N, T, 22, 3]) in metres, or a sequence of either."""


def to_figures(motions: Motions, fps: float | None = None) -> list[Figure]:
    """Motions or joints as figures of one frame rate, that of the first.

    fps: of bare joints (default 20); motions know their own. Figures with another rate than the first one's are
    resampled. ValueError for joints of another shape, without frames, or with NaN.
    """
    several: Sequence[Any] = motions if isinstance(motions, Sequence) else [motions]
    if isinstance(motions, np.ndarray) and motions.ndim == 4:
        several = list(motions)
    figures = [_to_figure(motion, fps) for motion in several]
    return [
        figure
        if figure.fps == figures[0].fps
        else replace(figure, joints=resample_joints(figure.joints, figure.fps, figures[0].fps), fps=figures[0].fps)
        for figure in figures
    ]


def one_figure(motion: Motion | Array) -> Figure:
    """The figure of a single motion, or of joints [T, 22, 3] at 20 fps. ValueError as for `to_figures`."""
    return _to_figure(motion, None)


def _to_figure(motion: Any, fps: float | None) -> Figure:
    if not isinstance(motion, Motion):
        return Figure(checked_joints(motion), FPS if fps is None else fps)
    return Figure(checked_joints(motion.skeleton_joints), motion.fps)


def build_scene(
    figures: Sequence[Figure],
    *,
    size: int | tuple[int, int] = 480,
    camera: CameraMode = "follow",
    azimuth: float = -30.0,
    elevation: float = 16.0,
    spacing: float = 1.3,
    caption_lines: int = 0,  # lines of text to keep free at the top
    floor: float = 0.0,
) -> Scene:
    """Place the figures and choose a camera that never cuts one off.

    figures: of one frame rate, put side by side `spacing` metres apart (0: where they are). size: pixels, one number or
    (width, height). azimuth: degrees round the figure; 0 looks it in the face, -90 sees it walk to the right.
    elevation: degrees above the horizon.
    """
    width, height = (size, size) if isinstance(size, int) else size
    if not (16 <= width <= 8192 and 16 <= height <= 8192):
        raise ValueError(f"A picture of {width} x {height} pixels cannot be drawn; choose 16 to 8192 a side.")
    if camera not in ("follow", "fixed"):
        raise ValueError(f'There is no camera "{camera}"; choose "follow" or "fixed".')
    if not figures:
        raise ValueError("There is no motion to draw; pass at least one.")
    clips = [figure.joints for figure in figures]
    rotation = _camera_rotation(azimuth, elevation)
    length = max(map(len, clips))
    placed = np.stack([np.concatenate([c, np.repeat(c[-1:], length - len(c), axis=0)]) for c in clips])
    row = (np.arange(len(clips)) - (len(clips) - 1) / 2) * spacing
    placed += row[:, None, None, None] * rotation[0]  # the camera's right is level, so figures stay on the floor
    caption_height = round((0.02 + 0.047 * caption_lines) * min(width, height)) if caption_lines else 0

    low, high = placed.min(axis=(0, 1, 2)), placed.max(axis=(0, 1, 2))
    target = np.empty((length, 3))
    target[:] = (low + high) / 2
    if camera == "follow":
        target[:, [0, 2]] = gaussian_filter1d(
            placed[:, :, 0, [0, 2]].mean(axis=0), sigma=SMOOTHING * figures[0].fps, axis=0, mode="nearest"
        )
    target[:, 1] = (max(high[1], 0.6) + min(low[1], floor)) / 2

    focal, room = FOCAL * min(height, width), ((width - 8) / 2, (height - caption_height - 8) / 2)
    view = (placed - target[:, None]) @ rotation.T
    feet = placed.copy()
    feet[..., 1] = floor  # shadow and path stay in the picture too
    view = np.concatenate([view, (feet - target[:, None]) @ rotation.T], axis=2)
    need = view[..., 2] + focal * np.maximum(
        (np.abs(view[..., 0]) + MARGIN) / room[0], (np.abs(view[..., 1]) + MARGIN) / room[1]
    )
    return Scene(
        figures=placed,
        target=target,
        rotation=rotation,
        distance=float(max(need.max(), 2.5)),
        width=width,
        height=height,
        centre=(width / 2, caption_height + (height - caption_height) / 2),
        caption_height=caption_height,
        floor=floor,
    )


def _camera_rotation(azimuth: float, elevation: float) -> Array:
    a, e = np.radians(azimuth), np.radians(np.clip(elevation, 1.0, 85.0))
    back = np.array([np.sin(a) * np.cos(e), np.sin(e), np.cos(a) * np.cos(e)])
    right = np.array([np.cos(a), 0.0, -np.sin(a)])
    return np.stack([right, np.cross(back, right), back])


def palettes(count: int, background: Colour, fade: bool = False) -> list[tuple[Colour, Colour, Colour]]:
    """Colours (core, left, right) for this many figures; with `fade` one figure's moments, from pale to strong."""
    names = [SOLO] * count if fade or count == 1 else [CROWD[i % len(CROWD)] for i in range(count)]
    lift = 0.35 if is_dark(background) else 0.0
    pale = np.linspace(0.62, 0.0, count) if fade and count > 1 else np.zeros(count)
    found = []
    for triple, share in zip(names, pale, strict=True):
        core, left, right = (mix(mix(rgb(name), (1.0, 1.0, 1.0), lift), background, float(share)) for name in triple)
        found.append((core, left, right))
    return found


def rgb(colour: Any) -> Colour:
    """Any colour that matplotlib knows as three floats 0..1; ValueError for another."""
    from matplotlib.colors import to_rgb

    try:
        return to_rgb(colour)
    except ValueError:
        raise ValueError(f'"{colour}" is no colour; use a name such as "white" or a code such as "#f6f5f1".') from None


def is_dark(colour: Colour) -> bool:
    """Whether this colour needs light ink."""
    return 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2] < 0.5


def mix(a: Colour, b: Colour, share: float) -> Colour:
    """`share` of b over a."""
    return (a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share, a[2] + (b[2] - a[2]) * share)


def build_strip_scene(
    figure: Figure, poses: int, *, size: tuple[int, int], elevation: float, caption_lines: int, floor: float = 0.0
) -> tuple[Scene, Array | None]:
    """The scene of a still strip, every pose a figure of its own, and the path [T, 3] that they stand on, or None.

    Poses stand where they happened if each is at least a step from the one before, seen from the side of the path.
    """
    joints = figure.joints
    if not 1 <= poses <= 64:
        raise ValueError(f"A strip of {poses} poses cannot be drawn; choose 1 to 64.")
    picked = np.linspace(0, len(joints) - 1, poses).round().astype(int)
    moments = [joints[i : i + 1] for i in picked]
    root = joints[:, 0, [0, 2]]
    travel = root[-1] - root[0]
    steps = np.linalg.norm(np.diff(root[picked], axis=0), axis=1)
    travels = poses > 1 and bool(steps.min() > 0.35) and float(np.linalg.norm(travel)) > 0.6 * steps.sum()
    if travels:
        azimuth = (
            float(np.degrees(np.arctan2(travel[0], travel[1]))) - 90.0 + 12.0
        )  # it walks to the right, slightly to us
        spacing = 0.0
        path = joints[:, 0]
    else:
        moments = [moment - moment[:, :1] * [1, 0, 1] for moment in moments]
        azimuth, path = -30.0, None
        spacing = 0.85
    scene = build_scene(
        [Figure(moment, figure.fps) for moment in moments],
        size=size, camera="fixed", azimuth=azimuth, elevation=elevation, spacing=spacing,
        caption_lines=caption_lines, floor=floor,
    )  # fmt: skip
    return scene, path
