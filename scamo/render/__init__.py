"""Pictures of motion: stick figures, people and bodies, as frames or in files."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scamo.body.person import Person, load_person, person_for

from .backdrop import STRIP_OPTIONS, VIDEO_OPTIONS, build_backdrop, build_strip_backdrop
from .canvas import Frame
from .mesh import mesh_frames, mesh_strip
from .rasteriser import choose_backend
from .scene import Figure, Motions, one_figure, to_figures
from .stick import stick_frames, strip
from .video import SUFFIXES, read_metadata, write_image, write_video

if TYPE_CHECKING:
    from scamo.body.smpl import Body

BODIES = ("stick", "person", "smpl")


def frames(
    motions: Motions,
    *,
    body: str | Body | Person = "stick",
    body_model: str | os.PathLike[str] | None = None,
    person: str | Sequence[str] = "auto",
    fps: float | None = None,
    **options: Any,
) -> Iterator[Frame]:
    """Frames of a motion or several, uint8 [H, W, 3].

    body: "stick", "person", "smpl" with the user's licensed file or folder as body_model, or a Body or Person. person:
    one of `scamo.body.person.PEOPLE`, a name for each motion, or "auto": whom the caption speaks of. fps and options
    are those of `stick_frames`, for bodies and people `backend` too.
    """
    if body == "stick":
        return stick_frames(motions, fps=fps, **options)
    return mesh_frames(motions, _body(body, body_model, person, options.get("caption")), fps=fps, **options)


def render_motion(
    motions: Motions,
    path: str | os.PathLike[str],
    *,
    body: str | Body | Person = "stick",
    body_model: str | os.PathLike[str] | None = None,
    person: str | Sequence[str] = "auto",
    poses: int = 6,
    fps: float | None = None,
    metadata: Mapping[str, Any] | None = None,
    **options: Any,
) -> Path:
    """Draw a motion, or several in one picture, into a file: .mp4, .webm, .gif, .webp, or .png for a strip of poses.

    motions: a Motion, joints [T, 22, 3] in metres, or a sequence of either; a .png shows one. The file runs at the
    first motion's frame rate; fps: of bare joints (default 20). body, body_model, person and options as for `frames`,
    for .png as for `strip`. metadata is kept in the file. Nothing is left behind when it fails; ValueError and OSError
    say what to change.
    """
    if Path(path).suffix.lower() != ".png":
        figures = to_figures(motions, fps)
        rate = figures[0].fps if figures else fps
        drawn = frames(motions, body=body, body_model=body_model, person=person, fps=fps, **options)
        return write_video(drawn, path, rate or 20.0, metadata=metadata)
    if body == "stick":
        return write_image(strip(_single(motions), poses, **options), path, metadata=metadata)
    chosen = _body(body, body_model, person, options.get("caption"))
    picture = mesh_strip(_single(motions), poses, _single(chosen), **options)
    return write_image(picture, path, metadata=metadata)


def check_picture(
    motions: Motions,
    suffix: str,
    *,
    body: str | Body | Person = "stick",
    body_model: str | os.PathLike[str] | None = None,
    person: str | Sequence[str] = "auto",
    poses: int = 6,
    fps: float | None = None,
    backend: Any = "auto",
    **options: Any,
) -> None:
    """Raise the ValueError or TypeError that `render_motion` would raise for these options, without drawing."""
    _check_body(body, body_model)
    if body == "person":
        _people(person, options.get("caption"))
    if body != "stick" or backend not in ("auto", "pyrender", "numpy"):  # sticks need no OpenGL, so it is not tried
        choose_backend(backend)
    if suffix == ".png":
        build_strip_backdrop(one_figure(_single(motions)), poses, **options)
    else:
        build_backdrop(to_figures(motions, fps), **options)


def _single(given: Any) -> Any:
    """The one motion, body or person that a strip shows."""
    if isinstance(given, (list, tuple)):
        if len(given) != 1:
            raise ValueError(f"A strip shows one motion and {len(given)} were given; pass one, or write a video.")
        return given[0]
    return given


def _check_body(body: str | Body | Person, model: str | os.PathLike[str] | None) -> None:
    from scamo.body.smpl_files import WHERE

    if isinstance(body, str) and body not in BODIES:
        raise ValueError(f'There is no body "{body}"; choose {", ".join(BODIES[:-1])} or {BODIES[-1]}.')
    if body == "smpl" and model is None:
        raise ValueError(f'The body "smpl" needs your licensed SMPL file (--body-model FILE). {WHERE}.')


def _body(
    body: str | Body | Person, model: str | os.PathLike[str] | None, person: str | Sequence[str], caption: str | None
) -> Body | Person | list[Person]:
    _check_body(body, model)
    if not isinstance(body, str):
        return body
    if body == "person":
        return _people(person, caption)
    from scamo.body.smpl import load_body

    return load_body(model)


def _people(person: str | Sequence[str], caption: str | None) -> Person | list[Person]:
    if isinstance(person, str):
        return load_person(person_for(caption or "") if person == "auto" else person)
    return [load_person(person_for(caption or "") if name == "auto" else name) for name in person]


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
