"""SMPL parameters in .npz files: AMASS's, smplx's, HY-Motion's and ours in, ours out.

A file has poses [T, 66 or more] (rotation vectors, the root first) or root_orient and pose_body, trans [T, 3] in
metres, a frame rate and betas. AMASS's files are Z up; ours are Y up, which their `up_axis` says.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scamo.atomic import replacing_file
from scamo.io.npy_read import checked_numbers
from scamo.io.upright import Axis, turned_up
from scamo.motion import FPS
from scamo.numpy_files import load_npz, reason_of
from scamo.options import listed
from scamo.skeleton import checked_joints, forward_kinematics

if TYPE_CHECKING:
    from scamo.body.smpl import Body, SmplSkeleton

Array = NDArray[np.floating]

MAX_UNPACKED = 256 << 20  # bytes: half an hour of AMASS's poses; a small file may claim to hold any amount
RATES = ("mocap_framerate", "mocap_frame_rate", "fps", "framerate", "frame_rate", "mocap_fps")
_KEYS = ("poses", "root_orient", "pose_body", "global_orient", "body_pose", "trans", "transl", "Rh", "betas", "up_axis",
         *RATES)  # fmt: skip
_CHUNK = 16_384  # frames that are posed at once


@dataclass(frozen=True)
class SmplPoses:
    """What a file of SMPL parameters holds.

    poses: [T, 66 or more] rotation vectors, the root first; trans: [T, 3] metres; betas: [N], zeros if the file has
    none; fps: None if the file has no frame rate; up: the axis that points up; says_up: whether the file names it, else
    it is AMASS's; usual_fps: what such files have.
    """

    poses: Array
    trans: Array
    betas: Array
    fps: float | None
    up: Axis
    says_up: bool = False
    usual_fps: float = FPS

    def joints(self, skeleton: SmplSkeleton | None = None) -> Array:
        """Joints [T, 22, 3] in metres, Y up, on the mannequin's skeleton or on that of a licensed body file."""
        return turned_up(self.posed(skeleton), self.up)

    def posed(self, skeleton: SmplSkeleton | None = None) -> Array:
        """Joints [T, 22, 3] in metres, in the file's own axes."""
        if skeleton is not None:
            return skeleton.joints(self.poses, self.trans, self.betas)
        from scipy.spatial.transform import Rotation

        from scamo.body.mannequin import PELVIS

        out = []
        for start in range(0, len(self.poses), _CHUNK):
            part = self.poses[start : start + _CHUNK, :66]
            turns = Rotation.from_rotvec(part.astype(np.float64).reshape(-1, 3))
            wxyz = turns.as_quat()[:, [3, 0, 1, 2]]
            out.append(forward_kinematics(wxyz.reshape(-1, 22, 4), self.trans[start : start + _CHUNK] + PELVIS))
        return np.concatenate(out)


def read_smpl(path: str | os.PathLike[str]) -> SmplPoses:
    """Read a file of SMPL parameters. ValueError names the file and what is wrong with it; pickles are refused.

    AMASS's names (poses, or root_orient and pose_body; trans), smplx's (global_orient, body_pose, transl) and
    HY-Motion's (poses, trans, Rh; Y up, 30 fps).
    """
    path = Path(path)
    try:
        data, names = load_npz(path, _KEYS, MAX_UNPACKED)
    except Exception as error:  # a damaged file makes zipfile, zlib, lzma and numpy raise nearly anything
        raise ValueError(
            f'"{path}" cannot be read as an .npz file: {reason_of(error)}; fetch or export it again'
        ) from error
    try:
        return smpl_of(data, names)
    except ValueError as error:
        raise ValueError(f'"{path}" {error}') from error


