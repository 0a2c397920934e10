"""Motion files in: one reader for the library, the page and training.

    load_motion("walk.bvh")            -> Motion; what was assumed is a warning
    read_motion("walk.bvh")            -> Recording: the motion, and what was assumed, in words
    read_joints("walk.bvh", up="z")    -> joints [T, 22, 3] in metres, Y up, the file's frame rate, and the words

npy     features [T, 263] (or KIT-ML's [T, 251]), joints [T, 22 or more, 3], [T, 66], MDM's [22, 3, T], AIST++'s
        [T, 17, 3]
npz     SMPL parameters, see `scamo.io.smpl_npz`; joints of Kimodo, or under the name joints
bvh     any rig with two legs, two arms and a trunk, see `scamo.io.rigs`
glb     the same, the first animation of a glTF file, see `scamo.io.gltf_read`

The format is found by a file's content. Whatever is wrong with a file is one ValueError with its name and a remedy.
"""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from scamo.io import smpl_npz
from scamo.io.bvh_read import MAX_PLACES, read_bvh
from scamo.io.frame_rates import check_length
from scamo.io.gltf_read import read_gltf
from scamo.io.npy_read import FEATURE_WIDTHS, as_motion, named_joints
from scamo.io.onto_skeleton import joints_of_rig, own_joints, retargeted
from scamo.io.read_options import ReadOptions
from scamo.io.upright import Axis, check_places, find_faults, turned_up
from scamo.motion import FPS, Motion
from scamo.numpy_files import load_npy, load_npz, reason_of
from scamo.skeleton import checked_joints

if TYPE_CHECKING:
    from scamo.body.smpl import SmplSkeleton

Array = NDArray[np.floating]

READABLE = (".npy", ".npz", ".bvh", ".glb", ".gltf", ".vrma")
_KIT_FPS, _KIMODO_FPS = 12.5, 30.0
_JOINT_KEYS = ("posed_joints", "joints", "keypoints3d")


class Recording(NamedTuple):
    """A motion that was read, and what the reader assumed or finds implausible: sentences without a full stop."""

    motion: Motion
    notes: tuple[str, ...]


class JointRecording(NamedTuple):
    """Joints [T, 22, 3] in metres, Y up, at their own place; frames a second; what was assumed, the rate among it."""

    joints: Array
    fps: float
    notes: tuple[str, ...]
    rate_assumed: bool = False


class _Content(NamedTuple):
    """What a format's reader gives: features, or joints in metres, Y up; the rate, 0 where the file has none."""

    joints: Array
    fps: float
    usual_fps: float
    notes: list[str]
    features: Array | None = None
    up_is_known: bool = False


def load_motion(
    path: str | os.PathLike[str],
    *,
    joints: Mapping[str, str] | None = None,
    up: Axis | None = None,
    fps: float | None = None,
    unit: str | None = None,
) -> Motion:
    """Read a motion from a file; see `read_motion`, whose notes become one warning here."""
    motion, notes = read_motion(path, joints=joints, up=up, fps=fps, unit=unit)
    if notes:
        warnings.warn(f'"{path}": {"; ".join(notes)}.', stacklevel=2)
    return motion


def read_motion(
    path: str | os.PathLike[str],
    *,
    joints: Mapping[str, str] | None = None,
    up: Axis | None = None,
    fps: float | None = None,
    unit: str | None = None,
) -> Recording:
    """Read a motion from a file, and say what was assumed.

    Joints are resampled to 20 fps and brought to the canonical skeleton and place; one frame is lost to the velocities.
    Features are taken as they are. joints, up, fps, unit: see `read_joints`; features have neither up axis nor unit.
    ValueError says what is wrong with the file.
    """
    path = Path(path)
    content = _read(path, ReadOptions(joints, up, fps, unit))
    try:
        rate, notes, _ = _settled(content, fps)
        if content.features is not None:
            return Recording(Motion(content.features, rate), notes)
        motion = Motion.from_joints(content.joints, rate)
        check_places(motion.joints)  # legs of another length than ours make the path longer or shorter
        return Recording(motion, notes)
    except (ValueError, FloatingPointError, MemoryError) as error:
        raise ValueError(f'"{path}": {error}') from error


