"""The figures of mesh files: a person or a stick figure, on the bones of a rig, with the soles on the floor."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from scamo.body.mannequin import PARENTS_24, rest_joints
from scamo.body.person import Person, at_own_size, load_person
from scamo.body.toes import BENDS, TOES, tip, toe_bends
from scamo.io.animation import Animation, SkeletonPoses, for_rig, of_pose
from scamo.io.export_rigs import check_rig
from scamo.render.scene import palettes
from scamo.render.stick import BONES, extend
from scamo.rotation import quat_conjugate, quat_multiply, quat_rotate, quat_to_matrix
from scamo.skeleton import REST_OFFSETS, joint_rotations

Array = NDArray[np.floating]
FigureName = Literal["person", "stick"]

_CHUNK = 256  # frames whose vertices are measured at once


class Figure(NamedTuple):
    """A skin, the animation of its bones, and where these were when the skin was bound to them.

    bind_places: [J, 3] and bind_rotations: [J, 4] wxyz, the animation's bones in the world.
    """

    mesh: Mesh
    animation: Animation
    bind_places: Array
    bind_rotations: Array


def build_figure(
    joints: Array,
    fps: float,
    figure: FigureName = "person",
    *,
    person: str = "neutral",
    rig: str = "humanml3d",
    to_fps: float | None = None,
) -> Figure:
    """A figure that moves as joints [T, 22, 3] in metres do, on the bones of a rig, soles on y = 0.

    Bones are rigid: their directions are the recording's, their lengths the figure's. It stands as much higher as its
    soles are below its joints, its toes bend where they would go through the floor, and what is still below the floor
    in any frame lifts the whole motion. person: who it is, one of `scamo.body.person.PEOPLE`. to_fps: the animation's
    frame rate, default `fps`. ValueError for another figure, person or rig.
    """
    if figure not in ("person", "stick"):
        raise ValueError(f'There is no figure "{figure}" for mesh files; choose "person" or "stick".')
    target = check_rig(rig)
    if figure == "person":
        skin = _person_skin(load_person(person))
        moved = load_person(person).fit(joints)
    else:
        skin = _stick_skin()
        moved = at_own_size(joints)
    poses = of_pose(skin.offsets, joint_rotations(moved, skin.offsets[:22]), moved[:, 0] + [0, skin.sole, 0], fps)
    if figure == "person":
        poses = bend_toes(skin, poses)
    places = poses.places.copy()
    places[:, 0, 1] += max(0.0, -_lowest(skin, poses))
    poses = replace(poses, places=places).at_rate(fps if to_fps is None else to_fps)
    return _bound(skin, for_rig(poses, target, with_axes=True, below=skin.sole))


@dataclass(frozen=True)
class Skin:
    """A mesh bound to our own 24 joints, in metres. offsets: [24, 3] at rest; joints: [24, 3] and turns: [24, 4] wxyz,
    where the joints were and how they were turned in the world when the mesh was bound to them."""

    mesh: Mesh
    offsets: Array
    joints: Array
    turns: Array

    @cached_property
    def sole(self) -> float:
        """Metres from the lower toe joint down to the sole, in the rest pose."""
        rest = self.offsets.copy()
        for joint, parent in enumerate(PARENTS_24[1:], start=1):
            rest[joint] += rest[parent]
        skin = self.mesh.weights[..., None] * (self.from_bones() + rest[self.mesh.bones])
        return float(rest[list(TOES), 1].min() - skin.sum(axis=1)[:, 1].min())

    def from_bones(self) -> Array:
        """Where each vertex is seen from each of its four bones, in the frame of the rest pose, [V, 4, 3]."""
        bones = self.mesh.bones
        return quat_rotate(quat_conjugate(self.turns)[bones], self.mesh.positions[:, None] - self.joints[bones])


def bend_toes(skin: Skin, poses: SkeletonPoses) -> SkeletonPoses:
    """Bend the toes up where they would go through the floor y = 0, as toes do when a heel is raised.

    No joint moves. Where the ball of the foot is itself below the floor, the toes go no lower than that.
    """
    places, world = poses.world()
    rotations = poses.rotations.copy()
    seen = skin.from_bones()
    for toe in TOES:
        points = tip(seen[(skin.mesh.bones == toe) & (skin.mesh.weights > 0.6)])
        room = np.maximum(places[:, toe, 1], skin.sole)
        bend = toe_bends(points, quat_to_matrix(world[:, toe])[:, 1], room)
        rotations[:, toe] = quat_multiply(rotations[:, toe], BENDS[bend])
    return replace(poses, rotations=rotations)


def _lowest(skin: Skin, poses: SkeletonPoses) -> float:
    """Height of the lowest vertex over all frames."""
    mesh, seen = skin.mesh, skin.from_bones()
    spread = np.zeros((len(mesh.positions), len(skin.offsets), 4))  # a vertex from each bone, times the bone's weight
    rows = np.repeat(np.arange(len(mesh.positions)), 4)
    np.add.at(spread[..., :3], (rows, mesh.bones.reshape(-1)), (mesh.weights[..., None] * seen).reshape(-1, 3))
    np.add.at(spread[..., 3], (rows, mesh.bones.reshape(-1)), mesh.weights.reshape(-1))
    places, rotations = poses.world()
    up = np.concatenate([quat_to_matrix(rotations)[:, :, 1], places[..., 1:2]], axis=-1).reshape(len(places), -1)
    flat = spread.reshape(len(spread), -1).T
    return float(min((up[start : start + _CHUNK] @ flat).min() for start in range(0, len(up), _CHUNK)))


def _bound(skin: Skin, animation: Animation) -> Figure:
    """The skin on the animation's bones, on the floor; a bone that only the rig has is bound as it rests."""
    bind_places, bind_rotations = animation.rest_world()
    bone_of = [animation.joints.index(joint) for joint in range(len(skin.joints))]
    shift = -skin.joints[0] * [1, 0, 1] - [0, skin.mesh.positions[:, 1].min(), 0]
    bind_places[bone_of] = skin.joints + shift
    before = quat_multiply(skin.turns, quat_conjugate(animation.turns))
    bind_rotations[bone_of] = quat_multiply(before, bind_rotations[bone_of])
    mesh = skin.mesh
    bones = np.where(mesh.weights > 0, np.array(bone_of)[mesh.bones], 0)
    return Figure(replace(mesh, positions=mesh.positions + shift, bones=bones), animation, bind_places, bind_rotations)


