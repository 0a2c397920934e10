"""SMPL parameters in .npz files: AMASS's and ours in, ours out.

A file has poses [T, 66 or more] (rotation vectors, the root first) or root_orient and pose_body, trans [T, 3] in
metres, a frame rate and betas. AMASS's files are Z up; ours are Y up, which their `up_axis` says.
"""

from __future__ import annotations

import json
import os
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scamo.atomic import replacing_file
from scamo.io.retarget import Axis, turned_up
from scamo.motion import FPS
from scamo.skeleton import checked_joints, forward_kinematics

if TYPE_CHECKING:
    from scamo.body.smpl import Body, SmplSkeleton

Array = NDArray[np.floating]

MAX_UNPACKED = 256 << 20  # bytes: half an hour of AMASS's poses; a small file may claim to hold any amount
RATES = ("mocap_framerate", "mocap_frame_rate", "fps")
_KEYS = ("poses", "root_orient", "pose_body", "trans", "betas", "up_axis", *RATES)


@dataclass(frozen=True)
class SmplPoses:
    """What a file of SMPL parameters holds.

    poses: [T, 66 or more] rotation vectors, the root first; trans: [T, 3] metres; betas: [N], zeros if the file has
    none; fps: None if the file has no frame rate; up: the axis that points up.
    """

    poses: Array
    trans: Array
    betas: Array
    fps: float | None
    up: Axis

    def joints(self, skeleton: SmplSkeleton | None = None) -> Array:
        """Joints [T, 22, 3] in metres, Y up, on the mannequin's skeleton or on that of a licensed body file."""
        if skeleton is not None:
            joints = skeleton.joints(self.poses, self.trans, self.betas)
        else:
            from scipy.spatial.transform import Rotation

            from scamo.body.mannequin import PELVIS

            turns = Rotation.from_rotvec(self.poses[:, :66].astype(np.float64).reshape(-1, 3))
            wxyz = turns.as_quat()[:, [3, 0, 1, 2]]
            joints = forward_kinematics(wxyz.reshape(-1, 22, 4), self.trans + PELVIS)
        return turned_up(joints, self.up)


def read_smpl(path: str | os.PathLike[str]) -> SmplPoses:
    """Read a file of SMPL parameters. ValueError names the file and what is wrong with it; pickles are refused."""
    path = Path(path)
    try:
        with np.load(path, allow_pickle=False) as archive:
            if sum(part.file_size for part in archive.zip.infolist()) > MAX_UNPACKED:
                raise ValueError(f"it unpacks to more than {MAX_UNPACKED >> 20} MiB; cut it first")
            data = {key: archive[key] for key in _KEYS if key in archive.files}
            files = list(archive.files)
    except (OSError, ValueError, EOFError, MemoryError, AttributeError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f'"{path}" cannot be read as an .npz file: {error}') from error
    poses = data.get("poses")
    if poses is None and {"root_orient", "pose_body"} <= set(data):
        poses = np.concatenate([data["root_orient"], data["pose_body"]], axis=1)
    if poses is None or "trans" not in data:
        held = ", ".join(files) or "nothing"
        raise ValueError(f'"{path}" holds {held}; SMPL motions have poses [frames, 66 or more] and trans.')
    if poses.ndim != 2 or poses.shape[1] < 66 or data["trans"].shape != (len(poses), 3):
        raise ValueError(
            f'"{path}" holds poses of shape {list(poses.shape)} and trans of shape {list(data["trans"].shape)}; '
            "SMPL motions have poses [frames, 66 or more] and trans [frames, 3]."
        )
    rates = [float(np.asarray(data[key]).reshape(-1)[0]) for key in RATES if key in data and np.size(data[key])]
    betas = np.asarray(data.get("betas", np.zeros(10))).reshape(-1)
    up: Axis = "y" if str(data.get("up_axis", "Z")).upper() == "Y" else "z"
    return SmplPoses(poses, data["trans"], betas, rates[0] if rates else None, up)


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