def smpl_of(data: Mapping[str, NDArray[Any]], names: Sequence[str]) -> SmplPoses:
    """The SMPL parameters among the arrays of a file, by their names. ValueError says what is missing or odd."""
    poses = _poses(data)
    trans = next((data[key] for key in ("trans", "transl") if key in data), None)
    if trans is None and poses is not None and "global_orient" in data:
        trans = np.zeros((len(poses), 3))
    if poses is None or trans is None:
        held = listed(names)
        raise ValueError(f"holds {held}; SMPL motions have poses [frames, 66 or more] and trans.")
    trans = trans[0] if trans.ndim == 3 and len(trans) == 1 else trans
    if poses.ndim != 2 or poses.shape[1] < 66 or trans.shape != (len(poses), 3) or len(poses) == 0:
        raise ValueError(
            f"holds poses of shape {list(poses.shape)} and trans of shape {list(trans.shape)}; "
            "SMPL motions have poses [frames, 66 or more] and trans [frames, 3]."
        )
    poses, trans = checked_numbers(poses, "its poses"), checked_numbers(trans, "its trans")
    if "Rh" in data and data["Rh"].shape == (len(poses), 3) and not poses[:, :3].any():
        poses = np.concatenate([checked_numbers(data["Rh"], "its Rh"), poses[:, 3:]], axis=1)
    betas = np.asarray(data.get("betas", np.zeros(10)))
    betas = checked_numbers(betas[0] if betas.ndim == 2 and len(betas) else betas.reshape(-1), "its betas")
    says_up = "up_axis" in data or "Rh" in data
    up = str(data["up_axis"].reshape(-1)[0]).lower() if "up_axis" in data and data["up_axis"].size else "z"
    if up not in ("x", "y", "z"):
        raise ValueError(f'says that "{up[:20]}" points up; pass up= (--up) x, y or z')
    video = "Rh" in data or "global_orient" in data
    axis: Axis = "y" if "Rh" in data and "up_axis" not in data else up  # type: ignore[assignment]
    return SmplPoses(poses, trans, betas, rate_of(data), axis, says_up, 30.0 if video else FPS)


def _poses(data: Mapping[str, NDArray[Any]]) -> NDArray[Any] | None:
    """Rotation vectors [T, 66 or more], the root first; matrices become vectors."""
    if "poses" in data:
        return _flat(data["poses"])
    for root, body in (("root_orient", "pose_body"), ("global_orient", "body_pose")):
        if root in data and body in data:
            parts = [_flat(data[key]) for key in (root, body)]
            if len(parts[0]) != len(parts[1]) or parts[0].ndim != 2 or parts[1].ndim != 2:
                raise ValueError(f"holds {root} {list(data[root].shape)} and {body} {list(data[body].shape)}.")
            return np.concatenate(parts, axis=1)
    return None


def _flat(array: NDArray[Any]) -> NDArray[Any]:
    """[T, 3 J] of rotation vectors [T, J, 3] or matrices [T, J, 3, 3], with or without a leading 1."""
    checked_numbers(array, "its poses")
    matrices = array.ndim > 2 and array.shape[-2:] == (3, 3)
    if matrices and (array.ndim == 4 or np.abs(np.linalg.det(array) - 1).max() < 0.01):
        from scipy.spatial.transform import Rotation

        vectors = Rotation.from_matrix(array.reshape(-1, 3, 3)).as_rotvec()
        return vectors.reshape(len(array), -1)
    if array.ndim > 2 and array.shape[0] == 1:
        array = array[0]
    return array.reshape(len(array), -1) if array.ndim == 3 and array.shape[-1] == 3 else array


def rate_of(data: Mapping[str, NDArray[Any]]) -> float | None:
    """The frame rate under any of its names, a number alone or in an array; None where there is none."""
    for key in RATES:
        if key in data and data[key].size:
            try:
                (value,) = data[key].reshape(-1)
                return float(value)
            except (ValueError, TypeError) as error:
                shown = str(data[key].reshape(-1)[:3])[:40]
                raise ValueError(f"has the frame rate {shown}; pass fps= (--fps) with one number") from error
    return None


def write_npz(
    joints: Array,
    path: str | os.PathLike[str],
    fps: float = FPS,
    *,
    body: Body | None = None,
    recipe: Mapping[str, Any] | None = None,
) -> Path:
    """Write SMPL parameters under AMASS's names: poses [T, 3 J], trans [T, 3], betas, mocap_framerate, gender.

    Joints [T, 22, 3] in metres become poses of `body` (default the mannequin, 24 joints). The file is Y up, as its
    `up_axis` says, so that smplx gives the joints back without a turn. recipe: kept as JSON in the file.
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
            recipe=np.array(json.dumps(dict(recipe or {}), ensure_ascii=False, default=str)),
        )
    return path
