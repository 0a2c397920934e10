"""Motion files out: one writer per format, each file whole or not at all.

    export(motion, "bvh,glb,npz", "out", "walk")   ->   out/walk.bvh, out/walk.glb, out/walk.npz
    motion.save("walk.bvh")                        ->   walk.bvh

npy     features [T, 263] and joints [T, 22, 3] in two files
npz     SMPL parameters under AMASS's names: poses, trans, betas, mocap_framerate; Y up, for smplx as they are
bvh     22 joints in metres, Y up, facing +Z, bones of one length. Blender's importer takes a unit for a metre and turns
        Y up into Z up, so with its default settings the figure stands upright, 1.7 m tall, facing the front view
glb     glTF 2.0: the skinned person (or a stick figure), one animation, materials; the recipe in asset.extras
fbx     binary FBX 7.4: the same figure, in centimetres
vrma    VRM animation: the motion alone, for any VRM avatar
csv     a row for every frame: frame, seconds, x, y, z of every joint in metres
json    the recipe: what was asked of which model, so that the motion can be generated again
mp4, webm, gif, webp, png   pictures; the recipe in their comment
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from scamo.atomic import replacing_file, write_npy
from scamo.body.person import load_person, person_for
from scamo.io.bvh import check_bvh_options, write_bvh
from scamo.io.loop import for_engine
from scamo.io.smpl_npz import write_npz
from scamo.motion import FPS, Motion
from scamo.render import BODIES, STRIP_OPTIONS, SUFFIXES, VIDEO_OPTIONS, check_picture, render_motion
from scamo.skeleton import JOINTS, checked_joints
from scamo.version import VERSION

if TYPE_CHECKING:
    from scamo.body.smpl import Body

Array = NDArray[np.floating]


class HasFacts(Protocol):
    """A recipe object, such as `scamo.io.recipe.Recipe`."""

    def to_dict(self) -> dict[str, Any]:
        """Its facts, plain enough for JSON."""


def recipe_facts(recipe: HasFacts | Mapping[str, Any] | None) -> dict[str, Any]:
    """The facts of a recipe as a dictionary of its own; {} for None."""
    if recipe is None:
        return {}
    return dict(recipe) if isinstance(recipe, Mapping) else dict(recipe.to_dict())


@dataclass(frozen=True)
class Content:
    """What a writer writes. joints: float64 [T, 22, 3] metres; motion: where it is known and unchanged."""

    joints: Array
    fps: float
    motion: Motion | None = None
    recipe: dict[str, Any] = field(default_factory=dict)
    body: Body | str | None = None

    @property
    def facts(self) -> dict[str, Any]:
        """The recipe, and what is true of every file of this motion."""
        frames = len(self.joints)
        return {"scamo": VERSION, "frames": frames, "fps": self.fps, "seconds": frames / self.fps, **self.recipe}


@dataclass(frozen=True)
class Writer:
    """One format. write(content, path, options) -> paths; options: their names; check(content, options) raises."""

    write: Callable[[Content, Path, dict[str, Any]], list[Path]]
    options: tuple[str, ...] = ()
    check: Callable[[Content, dict[str, Any]], None] = lambda content, options: None


def export(
    motion: Motion | Array,
    formats: str | Sequence[str],
    out_dir: str | os.PathLike[str],
    stem: str,
    recipe: HasFacts | Mapping[str, Any] | None = None,
    *,
    body: Body | str | None = None,
    in_place: bool = False,
    loop: bool = False,
    **options: Any,
) -> list[Path]:
    """Write a motion in one or more formats as out_dir/stem.FORMAT and return the paths.

    motion: a Motion, or joints [T, 22, 3] in metres at 20 fps. formats: keys of WRITERS, a list or "bvh,glb". recipe:
    a Recipe, or anything JSON can hold; it goes into json, glb, npz and pictures. body: "stick", "person" or a Body:
    what pictures show (default stick), what glb and fbx hold (default person; a licensed body is never written into a
    mesh file), whose SMPL parameters npz gives. in_place, loop: see `for_engine`.

    options: rig= "humanml3d", "smpl", "mixamo", "unreal" or "vrm", whose names and rest pose bvh, glb and fbx take;
    person= one of `scamo.body.person.PEOPLE`, or "auto" (default): whom the recipe's prompt or the caption speaks of;
    unit= "m" or "cm" for bvh and fbx; fps= the frame rate of bvh, glb, fbx and vrma; exact=True keeps every joint of a
    bvh where it is, with bones that stretch (see `write_bvh`); those of `render_motion` for pictures. An option goes to
    the formats that have it. Formats, name, motion and options are checked before the first file is written: ValueError
    names what is wrong, and the options that there are.
    """
    names = [name.strip().lower().lstrip(".") for name in (formats.split(",") if isinstance(formats, str) else formats)]
    unknown = [name for name in names if name not in WRITERS]
    if unknown or not names:
        raise ValueError(f'There is no format "{", ".join(unknown)}"; choose from {", ".join(WRITERS)}.')
    if Path(stem).name != stem or stem in ("", ".."):
        raise ValueError(f'"{stem}" is no file name; give one without folders, the folder goes to out_dir.')
    names = list(dict.fromkeys(names))
    content = _content(motion, recipe, body, in_place, loop)
    _check(content, names, options)
    paths: list[Path] = []
    for name in names:
        paths += WRITERS[name].write(content, Path(out_dir) / f"{stem}.{name}", _options_of(name, options))
    return paths


def save(
    motion: Motion,
    path: str | os.PathLike[str],
    recipe: HasFacts | Mapping[str, Any] | None = None,
    *,
    body: Body | str | None = None,
    in_place: bool = False,
    loop: bool = False,
    **options: Any,
) -> Path:
    """Write one file in the format that its suffix names, and return its path; .npy holds the features alone.

    The other arguments are those of `export`. ValueError for an unknown suffix or option, before anything is written.
    """
    path = Path(path)
    name = path.suffix.lower().lstrip(".")
    if name not in WRITERS:
        known = ", ".join(f".{known}" for known in WRITERS)
        raise ValueError(f'A motion cannot be saved as "{path.name}"; end the name in {known}.')
    content = _content(motion, recipe, body, in_place, loop)
    _check(content, [name], options)
    if name == "npy":
        return write_npy(path, _features(content))
    return WRITERS[name].write(content, path, options)[0]


def _content(
    motion: Motion | Array,
    recipe: HasFacts | Mapping[str, Any] | None,
    body: Body | str | None,
    in_place: bool,
    loop: bool,
) -> Content:
    known = motion if isinstance(motion, Motion) else None
    joints = checked_joints(motion.skeleton_joints if isinstance(motion, Motion) else motion)
    fps = FPS if known is None else known.fps
    facts = recipe_facts(recipe)
    if in_place or loop:
        joints, known = for_engine(joints, fps, in_place=in_place, loop=loop), None
        facts |= {"in_place": in_place, "loop": loop}
    return Content(joints, fps, known, facts, body)


def _check(content: Content, names: Sequence[str], options: dict[str, Any]) -> None:
    known = sorted({option for name in names for option in WRITERS[name].options})
    if unknown := [option for option in options if option not in known]:
        choice = (
            f"the options of {', '.join(names)} are {', '.join(known)}" if known else f"{', '.join(names)} has none"
        )
        raise ValueError(f'There is no option "{", ".join(unknown)}"; {choice}.')
    if isinstance(content.body, str) and content.body not in BODIES:
        raise ValueError(f'There is no body "{content.body}"; choose from {", ".join(BODIES)}.')
    for name in names:
        WRITERS[name].check(content, _options_of(name, options))


def _options_of(name: str, options: dict[str, Any]) -> dict[str, Any]:
    return {option: value for option, value in options.items() if option in WRITERS[name].options}


def _features(content: Content) -> NDArray[np.float32]:
    if content.motion is not None:
        return content.motion.features
    return Motion.from_joints(content.joints, content.fps).features


def _write_npy(content: Content, path: Path, options: dict[str, Any]) -> list[Path]:
    joints = content.joints if content.motion is None else content.motion.joints
    stem = path.name.removesuffix(".npy")
    return [
        write_npy(path.with_name(f"{stem}_features.npy"), _features(content)),
        write_npy(path.with_name(f"{stem}_joints.npy"), joints.astype(np.float32)),
    ]


def _write_npz(content: Content, path: Path, options: dict[str, Any]) -> list[Path]:
    from scamo.body.smpl import Body

    body = content.body if isinstance(content.body, Body) else None
    return [write_npz(content.joints, path, content.fps, body=body, recipe=content.facts)]


def _write_csv(content: Content, path: Path, options: dict[str, Any]) -> list[Path]:
    frames = len(content.joints)
    time = np.stack([np.arange(frames), np.arange(frames) / content.fps], axis=1)
    header = ",".join(["frame", "seconds", *(f"{joint}_{axis}" for joint in JOINTS for axis in "xyz")])
    with replacing_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        table = np.concatenate([time, content.joints.reshape(frames, -1)], axis=1)
        np.savetxt(file, table, fmt=["%d"] + ["%.6f"] * 67, delimiter=",", header=header, comments="")
    return [path]


def _write_json(content: Content, path: Path, options: dict[str, Any]) -> list[Path]:
    text = json.dumps(content.facts, ensure_ascii=False, indent=2, default=str) + "\n"
    with replacing_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return [path]


def _write_bvh(content: Content, path: Path, options: dict[str, Any]) -> list[Path]:
    return [write_bvh(content.joints, path, content.fps, **_renamed(options))]


def _write_glb(content: Content, path: Path, options: dict[str, Any]) -> list[Path]:
    from scamo.io.gltf import write_glb

    options = _renamed(options) | _figure(content, options)
    return [write_glb(content.joints, path, content.fps, recipe=content.facts, **options)]


def _write_fbx(content: Content, path: Path, options: dict[str, Any]) -> list[Path]:
    from scamo.io.fbx import write_fbx

    return [write_fbx(content.joints, path, content.fps, **(_renamed(options) | _figure(content, options)))]


def _write_vrma(content: Content, path: Path, options: dict[str, Any]) -> list[Path]:
    from scamo.io.gltf import write_vrma

    return [write_vrma(content.joints, path, content.fps, recipe=content.facts, **_renamed(options))]


def _figure(content: Content, options: dict[str, Any]) -> dict[str, Any]:
    """What a mesh file shows, and who it is."""
    return {"figure": "stick" if content.body == "stick" else "person", "person": _person(content, options)}


def _person(content: Content, options: dict[str, Any]) -> str:
    """Who a person is: the option, which is "auto" by default, decided by the recipe's prompt or the caption."""
    name = options.get("person", "auto")
    if name != "auto":
        return load_person(name).name
    return person_for(str(content.recipe.get("prompt") or options.get("caption") or ""))


