"""Motions to files and back: one writer per format, each file whole or not at all.

    export(motion, "bvh,glb,npz", "out", "walk")   ->   out/walk.bvh, out/walk.glb, out/walk.npz
    load_motion("out/walk.bvh")                    ->   Motion

npy     features [T, 263] and joints [T, 22, 3] in two files
npz     SMPL parameters as AMASS keeps them: poses, trans, betas, mocap_framerate; Y up, for smplx as they are
bvh     22 joints in metres, Y up, facing +Z. Blender's importer takes a unit for a metre and turns Y up into Z up, so
        with its default settings the figure stands upright, 1.7 m tall, facing the front view. Centimetres on demand
glb     glTF 2.0: the skinned mannequin (or a stick figure), one animation, materials; the recipe in asset.extras
csv     a row for every frame: frame, seconds, x, y, z of every joint in metres
json    the recipe: what was asked of which model, so that the motion can be made again
mp4, webm, gif, webp, png   pictures; the recipe in their comment
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from scamo import __version__
from scamo.atomic import replacing_file
from scamo.io.bvh import read_bvh, write_bvh
from scamo.motion import FPS, Motion, first_facing, resample_joints
from scamo.render import SUFFIXES, render_motion
from scamo.skeleton import JOINTS, bone_lengths, checked_joints, forward_kinematics, with_bone_lengths

if TYPE_CHECKING:
    from scamo.body.smpl import Body

Array = NDArray[np.floating]

READABLE = (".npy", ".npz", ".bvh")
BLEND = 0.3  # seconds over which the end of a loop becomes its beginning
MAX_UNPACKED = 256 << 20  # bytes of an .npz: half an hour of AMASS's poses; a small file may claim to hold any amount
LONGEST_LOOP = 3_000  # frames: every moment is compared with every other
_BVH_OPTIONS = ("bvh_fps", "bvh_unit", "bvh_rigid")


# --- writing ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Clip:
    """What a writer gets. joints: float64 [T, 22, 3] metres; features: [T, 263], where they are known."""

    joints: Array
    fps: float
    features: NDArray[np.float32] | None = None
    recipe: dict[str, Any] = field(default_factory=dict)
    body: Body | str | None = None
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def facts(self) -> dict[str, Any]:
        """The recipe, and what is true of every file of this motion."""
        frames = len(self.joints)
        return {"scamo": __version__, "frames": frames, "fps": self.fps, "seconds": frames / self.fps, **self.recipe}


def export(
    motion: Motion | Array,
    formats: str | Sequence[str],
    out_dir: str | os.PathLike[str],
    stem: str,
    recipe: dict[str, Any] | None = None,
    *,
    body: Body | str | None = None,
    in_place: bool = False,
    loop: bool = False,
    **options: Any,
) -> list[Path]:
    """Write a motion in one or more formats as out_dir/stem.FORMAT and return the paths.

    motion: a Motion, or joints [T, 22, 3] in metres at 20 fps. formats: keys of WRITERS, a list or "bvh,glb". recipe:
    anything JSON can hold; it goes into json, glb, npz and pictures. body: "stick", "mannequin" or a Body: what
    pictures show (default stick), what glb holds (default mannequin; a licensed body is never written into a mesh
    file), whose SMPL parameters npz gives (default mannequin). in_place, loop: see `for_engine`. options: `bvh_fps`,
    `bvh_unit`, `bvh_rigid` as for `write_bvh`; the others go to pictures. ValueError names what cannot be, before
    anything is written.
    """
    names = [name.strip().lower().lstrip(".") for name in (formats.split(",") if isinstance(formats, str) else formats)]
    unknown = [name for name in names if name not in WRITERS]
    if unknown or not names:
        raise ValueError(f'There is no format "{", ".join(unknown)}"; choose from {", ".join(WRITERS)}.')
    if Path(stem).name != stem or stem in ("", ".."):
        raise ValueError(f'"{stem}" is no file name; give one without folders, the folder goes to out_dir.')
    features = motion.features if isinstance(motion, Motion) else None
    joints = checked_joints(motion.joints if isinstance(motion, Motion) else motion)
    fps = motion.fps if isinstance(motion, Motion) else FPS
    told = dict(recipe or {})
    if in_place or loop:
        joints, features = for_engine(joints, fps, in_place=in_place, loop=loop), None
        told |= {"in_place": in_place, "loop": loop}
    clip = Clip(joints, fps, features, told, body, options)
    paths: list[Path] = []
    for name in dict.fromkeys(names):
        paths += WRITERS[name](clip, Path(out_dir), stem)
    return paths


def _write_npy(clip: Clip, folder: Path, stem: str) -> list[Path]:
    features = clip.features
    if features is None:
        features = Motion.from_joints(clip.joints, clip.fps).features
    paths = []
    for name, array in (("features", features), ("joints", clip.joints.astype(np.float32))):
        path = folder / f"{stem}_{name}.npy"
        with replacing_file(path) as temporary, temporary.open("wb") as file:
            np.save(file, array)
        paths.append(path)
    return paths


def _write_npz(clip: Clip, folder: Path, stem: str) -> list[Path]:
    from scamo.body.smpl import Body

    path = folder / f"{stem}.npz"
    write_npz(clip.joints, path, clip.fps, body=clip.body if isinstance(clip.body, Body) else None, recipe=clip.facts)
    return [path]


def write_npz(
    joints: Array,
    path: str | os.PathLike[str],
    fps: float = FPS,
    *,
    body: Body | None = None,
    recipe: dict[str, Any] | None = None,
) -> Path:
    """SMPL parameters in AMASS's names: poses [T, 3 J] rotation vectors, trans [T, 3], betas, mocap_framerate, gender.

    Joints [T, 22, 3] become poses of `body` (default the mannequin, 24 joints). Unlike AMASS's own files they are Y up,
    which `up_axis` says, so that smplx gives the joints back without a turn.
    """
    from scamo.body.smpl import load_body

    body = body or load_body()
    joints = checked_joints(joints)
    poses, trans = body.parameters(body.fit(joints))
    betas = np.zeros(10)
    betas[: len(body.betas)] = body.betas
    path = Path(path)
    with replacing_file(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(
            file,
            poses=poses.astype(np.float32),
            trans=trans.astype(np.float32),
            betas=betas.astype(np.float32),
            mocap_framerate=np.float64(fps),
            gender=np.array(body.gender),
            surface_model_type=np.array(body.kind.lower().replace("-", "")),
            up_axis=np.array("Y"),
            recipe=np.array(json.dumps(recipe or {}, ensure_ascii=False, default=str)),
        )
    return path


def _write_csv(clip: Clip, folder: Path, stem: str) -> list[Path]:
    path = folder / f"{stem}.csv"
    frames = len(clip.joints)
    time = np.stack([np.arange(frames), np.arange(frames) / clip.fps], axis=1)
    header = ",".join(["frame", "seconds", *(f"{joint}_{axis}" for joint in JOINTS for axis in "xyz")])
    with replacing_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        table = np.concatenate([time, clip.joints.reshape(frames, -1)], axis=1)
        np.savetxt(file, table, fmt=["%d"] + ["%.6f"] * 67, delimiter=",", header=header, comments="")
    return [path]


def _write_json(clip: Clip, folder: Path, stem: str) -> list[Path]:
    path = folder / f"{stem}.json"
    with replacing_file(path) as temporary:
        temporary.write_text(json.dumps(clip.facts, ensure_ascii=False, indent=2, default=str) + "\n", encoding="utf-8")
    return [path]


def _picture(suffix: str) -> Callable[[Clip, Path, str], list[Path]]:
    def write(clip: Clip, folder: Path, stem: str) -> list[Path]:
        options = {key: value for key, value in clip.options.items() if key not in _BVH_OPTIONS}
        path = folder / f"{stem}{suffix}"
        return [
            render_motion(clip.joints, path, body=clip.body or "stick", fps=clip.fps, metadata=clip.facts, **options)
        ]

    return write


def _write_bvh(clip: Clip, folder: Path, stem: str) -> list[Path]:
    options = {key[4:]: value for key, value in clip.options.items() if key in _BVH_OPTIONS}
    fps = options.pop("fps", clip.fps)
    joints = resample_joints(clip.joints, clip.fps, fps) if fps != clip.fps else clip.joints
    return [write_bvh(joints, folder / f"{stem}.bvh", fps, **options)]


def _write_glb(clip: Clip, folder: Path, stem: str) -> list[Path]:
    from scamo.io.gltf import write_glb

    figure: Literal["mannequin", "stick"] = "stick" if clip.body == "stick" else "mannequin"
    return [write_glb(clip.joints, folder / f"{stem}.glb", clip.fps, figure=figure, recipe=clip.facts)]


WRITERS: dict[str, Callable[[Clip, Path, str], list[Path]]] = {
    "npy": _write_npy,
    "npz": _write_npz,
    "bvh": _write_bvh,
    "glb": _write_glb,
    "csv": _write_csv,
    "json": _write_json,
    **{suffix[1:]: _picture(suffix) for suffix in (*SUFFIXES, ".png")},
}


# --- for game engines ----------------------------------------------------------------------------------------------


def for_engine(joints: Array, fps: float = FPS, *, in_place: bool = False, loop: bool = False) -> Array:
    """A motion as game engines want one: in place, or to be repeated without a seam, or both.

    joints [T, 22, 3] in metres, Y up -> float64 [t, 22, 3]; t is T, or for a loop half of T or more.

    loop: the two moments at which pose and movement are most alike over 0.3 s, wherever the figure stands and faces, of
    all that are half of the motion apart or more. What is between them is kept; its first 0.3 s fade over from what
    followed the second moment. So the step from the last frame to the first is one that the motion itself takes, the
    root's too, once the engine has added the place and the heading that a cycle gains.
    in_place: the pelvis stays above one spot; its height is kept. In a loop the heading that a cycle gains is taken out
    as well, evenly over the frames, so that the last one faces where the first one goes on.

    ValueError where a loop's motion is shorter than 0.9 s or longer than 3,000 frames.
    """
    joints = checked_joints(joints).astype(np.float64)
    gained = 0.0
    if loop:
        joints, gained = _cycle(joints, fps)
    if in_place:
        own = joints - joints[:, :1] * _FLOOR
        joints = _turned(own, -gained * np.arange(len(own))[:, None] / len(own)) + joints[0, 0] * _FLOOR
    return joints


_FLOOR = np.array([1.0, 0.0, 1.0])


def _cycle(joints: Array, fps: float) -> tuple[Array, float]:
    """A loop, and the heading in radians that it gains."""
    from scipy.spatial.distance import cdist

    blend = max(2, round(BLEND * fps))
    if not 3 * blend <= len(joints) <= LONGEST_LOOP:
        raise ValueError(
            f"A loop is made of {3 * blend / fps:.1f} seconds to {LONGEST_LOOP:,} frames and this motion has "
            f"{len(joints):,} frames at {fps:g} a second; make a longer one, or cut it."
        )
    forward = first_facing(joints)
    heading, place = np.arctan2(forward[:, 0], forward[:, 2]), joints[:, 0] * _FLOOR
    moments = np.arange(len(joints) - blend + 1)
    seen = joints[moments[:, None] + np.arange(blend)] - place[moments, None, None]  # from where it stands and faces
    seen = _turned(seen, -heading[moments, None, None]).reshape(len(moments), -1)
    gap = cdist(seen, seen)
    gap[moments[:, None] + max(blend, len(joints) // 2) > moments] = np.inf
    first, last = map(int, np.unravel_index(np.argmin(gap), gap.shape))

    gained = float(np.angle(np.exp(1j * (heading[last] - heading[first]))))
    after = _turned(joints[last : last + blend] - place[last], np.array(-gained)) + place[first]
    before = joints[first : first + blend]
    share = 0.5 + 0.5 * np.cos(np.pi * np.arange(blend) / blend)[:, None]
    lengths = share * bone_lengths(after) + (1 - share) * bone_lengths(before)
    mixed = share[..., None] * after + (1 - share[..., None]) * before
    mixed = with_bone_lengths(mixed, lengths.T[..., None])  # a mean of two poses has shorter bones than both
    return np.concatenate([mixed, joints[first + blend : last]]), gained


def _turned(points: Array, angle: Array) -> Array:
    """Points [..., 3] turned about Y by radians [...]; a positive angle turns +Z towards +X."""
    sine, cosine = np.sin(angle), np.cos(angle)
    x, y, z = np.moveaxis(points, -1, 0)
    return np.stack([x * cosine + z * sine, y, z * cosine - x * sine], axis=-1)


# --- reading ------------------------------------------------------------------------------------------------------

_SMPL_NAMES = (
    "pelvis l_hip r_hip spine1 l_knee r_knee spine2 l_ankle r_ankle spine3 l_foot r_foot neck l_collar r_collar head "
    "l_shoulder r_shoulder l_elbow r_elbow l_wrist r_wrist"
)
_MIXAMO_NAMES = (
    "hips leftupleg rightupleg spine leftleg rightleg spine1 leftfoot rightfoot spine2 lefttoebase righttoebase neck "
    "leftshoulder rightshoulder head leftarm rightarm leftforearm rightforearm lefthand righthand"
)
_RIGS = (JOINTS, _SMPL_NAMES.split(), _MIXAMO_NAMES.split(), _MIXAMO_NAMES.replace("toebase", "toe").split())


def load_motion(path: str | os.PathLike[str], *, names: dict[str, str] | None = None) -> Motion:
    """A motion from a file: features or joints (.npy), SMPL parameters (.npz, ours and AMASS's), BVH.

    Joints are resampled to 20 fps and brought to the canonical skeleton and place; one frame is lost to the velocities.
    names: for a BVH of a rig that is not known, our joint names (see `scamo.skeleton.JOINTS`) -> its. ValueError says
    what the file is instead.
    """
    path = Path(path)
    if path.suffix.lower() == ".npy":
        array = _load_npy(path)
        if array.ndim == 2 and array.shape[1] in (263, 251):
            return Motion(array)
    joints, fps = load_joints(path, names=names)
    try:
        return Motion.from_joints(joints, fps)
    except ValueError as error:
        raise ValueError(f'"{path}": {error}') from error


def load_joints(path: str | os.PathLike[str], *, names: dict[str, str] | None = None) -> tuple[Array, float]:
    """Joints [T, 22, 3] in metres, Y up, as they stand in a file, and its frames a second. See `load_motion`."""
    path = Path(path)
    readers = {".npy": _read_npy, ".npz": _read_npz, ".bvh": lambda file: _read_bvh(file, names)}
    if path.suffix.lower() not in readers:
        raise ValueError(f'"{path}" is no motion file; give one that ends in {", ".join(READABLE)}.')
    if not path.is_file():
        raise ValueError(f'There is no file "{path}".')
    return readers[path.suffix.lower()](path)


def _load_npy(path: Path) -> NDArray[Any]:
    if not path.is_file():
        raise ValueError(f'There is no file "{path}".')
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError, MemoryError) as error:  # a header may claim any size
        raise ValueError(f'"{path}" cannot be read as a numpy file: {error}') from error


def _read_npy(path: Path) -> tuple[Array, float]:
    array = _load_npy(path)
    if array.ndim == 2 and array.shape[1] in (263, 251):
        return np.asarray(Motion(array).joints, dtype=np.float64), FPS
    if array.ndim == 2 and array.shape[1] == 66:
        array = array.reshape(-1, 22, 3)
    if array.ndim != 3 or array.shape[1] < 22 or array.shape[2] != 3 or array.dtype.kind not in "fiu":
        raise ValueError(
            f'"{path}" holds {array.dtype} {list(array.shape)}; a motion is features [frames, 263] or joints '
            "[frames, 22, 3] (tokens become features with `scamo tokenize`)."
        )
    return checked_joints(array[:, :22]), FPS


def _read_npz(path: Path) -> tuple[Array, float]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            wanted = ("poses", "root_orient", "pose_body", "trans", "mocap_framerate", "mocap_frame_rate", "up_axis")
            if sum(part.file_size for part in archive.zip.infolist()) > MAX_UNPACKED:
                raise ValueError(f"it unpacks to more than {MAX_UNPACKED >> 20} MiB; cut it first")
            data = {key: archive[key] for key in wanted if key in archive.files}
            files = list(archive.files)
    except (OSError, ValueError, EOFError, MemoryError, zipfile.BadZipFile) as error:
        raise ValueError(f'"{path}" cannot be read as an .npz file: {error}') from error
    poses = data.get("poses")
    if poses is None and {"root_orient", "pose_body"} <= set(data):
        poses = np.concatenate([data["root_orient"], data["pose_body"]], axis=1)
    if (
        poses is None
        or "trans" not in data
        or poses.ndim != 2
        or poses.shape[1] < 66
        or data["trans"].shape != (len(poses), 3)
    ):
        raise ValueError(
            f'"{path}" holds {", ".join(files) or "nothing"}; SMPL motions have poses [frames, 66 or more] and trans.'
        )
    from scipy.spatial.transform import Rotation

    from scamo.body.mannequin import PELVIS

    wxyz = Rotation.from_rotvec(poses[:, :66].astype(np.float64).reshape(-1, 3)).as_quat()[:, [3, 0, 1, 2]]
    joints = forward_kinematics(wxyz.reshape(-1, 22, 4), data["trans"] + PELVIS)
    if str(data.get("up_axis", "Z")).upper() != "Y":  # AMASS's files
        joints = joints[..., [0, 2, 1]] * [1, 1, -1]
    fps = float(data.get("mocap_framerate", data.get("mocap_frame_rate", FPS)))
    return checked_joints(joints), fps


def _read_bvh(path: Path, names: dict[str, str] | None) -> tuple[Array, float]:
    recording = read_bvh(path)
    places = {_plain(name): index for index, name in enumerate(recording.names)}
    rigs = [[names.get(joint, joint) for joint in JOINTS]] if names else _RIGS
    for rig in rigs:
        found = [places.get(_plain(name)) for name in rig]
        if None not in found:
            break
    else:
        lacking = (
            [joint for joint, place in zip(JOINTS, found, strict=True) if place is None] if names else list(JOINTS)
        )
        raise ValueError(
            f'"{path}" has the joints {", ".join(recording.names)}; for a rig that is not known pass names= with '
            f"what it calls {', '.join(lacking)}."
        )
    joints = recording.positions[:, [place for place in found if place is not None]]
    leg = float(np.linalg.norm(joints[0, [4, 7]] - joints[0, [1, 4]], axis=-1).sum())
    return checked_joints(joints * (0.01 if leg > 8 else 1.0)), recording.fps  # no leg is longer than 8 m: centimetres


def _plain(name: str) -> str:
    """A joint's name without namespace, case and punctuation."""
    return "".join(letter for letter in name.split(":")[-1].lower() if letter.isalnum())