def bound_at_rest(figure: Figure) -> Figure:
    """The same figure, its skin bound in the pose in which the bones rest, which readers of FBX take for the rest pose.

    The skin is what it has to be for the pose in which it was bound before to look as it did. What one bone holds
    moves as before; where bones share the skin, other poses differ a little.
    """
    mesh, animation, places, rotations = figure
    rest_places, rest_rotations = animation.rest_world()
    turns = quat_multiply(rotations, quat_conjugate(rest_rotations))
    matrices = quat_to_matrix(turns)  # from the rest pose to the pose of the skin
    moves = places - quat_rotate(turns, rest_places)
    matrix = (mesh.weights[..., None, None] * matrices[mesh.bones]).sum(axis=1)
    move = (mesh.weights[..., None] * moves[mesh.bones]).sum(axis=1)
    positions = np.linalg.solve(matrix, (mesh.positions - move)[..., None])[..., 0]
    normals = (matrix.swapaxes(1, 2) @ mesh.normals[..., None])[..., 0]
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    return Figure(replace(mesh, positions=positions, normals=normals), animation, rest_places, rest_rotations)


@dataclass(frozen=True)
class Mesh:
    """A skin: positions, normals, colours [V, 3] (linear light), faces [F, 3], bones and weights [V, 4]."""

    positions: Array
    normals: Array
    faces: NDArray[np.integer]
    bones: NDArray[np.integer]
    weights: Array
    colours: Array