def _renamed(options: dict[str, Any]) -> dict[str, Any]:
    """The options as writers call them, whose `fps` is the motion's own."""
    return {{"fps": "to_fps"}.get(name, name): value for name, value in options.items()}


def _check_skeleton(content: Content, options: dict[str, Any]) -> None:
    check_bvh_options(options.get("fps", content.fps), options.get("unit"), options.get("rig", "humanml3d"))
    _person(content, options)


def _write_picture(content: Content, path: Path, options: dict[str, Any]) -> list[Path]:
    body = content.body or "stick"
    if body == "stick":
        options = {name: value for name, value in options.items() if name != "backend"}
    elif body == "person":
        options = options | {"person": _person(content, options)}
    return [render_motion(content.joints, path, body=body, fps=content.fps, metadata=content.facts, **options)]


def _check_picture(suffix: str, content: Content, options: dict[str, Any]) -> None:
    check_picture(content.joints, suffix, body=content.body or "stick", fps=content.fps, **options)


WRITERS: dict[str, Writer] = {
    "npy": Writer(_write_npy),
    "npz": Writer(_write_npz),
    "bvh": Writer(_write_bvh, ("fps", "unit", "rig", "exact"), _check_skeleton),
    "glb": Writer(_write_glb, ("fps", "rig", "person"), _check_skeleton),
    "fbx": Writer(_write_fbx, ("fps", "unit", "rig", "person"), _check_skeleton),
    "vrma": Writer(_write_vrma, ("fps",), _check_skeleton),
    "csv": Writer(_write_csv),
    "json": Writer(_write_json),
    **{suffix[1:]: Writer(_write_picture, VIDEO_OPTIONS, partial(_check_picture, suffix)) for suffix in SUFFIXES},
    "png": Writer(_write_picture, STRIP_OPTIONS, partial(_check_picture, ".png")),
}
"""The formats and their writers."""
