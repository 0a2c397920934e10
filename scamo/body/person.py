"""People: dressed human bodies that stand on the motion's own joints, from one file in the package (people.npz).

Six people share one mesh and one skeleton, that of the motions (`scamo.skeleton`); `size` makes a child small.
`tools/bake_people.py` makes the file from MakeHuman's CC0 data, see LICENSE.md beside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from scamo.body.person_words import PEOPLE, person_for
from scamo.body.surface import vertex_normals
from scamo.body.toes import BENDS, TOES, tip, toe_bends
from scamo.rotation import quat_multiply, quat_to_matrix
from scamo.skeleton import (
    BONE_LENGTHS,
    MIRROR,
    PARENTS,
    REST_DIRECTIONS,
    bone_lengths,
    checked_joints,
    forward_kinematics,
    joint_rotations,
)

__all__ = ["LENGTHS", "LIMITS", "OFFSETS", "PEOPLE", "REGIONS", "Person", "at_own_size", "load_person", "person_for"]

Array = NDArray[np.floating]

FILE = Path(__file__).with_name("people.npz")
STEP = 2.0**-14  # metres between two numbers of the file's int16 vertices
REGIONS = ("skin", "hair", "shirt", "trousers", "shoe", "sole", "lips", "eye", "iris", "brow", "pupil")
LENGTHS = (BONE_LENGTHS + BONE_LENGTHS[MIRROR]) / 2  # of everybody's bones, alike left and right: [22] metres
OFFSETS = REST_DIRECTIONS * LENGTHS[:, None]  # of everybody's bones in the rest pose, [22, 3] metres
LIMITS = (0.85, 1.15)  # how much shorter and longer than LENGTHS a bone is drawn at most
_LEGS = [4, 5, 7, 8]
_CHUNK = 64  # frames posed at once


@dataclass(frozen=True, eq=False)
class Person:
    """One of the people; `load_person` gives one. Lengths are in metres of the motion: drawing multiplies by `size`.

    joints: [22, 3] and skin: [P, 3], the bind pose, in which arms hang out at an angle. triangles: [F, 3] points of
    the skin. bones, weights: [P, 4] of each point, weights sum to one. points, regions: [V], a vertex for every colour
    that a point has, which point it is and its colour's place in REGIONS. faces: [F, 3] vertices. colours: [11, 3]
    0..1 as a screen shows them.
    """

    name: str
    size: float
    joints: Array
    skin: Array
    triangles: NDArray[np.int64]
    bones: NDArray[np.int64]
    weights: Array
    points: NDArray[np.int64]
    regions: NDArray[np.int64]
    faces: NDArray[np.int64]
    colours: Array

    @cached_property
    def bind(self) -> Array:
        """How the joints are turned in the world in the bind pose, [22, 4] wxyz."""
        return world_rotations(self.joints[None])[0]

    @property
    def template(self) -> Array:
        """The vertices of the bind pose as they are drawn, [V, 3] metres."""
        return self.skin[self.points] * self.size

    @cached_property
    def sole(self) -> float:
        """Metres from the lower toe joint down to the sole, as a body at rest stands."""
        rest = forward_kinematics(np.tile([1.0, 0.0, 0.0, 0.0], (1, 22, 1)), np.zeros((1, 3)), OFFSETS) * self.size
        return float(rest[0, list(TOES), 1].min() - self._skinned(rest, world_rotations(rest))[..., 1].min())

    @cached_property
    def tips(self) -> list[Array]:
        """For each of TOES the points that can be the lowest, [P, 3] seen from its joint, in metres of the motion."""
        found = []
        for toe in TOES:
            own = self.skin[(self.weights * (self.bones == toe)).sum(axis=1) > 0.6]
            found.append(tip((own - self.joints[toe]) @ self._unbind[toe].T))
        return found

    def fit(self, joints: Array) -> Array:
        """Joints [T, 22, 3] as this person is drawn: no bone stretched beyond LIMITS, all of it `size` times as large.

        A recording of a larger or smaller skeleton gets this one's size, by its legs.
        """
        return clamp_bones(at_own_size(joints)) * self.size

    def vertices(self, joints: Array, floor: float | None = None) -> Iterator[NDArray[np.float32]]:
        """The vertices at joints [T, 22, 3] from `fit`, in pieces: float32 [at most 64, V, 3] each, metres.

        floor: the height, in metres, that toes bend up from; None: where this person's soles stand.
        """
        for start in range(0, len(joints), _CHUNK):
            yield self.pose(joints[start : start + _CHUNK], floor)[:, self.points]

    def pose(self, joints: Array, floor: float | None = None) -> NDArray[np.float32]:
        """The points of the skin at joints [T, 22, 3] from `fit`: float32 [T, P, 3], by linear blend skinning."""
        world = world_rotations(joints)
        ground = -self.sole if floor is None else floor
        for toe, points in zip(TOES, self.tips, strict=True):
            # Where the ball of the foot is itself below the floor, the toes go no lower than that.
            room = np.maximum(joints[:, toe, 1] - ground, self.sole) / self.size
            bend = toe_bends(points, quat_to_matrix(world[:, toe])[:, 1], room)
            world[:, toe] = quat_multiply(world[:, toe], BENDS[bend])
        return self._skinned(joints, world)

    def _skinned(self, joints: Array, world: Array) -> NDArray[np.float32]:
        turns = quat_to_matrix(world) @ self._unbind * self.size
        moves = joints - (turns @ self.joints[..., None])[..., 0]
        matrices = np.concatenate([turns, moves[..., None]], axis=-1).astype(np.float32)  # [T, 22, 3, 4]
        columns = matrices.transpose(1, 3, 0, 2).reshape(4 * len(PARENTS), 3 * len(joints))
        return (self._spread @ columns).reshape(-1, len(joints), 3).transpose(1, 0, 2)

    def normals(self, vertices: Array) -> Array:
        """Unit normals [..., V, 3] of vertices [..., V, 3]; where two colours meet, light does not."""
        skin = np.empty((*vertices.shape[:-2], len(self.skin), 3), dtype=vertices.dtype)
        skin[..., self.points, :] = vertices
        return vertex_normals(skin, self.triangles)[..., self.points, :]

    @cached_property
    def _unbind(self) -> Array:
        return np.swapaxes(quat_to_matrix(self.bind), -1, -2)

    @cached_property
    def _spread(self) -> sparse.csr_matrix:
        """What a point takes of each bone's matrix, [P, 4 x 22]."""
        count = len(self.skin)
        rows = np.repeat(np.arange(count), 16)
        columns = (4 * self.bones[..., None] + np.arange(4)).reshape(-1)
        shares = self.weights[..., None] * np.insert(self.skin, 3, 1.0, axis=1)[:, None]
        shape = (count, 4 * len(PARENTS))
        return sparse.csr_matrix((shares.reshape(-1).astype(np.float32), (rows, columns)), shape=shape)