def _person_skin(person: Person) -> Skin:
    """A person on bones that are bound at the lengths in which they move.

    People are alike left and right, and the motion's bones are not, by millimetres. The skin is moved with its bones
    to their lengths, for readers drop what a bone moves against its parent: Blender where bones are joined end to end.
    """
    hands = rest_joints()[[22, 23]] - rest_joints()[[20, 21]]
    offsets = np.concatenate([REST_OFFSETS, hands]) * person.size  # the motion's own, so that a file can be read again
    turns = np.concatenate([person.bind, person.bind[[20, 21]]])
    joints = np.concatenate([person.joints, np.zeros((2, 3))]) * person.size
    for joint, parent in enumerate(PARENTS_24[1:], start=1):
        joints[joint] = joints[parent] + quat_rotate(turns[parent], offsets[joint])
    bones, weights = person.bones[person.points], person.weights[person.points]
    moved = joints[:22] - person.joints * person.size
    positions = person.template + (weights[..., None] * moved[bones]).sum(axis=1)
    mesh = Mesh(
        positions=positions,
        normals=person.normals(positions),
        faces=person.faces,
        bones=bones,
        weights=weights,
        colours=_linear(person.colours[person.regions]),
    )
    return Skin(mesh, offsets, joints, turns)


def _stick_skin() -> Skin:
    joints = rest_joints()
    offsets = np.concatenate([REST_OFFSETS, joints[22:] - joints[list(PARENTS_24[22:])]])
    return Skin(_stick_mesh(joints), offsets, joints, np.tile([1.0, 0.0, 0.0, 0.0], (24, 1)))


def _stick_mesh(rest: Array) -> Mesh:
    """Tapered, eight-sided bones and a ball for the head, each fixed to one joint."""
    points = extend(rest[:22])
    colours = palettes(1, (1.0, 1.0, 1.0))[0]
    ring = np.linspace(0, 2 * np.pi, 8, endpoint=False)
    parts = []
    for start, end, first_radius, last_radius, side in BONES:
        a, b = points[start], points[end]
        along = (b - a) / np.linalg.norm(b - a) if start != end else np.array([0.0, 1.0, 0.0])
        across = np.cross(along, [0.3, 0.5, 0.8])
        across /= np.linalg.norm(across)
        circle = np.cos(ring)[:, None] * across + np.sin(ring)[:, None] * np.cross(along, across)
        caps = [(a, first_radius, bow) for bow in (-1.57, -0.8, 0.0)] + [
            (b, last_radius, bow) for bow in (0.0, 0.8, 1.57)
        ]
        normals = np.stack([np.cos(bow) * circle + np.sin(bow) * along for _, _, bow in caps])
        places = np.stack([centre + radius * normal for (centre, radius, _), normal in zip(caps, normals, strict=True)])
        index = np.arange(places.size // 3).reshape(places.shape[:2])
        beside = np.roll(index, -1, axis=1)
        quads = np.stack([index[:-1], beside[:-1], beside[1:], index[1:]], axis=-1).reshape(-1, 4)
        parts.append(
            (
                places,
                normals,
                quads[:, [0, 1, 2, 0, 2, 3]].reshape(-1, 3),
                min(start, 15) if start > 21 else start,
                side,
            )
        )
    each = parts[0][0].size // 3
    bones = np.zeros((len(parts) * each, 4), dtype=np.int64)
    bones[:, 0] = np.repeat([joint for *_, joint, _ in parts], each)
    return Mesh(
        positions=np.concatenate([places for places, *_ in parts]).reshape(-1, 3),
        normals=np.concatenate([normals for _, normals, *_ in parts]).reshape(-1, 3),
        faces=np.concatenate([faces + i * each for i, (_, _, faces, *_) in enumerate(parts)]),
        bones=bones,
        weights=np.tile([1.0, 0.0, 0.0, 0.0], (len(bones), 1)),
        colours=_linear(np.repeat(np.array([colours[side] for *_, side in parts]), each, axis=0)),
    )


def _linear(srgb: Array) -> Array:
    """Colours as a screen shows them (sRGB) -> linear light, which glTF's vertex colours are."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