def load_joints(
    path: str | os.PathLike[str],
    *,
    joints: Mapping[str, str] | None = None,
    up: Axis | None = None,
    fps: float | None = None,
    unit: str | None = None,
    skeleton: SmplSkeleton | None = None,
) -> tuple[Array, float]:
    """Joints [T, 22, 3] and frame rate of a file; see `read_joints`, whose notes become one warning here."""
    found = read_joints(path, joints=joints, up=up, fps=fps, unit=unit, skeleton=skeleton)
    if found.notes:
        warnings.warn(f'"{path}": {"; ".join(found.notes)}.', stacklevel=2)
    return found.joints, found.fps


def read_joints(
    path: str | os.PathLike[str],
    *,
    joints: Mapping[str, str] | None = None,
    up: Axis | None = None,
    fps: float | None = None,
    unit: str | None = None,
    skeleton: SmplSkeleton | None = None,
) -> JointRecording:
    """Read the joints [T, 22, 3] of a file, in metres, Y up, at its own place and frame rate, and say what was assumed.

    joints: for a rig that is not known, our joint names (`scamo.skeleton.JOINTS`) -> the file's. up: the axis that
    points up ("-y": Y points down); default: found by head, feet and floor. fps: the frame rate, if the file's is wrong
    or missing. unit: "m", "cm", "mm" or "inch"; default: found by the legs. skeleton: the body that poses a .npz file
    (default the mannequin). Recordings of foreign rigs are retargeted and get HumanML3D's bone lengths, so their unit
    does not matter. ValueError says what is wrong with the file.
    """
    path = Path(path)
    content = _read(path, ReadOptions(joints, up, fps, unit, skeleton))
    try:
        rate, notes, assumed = _settled(content, fps)
        return JointRecording(checked_joints(content.joints), rate, notes, assumed)
    except ValueError as error:
        raise ValueError(f'"{path}": {error}') from error


def _settled(content: _Content, fps: float | None) -> tuple[float, tuple[str, ...], bool]:
    """The frame rate, all notes, and whether the rate was assumed; ValueError for a length that no motion has."""
    notes = list(content.notes)
    rate = fps or content.fps or content.usual_fps
    assumed = not fps and not content.fps
    if assumed and content.usual_fps != FPS:
        notes.append(f"{content.usual_fps:g} fps assumed")
    check_length(len(content.joints), rate)
    check_places(content.joints)
    return rate, (*notes, *find_faults(content.joints, rate, content.up_is_known)), assumed


def _read(path: Path, options: ReadOptions) -> _Content:
    """One door for all formats: any damage becomes one sentence."""
    options.check()
    try:
        found = sniffed(path)
        with np.errstate(all="ignore"):
            return _READERS[found](path, options)
    except ValueError as error:
        if str(path) in str(error):
            raise  # not from itself: an error that is its own cause is an endless chain
        raise ValueError(f'"{path}": {error}') from error
    except (Exception, RecursionError) as error:  # parsers raise nearly anything on a damaged file
        raise ValueError(f'"{path}" cannot be read: {reason_of(error)}; fetch or export it again') from error


def sniffed(path: Path) -> str:
    """The suffix of the format that a file's first bytes show, or else its own. ValueError where there is no reader."""
    if not path.is_file():
        raise ValueError(f'There is no file "{path}".')
    with path.open("rb") as file:
        start = file.read(512)
    for mark, suffix in ((b"\x93NUMPY", ".npy"), (b"PK\x03\x04", ".npz"), (b"glTF", ".glb")):
        if start.startswith(mark):
            return suffix
    if b"HIERARCHY" in start.replace(b"\0", b"").upper():
        return ".bvh"
    own = path.suffix.lower()
    if own in _READERS:
        return own
    other = "; convert it to .bvh or .glb in Blender" if own in (".fbx", ".dae", ".usd", ".blend", ".c3d") else ""
    pickled = "; pickles may run any code and are never loaded" if own in (".pkl", ".pickle", ".pt", ".pth") else ""
    raise ValueError(f'"{path}" is no motion file; give one that ends in {", ".join(READABLE)}{other}{pickled}.')


def _read_npy(path: Path, options: ReadOptions) -> _Content:
    return _from_array(as_motion(load_npy(path)), options)


def _from_array(array: Array, options: ReadOptions) -> _Content:
    if array.ndim == 2 and array.shape[1] in FEATURE_WIDTHS:
        return _features(array)
    return _array_content(array, 0.0, options)


