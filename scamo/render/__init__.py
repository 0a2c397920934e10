"""Pictures of motion: stick figures, bodies, and the one encoder that writes them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from .stick import stick_frames, strip
from .video import SUFFIXES, write_image, write_video


def render_motion(
    motions: Any,
    path: str | os.PathLike[str],
    *,
    poses: int = 6,
    fps: float = 20.0,
    metadata: dict[str, Any] | None = None,
    **options: Any,
) -> Path:
    """Draw a motion, or several in one picture, into a file: .mp4, .webm, .gif, .webp, or .png for a strip of poses.

    The options are those of `stick_frames` (of `strip` for .png, which takes one motion). Nothing is left behind when
    it fails; ValueError and OSError say what to change.
    """
    if Path(path).suffix.lower() == ".png":
        return write_image(strip(motions, poses, **options), path, metadata=metadata)
    return write_video(stick_frames(motions, fps=fps, **options), path, fps, metadata=metadata)


__all__ = ["SUFFIXES", "render_motion", "stick_frames", "strip", "write_image", "write_video"]
