"""Bodies in SMPL's layout, posed by smplx: the user's licensed SMPL, SMPL-H or SMPL-X file, or the mannequin.

A licensed file is read, never copied, bundled or served; `scamo.body.smpl_files` reads it safely.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from scamo.body.smpl_files import GENDERS, KEYS, KINDS, WHERE, checked_arrays, find_file, gender_of, read_arrays
from scamo.skeleton import PARENTS, REST_OFFSETS, checked_joints, forward_kinematics, joint_rotations

if TYPE_CHECKING:
    import smplx

__all__ = ["GENDERS", "MANNEQUIN", "WHERE", "Body", "Pose", "SmplSkeleton", "load_body"]

Array = NDArray[np.floating]

MANNEQUIN = "mannequin"
_LEGS, _KNEES_AND_HIPS = [4, 7, 5, 8], [1, 4, 2, 5]
_CHUNK = 64  # frames posed at once; smplx takes about half a megabyte for each
_SKELETON_CHUNK = 2048  # frames posed at once without vertices


class Pose(NamedTuple):
    """A pose for every frame: rotations [T, 22, 4] local wxyz; root [T, 3], the pelvis in metres."""

    rotations: Array
    root: Array


@dataclass(frozen=True, eq=False)
class Body:
    """A body of one shape; `load_body` gives one.

    template: [V, 3] its vertices at rest, faces: [F, 3], weights: [V, J] its skin, joints: [J, 3] at rest, parents:
    [J]; betas: the shape, as long as the file has directions for; hands: [J, 3] rotation vectors of the fingers' mean
    pose, zero elsewhere. kind: "mannequin", "SMPL", "SMPL-H" or "SMPL-X".
    """

    kind: str
    gender: str
    betas: Array
    template: Array
    faces: NDArray[np.int64]
    weights: Array
    joints: Array
    parents: tuple[int, ...]
    hands: Array
    model: smplx.SMPL

    @property
    def offsets(self) -> Array:
        """Rest skeleton [22, 3] for `forward_kinematics` and `joint_rotations`, metres."""
        parents = list(PARENTS[1:])
        return np.concatenate([np.zeros((1, 3)), self.joints[1:22] - self.joints[parents]])

    @property
    def sole(self) -> float:
        """Metres from the lower toe joint down to the lowest vertex, at rest: how far soles are below joints."""
        return float(self.joints[[10, 11], 1].min() - self.template[:, 1].min())

    def fit(self, joints: Array) -> Pose:
        """The pose of a recording [T, 22, 3] on this body: every bone's direction, the path scaled to its legs."""
        joints = checked_joints(joints)
        rotations = joint_rotations(joints, self.offsets)
        own, usual = (np.linalg.norm(offsets[_LEGS], axis=-1).sum() for offsets in (self.offsets, REST_OFFSETS))
        leg = float(np.median(np.linalg.norm(joints[:, _LEGS] - joints[:, _KNEES_AND_HIPS], axis=-1).sum(axis=-1)))
        if abs(leg / usual - 1) < 0.05:
            leg = usual  # our own skeleton: a network stretches its bones a little, which must not change the path
        return Pose(rotations, joints[:, 0] * (own / max(leg, 1e-6)))

    def posed_joints(self, pose: Pose) -> Array:
        """The 22 joints of a pose, [T, 22, 3]; the same as smplx gives, without vertices."""
        return forward_kinematics(pose.rotations, pose.root, self.offsets)

    def parameters(self, pose: Pose) -> tuple[Array, Array]:
        """A pose in SMPL's own terms: (rotation vectors [T, 3 J], translation [T, 3])."""
        vectors = np.tile(self.hands, (len(pose.root), 1, 1))
        wxyz = pose.rotations.reshape(-1, 4)
        vectors[:, :22] = Rotation.from_quat(wxyz[:, [1, 2, 3, 0]]).as_rotvec().reshape(-1, 22, 3)
        return vectors.reshape(len(vectors), -1), pose.root - self.joints[0]

    def vertices(self, pose: Pose) -> Iterator[NDArray[np.float32]]:
        """The skin of a pose through smplx, in pieces: float32 [at most 64, V, 3] each, metres."""
        import torch

        vectors, moves = self.parameters(pose)
        betas = torch.as_tensor(self.betas[None], dtype=torch.float32)
        for start in range(0, len(vectors), _CHUNK):
            turn = torch.as_tensor(vectors[start : start + _CHUNK], dtype=torch.float32)
            move = torch.as_tensor(moves[start : start + _CHUNK], dtype=torch.float32)
            with torch.inference_mode():
                out = self.model(
                    betas=betas.expand(len(turn), -1), global_orient=turn[:, :3], body_pose=turn[:, 3:], transl=move
                )
            yield out.vertices.numpy()