@cache
def load_person(name: str = "neutral") -> Person:
    """One of PEOPLE. The result is cached; do not write into it. ValueError for another name."""
    if name not in PEOPLE:
        raise ValueError(f'There is no person "{name}"; choose one of {", ".join(PEOPLE)}.')
    data, place = _read(), PEOPLE.index(name)
    triangles, region = data["faces"].astype(np.int64), data["region"].astype(np.int64)
    corners = triangles.reshape(-1) * len(REGIONS) + np.repeat(region, 3)
    pairs, faces = np.unique(corners, return_inverse=True)
    weights = data["weights"] / 255.0
    first = data["vertices"][0].astype(np.float64)
    return Person(
        name=name,
        size=float(data["size"][place]),
        joints=data["joints"][place].astype(np.float64),
        skin=(first + data["vertices"][place] if place else first) * STEP,
        triangles=triangles,
        bones=data["bones"].astype(np.int64),
        weights=weights / weights.sum(axis=1, keepdims=True),
        points=pairs // len(REGIONS),
        regions=pairs % len(REGIONS),
        faces=faces.reshape(-1, 3),
        colours=data["colours"][place] / 255.0,
    )


@cache
def _read() -> dict[str, NDArray[Any]]:
    with np.load(FILE) as file:
        return {name: file[name] for name in file.files}


def world_rotations(joints: Array) -> Array:
    """How the joints of joints [T, 22, 3] are turned in the world, [T, 22, 4] wxyz."""
    world = joint_rotations(joints, OFFSETS)
    for joint in range(1, len(PARENTS)):
        world[:, joint] = quat_multiply(world[:, PARENTS[joint]], world[:, joint])
    return world


def at_own_size(joints: Array) -> Array:
    """Joints [T, 22, 3] of a larger or smaller skeleton at the size of this one, by their legs."""
    joints = checked_joints(joints)
    scale = float(np.median(bone_lengths(joints)[:, _LEGS] / LENGTHS[_LEGS]))
    # Less than a twentieth is a network's inexactness, which must not change the path.
    return joints / scale if abs(scale - 1) > 0.05 and scale > 0.05 else joints


def clamp_bones(joints: Array) -> Array:
    """Joints [T, 22, 3] without bones that are stretched or shrunk beyond LIMITS times LENGTHS.

    Such a bone keeps its direction and gets the limit's length; everything beyond it moves along as it is.
    """
    joints = np.asarray(joints, dtype=np.float64)
    parents = list(PARENTS[1:])
    bones = joints[:, 1:] - joints[:, parents]
    sizes = np.linalg.norm(bones, axis=-1, keepdims=True)
    rest = LENGTHS[1:, None]
    wanted = np.clip(sizes, LIMITS[0] * rest, LIMITS[1] * rest)
    shift = np.zeros_like(joints)
    bones = bones * (wanted / np.maximum(sizes, 1e-9) - 1)
    for joint, parent in enumerate(parents, start=1):
        shift[:, joint] = shift[:, parent] + bones[:, joint - 1]
    return joints + shift