def _features(array: Array) -> _Content:
    rate = FPS if array.shape[1] == 263 else _KIT_FPS
    if np.abs(array).max() > 1e5:
        raise ValueError("its features are larger than any motion's; it is damaged, or no features")
    motion = Motion(array, rate)
    return _Content(np.asarray(motion.skeleton_joints, dtype=np.float64), 0.0, rate, [], motion.features, True)


def _array_content(array: Array, fps: float, options: ReadOptions, usual_fps: float = FPS) -> _Content:
    if array.shape[0] * array.shape[1] > MAX_PLACES:
        raise ValueError(f"it has {len(array)} frames of {array.shape[1]} joints; cut it first")
    array = array.astype(np.float64)
    foreign = named_joints(array)
    if foreign is not None:
        at, layout = foreign
        joints, notes = retargeted(at, array, None, options)
        return _Content(joints, fps, layout.fps, [f"joints of {layout.name}", *notes])
    joints, notes = own_joints(array[:, :22], array, "y", options)
    return _Content(joints, fps, usual_fps, notes)


def _read_npz(path: Path, options: ReadOptions) -> _Content:
    try:
        data, names = load_npz(path, (*_JOINT_KEYS, *smpl_npz.RATES), smpl_npz.MAX_UNPACKED)
    except Exception:
        data, names = {}, []  # read_smpl says what is wrong
    if len(names) == 1 and names[0] not in data:  # numpy.savez(file, array)
        with contextlib.suppress(Exception):
            only, _ = load_npz(path, names, smpl_npz.MAX_UNPACKED)
            return _from_array(as_motion(only[names[0]]), options)
    key = next((key for key in _JOINT_KEYS if key in data), None)
    if key is not None and "poses" not in names:
        usual = _KIMODO_FPS if key == "posed_joints" else FPS
        return _array_content(as_motion(data[key]), smpl_npz.rate_of(data) or 0.0, options, usual)
    found = smpl_npz.read_smpl(path)
    rate = options.fps or found.fps or found.usual_fps
    check_length(len(found.poses), rate)
    joints = found.posed(options.skeleton)
    up, notes = options.up, list[str]()
    if up is None:
        up = found.up
        if not found.says_up and (seen := _stands(joints)) not in (None, up):
            up = seen
            notes.append(f"{up.upper()} is up")
    if not options.fps and not found.fps and found.usual_fps == FPS:
        notes.append(f"{FPS:g} fps assumed")
    return _Content(turned_up(joints, up), found.fps or 0.0, found.usual_fps, notes, up_is_known=found.says_up)


def _stands(joints: Array) -> Axis | None:
    """The axis along which a figure stands in nearly all frames, if there is one."""
    body = joints[:, 15] - (joints[:, 7] + joints[:, 8]) / 2
    steep = body / np.maximum(np.linalg.norm(body, axis=-1, keepdims=True), 1e-9)
    for axis, letter in enumerate(("x", "y", "z")):
        if np.mean(steep[:, axis] > 0.8) > 0.9:
            return letter  # type: ignore[return-value]
    return None


def _read_bvh(path: Path, options: ReadOptions) -> _Content:
    found = read_bvh(path)
    names = (*found.names, *(f"{found.names[joint]} end" for joint in found.tip_joints))
    parents = (*found.parents, *found.tip_joints)
    places = np.concatenate([found.positions, found.tips], axis=1)
    if not found.fps and not options.fps:
        raise ValueError("its frame time is none; pass fps= (--fps) with the frames a second")
    rest = np.zeros((len(found.names), 3))
    for joint, parent in enumerate(found.parents):
        rest[joint] = found.offsets[joint] + (rest[parent] if parent >= 0 else 0.0)
    joints, notes = joints_of_rig(names, parents, places, rest, None, options)
    return _Content(joints, found.fps, FPS, [*found.notes, *notes])


def _read_gltf(path: Path, options: ReadOptions) -> _Content:
    found = read_gltf(path)
    joints, notes = joints_of_rig(found.names, found.parents, found.positions, None, "y", options)
    return _Content(joints, found.fps, FPS, [*found.notes, *notes])


_READERS = {".npy": _read_npy, ".npz": _read_npz, ".bvh": _read_bvh, ".glb": _read_gltf, ".gltf": _read_gltf,
            ".vrma": _read_gltf}  # fmt: skip