def load_body(
    path: str | os.PathLike[str] | None = None, *, gender: str | None = None, betas: Array | None = None
) -> Body:
    """Load the mannequin (no path, or "mannequin"), or the body in a licensed file or in a folder of such files.

    gender: "neutral", "female" or "male", which of a folder's files to take, by their names. betas: shape
    parameters, at most as many as the file has (the mannequin: size, girth). ValueError names what is wrong with the
    file, and where such files come from.
    """
    if gender is not None and gender not in GENDERS:
        raise ValueError(f'There is no "{gender}" body; choose one of {", ".join(GENDERS)}.')
    if path is None or str(path) == MANNEQUIN:
        from scamo.body.mannequin import mannequin

        return _build(mannequin(), MANNEQUIN, "neutral", betas)
    file = find_file(Path(path), gender)
    data = checked_arrays(read_arrays(file), file)
    return _build(data, KINDS[data["weights"].shape[1]], gender_of(file) or gender or "neutral", betas)


def _build(data: dict[str, Any], kind: str, gender: str, betas: Array | None) -> Body:
    import smplx

    most = min(10 if kind != MANNEQUIN else 2, data["shapedirs"].shape[-1])
    shape = np.zeros(most)
    if betas is not None:
        wanted = np.asarray(betas, dtype=np.float64).ravel()
        if len(wanted) > most or not np.isfinite(wanted).all():
            raise ValueError(f"This body takes at most {most} finite shape parameters; {len(wanted)} were given.")
        shape[: len(wanted)] = wanted

    class Model(smplx.SMPL):
        """smplx.SMPL, which poses every file of the family; the shape count keeps it from printing a warning."""

        SHAPE_SPACE_DIM = most

    struct = smplx.utils.Struct(**{key: data[key] for key in KEYS})
    fixed = {f"create_{name}": False for name in ("betas", "global_orient", "body_pose", "transl")}
    model = Model("", data_struct=struct, num_betas=most, **fixed).eval()
    template = data["v_template"] + data["shapedirs"][..., :most] @ shape
    count = data["weights"].shape[1]
    hands = np.zeros((count, 3))
    if data.get("hands") is not None:
        hands[-30:] = data["hands"]
    return Body(
        kind=kind,
        gender=gender,
        betas=shape,
        template=template,
        faces=data["f"],
        weights=data["weights"],
        joints=data["J_regressor"] @ template,
        parents=(-1, *(int(p) for p in data["kintree_table"][0, 1:])),
        hands=hands,
        model=model,
    )


class SmplSkeleton:
    """The joints alone of a body of the SMPL family, for reading pose files: a licensed file without its mesh.

    path: an SMPL, SMPL-H or SMPL-X file. ValueError names what it lacks.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        import torch

        data = read_arrays(Path(path))
        needed = ("J_regressor", "v_template", "shapedirs", "kintree_table")
        if missing := [name for name in needed if name not in data]:
            raise ValueError(f'"{path}" is not a body model: it lacks {", ".join(missing)}. {WHERE}.')
        tensors = (torch.from_numpy(np.asarray(data[name], dtype=np.float32)) for name in needed[:3])
        self.regressor, self.template, self.directions = tensors
        parents = np.asarray(data["kintree_table"][0], dtype=np.int64)
        parents[0] = -1
        self.parents = torch.from_numpy(parents)

    def joints(self, poses: Array, translation: Array, betas: Array) -> Array:
        """Joints [T, 22, 3] in metres. poses [T, 3 J] rotation vectors, translation [T, 3], betas [N].

        Joints that the poses lack stay at rest; shape parameters that the file lacks are left out.
        """
        import torch
        from smplx.lbs import batch_rigid_transform, batch_rodrigues, blend_shapes, vertices2joints

        count = min(len(betas), self.directions.shape[-1])
        shape = torch.from_numpy(np.asarray(betas[None, :count], dtype=np.float32))
        rest = vertices2joints(self.regressor, self.template + blend_shapes(shape, self.directions[..., :count]))
        total = len(self.parents)
        out = []
        for start in range(0, len(poses), _SKELETON_CHUNK):
            part = np.asarray(poses[start : start + _SKELETON_CHUNK, : 3 * total], dtype=np.float32)
            turns = torch.zeros(len(part), total, 3)
            turns[:, : part.shape[1] // 3] = torch.from_numpy(part).reshape(len(part), -1, 3)
            matrices = batch_rodrigues(turns.reshape(-1, 3)).reshape(len(part), total, 3, 3)
            posed, _ = batch_rigid_transform(matrices, rest.expand(len(part), -1, -1), self.parents)
            out.append(posed[:, :22].numpy() + translation[start : start + _SKELETON_CHUNK, None])
        return np.concatenate(out)
