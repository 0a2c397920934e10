"""Pictures of motion: stick figures and bodies, as frames or in files."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .backdrop import STRIP_OPTIONS, VIDEO_OPTIONS, build_backdrop, build_strip_backdrop
from .canvas import Frame
from .mesh import mesh_frames, mesh_strip
from .rasteriser import choose_backend
from .scene import Figure, Motions, one_figure, to_figures
from .stick import stick_frames, strip
from .video import SUFFIXES, read_metadata, write_image, write_video

if TYPE_CHECKING:
    from scamo.body.smpl import Body
    from scamo.motion import Motion

BODIES = ("stick", "mannequin", "smpl")


def frames(
    motions: Motions,
    *,
    body: str | Body = "stick",
    body_model: str | os.PathLike[str] | None = None,
    fps: float | None = None,
    **options: Any,
) -> Iterator[Frame]:
    """Frames of a motion or several, uint8 [H, W, 3].

    body: "stick", "mannequin", "smpl" with the user's licensed file or folder as body_model, or a Body. fps and options
    are those of `stick_frames`, for bodies `backend` too.
    """
    if body == "stick":
        return stick_frames(motions, fps=fps, **options)
    return mesh_frames(motions, _body(body, body_model), fps=fps, **options)


def render_motion(
    motions: Motions,
    path: str | os.PathLike[str],
    *,
    body: str | Body = "stick",
    body_model: str | os.PathLike[str] | None = None,
    poses: int = 6,
    fps: float | None = None,
    metadata: Mapping[str, Any] | None = None,
    **options: Any,
) -> Path:
    """Draw a motion, or several in one picture, into a file: .mp4, .webm, .gif, .webp, or .png for a strip of poses.

    motions: a Motion, joints [T, 22, 3] in metres, or a sequence of either; a .png shows one. The file runs at the
    first motion's frame rate; fps: of bare joints (default 20). body, body_model and options as for `frames`, for .png
    as for `strip`. metadata is kept in the file. Nothing is left behind when it fails; ValueError and OSError say what
    to change.
    """
    if Path(path).suffix.lower() != ".png":
        figures = to_figures(motions, fps)
        rate = figures[0].fps if figures else fps
        drawn = frames(motions, body=body, body_model=body_model, fps=fps, **options)
        return write_video(drawn, path, rate or 20.0, metadata=metadata)
    if body == "stick":
        return write_image(strip(_single(motions), poses, **options), path, metadata=metadata)
    picture = mesh_strip(_single(motions), poses, _body(body, body_model), **options)
    return write_image(picture, path, metadata=metadata)


def check_picture(
    motions: Motions,
    suffix: str,
    *,
    body: str | Body = "stick",
    body_model: str | os.PathLike[str] | None = None,
    poses: int = 6,
    fps: float | None = None,
    backend: Any = "auto",
    **options: Any,
) -> None:
    """Raise the ValueError or TypeError that `render_motion` would raise for these options, without drawing."""
    _check_body(body, body_model)
    choose_backend(backend)
    if suffix == ".png":
        build_strip_backdrop(one_figure(_single(motions)), poses, **options)
    else:
        build_backdrop(to_figures(motions, fps), **options)


def _single(motions: Motions) -> Motion | NDArray[np.floating]:
    if isinstance(motions, (list, tuple)):
        if len(motions) != 1:
            raise ValueError(f"A strip shows one motion and {len(motions)} were given; pass one, or write a video.")
        return motions[0]
    return motions  # type: ignore[return-value]  # an array, or a Motion


def _check_body(body: str | Body, model: str | os.PathLike[str] | None) -> None:
    from scamo.body.smpl_files import WHERE

    if isinstance(body, str) and body not in BODIES:
        raise ValueError(f'There is no body "{body}"; choose {", ".join(BODIES[:-1])} or {BODIES[-1]}.')
    if body == "smpl" and model is None:
        raise ValueError(f'The body "smpl" needs your licensed SMPL file (--body-model FILE). {WHERE}.')


def _body(body: str | Body, model: str | os.PathLike[str] | None) -> Body | None:
    _check_body(body, model)
    if not isinstance(body, str):
        return body
    if body == "mannequin":
        return None
    from scamo.body.smpl import load_body

    return load_body(model)


__all__ = [
    "BODIES",
    "STRIP_OPTIONS",
    "SUFFIXES",
    "VIDEO_OPTIONS",
    "Figure",
    "check_picture",
    "frames",
    "mesh_frames",
    "mesh_strip",
    "read_metadata",
    "render_motion",
    "stick_frames",
    "strip",
    "to_figures",
    "write_image",
    "write_video",
]
