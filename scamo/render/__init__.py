"""Pictures of motion: stick figures, bodies, and the one encoder that writes them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .mesh import mesh_frames, mesh_strip
from .stage import Frame
from .stick import stick_frames, strip
from .video import SUFFIXES, write_image, write_video

if TYPE_CHECKING:
    from scamo.body.smpl import Body

BODIES = ("stick", "mannequin", "smpl")


def frames(
    motions: Any, *, body: str | Body = "stick", body_model: str | os.PathLike[str] | None = None, **options: Any
) -> Iterator[Frame]:
    """Frames of a motion or several, uint8 [H, W, 3], as what `body` names.

    body: "stick", "mannequin", "smpl" with the user's licensed file or folder as body_model, or a Body. The options
    are those of `stick_frames`, for bodies `backend` too.
    """
    if body == "stick":
        return stick_frames(motions, **options)
    return mesh_frames(motions, _body(body, body_model), **options)


def render_motion(
    motions: Any,
    path: str | os.PathLike[str],
    *,
    body: str | Body = "stick",
    body_model: str | os.PathLike[str] | None = None,
    poses: int = 6,
    fps: float = 20.0,
    metadata: dict[str, Any] | None = None,
    **options: Any,
) -> Path:
    """Draw a motion, or several in one picture, into a file: .mp4, .webm, .gif, .webp, or .png for a strip of poses.

    body, body_model and options as for `frames`, for .png as for `strip`, which takes one motion. metadata is kept in
    the file. Nothing is left behind when it fails; ValueError and OSError say what to change.
    """
    if Path(path).suffix.lower() != ".png":
        drawn = frames(motions, body=body, body_model=body_model, fps=fps, **options)
        return write_video(drawn, path, fps, metadata=metadata)
    if body == "stick":
        return write_image(strip(motions, poses, **options), path, metadata=metadata)
    return write_image(mesh_strip(motions, poses, _body(body, body_model), **options), path, metadata=metadata)


def _body(body: str | Body, model: str | os.PathLike[str] | None) -> Body | None:
    if not isinstance(body, str):
        return body
    if body not in BODIES:
        raise ValueError(f'There is no body "{body}"; choose {", ".join(BODIES[:-1])} or {BODIES[-1]}.')
    if body == "mannequin":
        return None
    from scamo.body.smpl import WHERE, load_body

    if model is None:
        raise ValueError(f'The body "smpl" needs your licensed SMPL file (--body-model FILE). {WHERE}.')
    return load_body(model)


__all__ = [
    "BODIES",
    "SUFFIXES",
    "frames",
    "mesh_frames",
    "mesh_strip",
    "render_motion",
    "stick_frames",
    "strip",
    "write_image",
    "write_video",
]
