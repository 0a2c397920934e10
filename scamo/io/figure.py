"""The figures of mesh files: the mannequin or a stick figure, on the bones of a rig, with its soles on the floor."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from scamo.body.mannequin import vertex_normals
from scamo.body.smpl import Body, Pose, load_body
from scamo.io.animation import Animation, SkeletonPoses, for_rig, of_pose
from scamo.io.export_rigs import check_rig
from scamo.render.mesh import body_colours
from scamo.render.scene import palettes
from scamo.render.stick import BONES, extend
from scamo.rotation import quat_multiply, quat_rotate, quat_to_matrix
from scamo.skeleton import PARENTS

Array = NDArray[np.floating]
FigureName = Literal["mannequin", "stick"]

_TOES = (10, 11)
_TOE_ANGLES = np.linspace(0, np.radians(70), 29)  # how far toes bend up
_CHUNK = 256  # frames whose vertices are measured at once


class Figure(NamedTuple):
    """A skin in the rest pose of an animation, and the animation."""

    mesh: Mesh
    animation: Animation


def build_figure(
    joints: Array,
    fps: float,
    figure: FigureName = "mannequin",
    *,
    rig: str = "humanml3d",
    to_fps: float | None = None,
) -> Figure:
    """A figure that moves as joints [T, 22, 3] in metres do, on the bones of a rig, soles on y = 0.

    The pose is the mannequin's, `Body.fit` of the joints. It stands as much higher as its soles are below its joints,
    its toes bend where they would go through the floor, and what is still below the floor in any frame lifts the whole
    motion. to_fps: the animation's frame rate, default `fps`. ValueError for another figure or rig.
    """
    if figure not in ("mannequin", "stick"):
        raise ValueError(f'There is no figure "{figure}" for mesh files; choose "mannequin" or "stick".')
    target = check_rig(rig)
    body = load_body()
    mesh = _mannequin_mesh(body) if figure == "mannequin" else _stick_mesh(body.joints)
    sole = float(body.joints[list(_TOES), 1].min() - mesh.positions[:, 1].min())
    pose = body.fit(joints)
    pose = Pose(pose.rotations, pose.root + [0, sole, 0])
    if figure == "mannequin":
        pose = bend_toes(body, pose)
    offsets = np.concatenate([np.zeros((1, 3)), body.joints[1:] - body.joints[list(body.parents[1:])]])
    poses = of_pose(offsets, pose.rotations, pose.root, fps)
    places = poses.places.copy()
    places[:, 0, 1] += max(0.0, -_lowest(mesh, body.joints, poses))
    poses = replace(poses, places=places).at_rate(fps if to_fps is None else to_fps)
    animation = for_rig(poses, target, with_axes=True, below=sole)
    return Figure(_at_rest(mesh, body.joints, animation), animation)


def bend_toes(body: Body, pose: Pose) -> Pose:
    """Bend the toes up where they would go through the floor y = 0, as toes do when a heel is raised.

    No joint moves. Where the ball of the foot is itself below the floor, the toes go no lower than that.
    """
    joints = body.posed_joints(pose)
    world, rotations = np.array(pose.rotations), np.array(pose.rotations)
    for joint in range(1, 22):
        world[:, joint] = quat_multiply(world[:, PARENTS[joint]], pose.rotations[:, joint])
    half = _TOE_ANGLES / 2
    turns = np.stack([np.cos(half), -np.sin(half), 0 * half, 0 * half], axis=-1)
    for toe in _TOES:
        points = (body.template - body.joints[toe])[body.weights[:, toe] > 0.6]
        points = points[points[:, 2] > 0]
        bent = quat_rotate(turns[:, None], points)  # [angles, points, 3]
        up = quat_to_matrix(world[:, toe])[:, 1]
        height = np.stack([(up @ some.T).min(axis=1) for some in bent], axis=-1) + joints[:, toe, 1, None]
        clear = height >= np.minimum(0.0, joints[:, toe, 1] - body.sole)[:, None] - 1e-4
        chosen = np.where(clear.any(axis=1), clear.argmax(axis=1), height.argmax(axis=1))
        rotations[:, toe] = quat_multiply(rotations[:, toe], turns[chosen])
    return Pose(rotations, pose.root)


def _lowest(mesh: Mesh, rest: Array, poses: SkeletonPoses) -> float:
    """Height of the lowest vertex over all frames."""
    spread = np.zeros((len(mesh.positions), len(rest), 4))  # a vertex from each bone, times the bone's weight
    rows = np.arange(len(mesh.positions))[:, None]
    spread[rows, mesh.bones, :3] += mesh.weights[..., None] * (mesh.positions[:, None] - rest[mesh.bones])
    spread[rows, mesh.bones, 3] += mesh.weights
    places, rotations = poses.world()
    up = np.concatenate([quat_to_matrix(rotations)[:, :, 1], places[..., 1:2]], axis=-1).reshape(len(places), -1)
    flat = spread.reshape(len(spread), -1).T
    return float(min((up[start : start + _CHUNK] @ flat).min() for start in range(0, len(up), _CHUNK)))


def _at_rest(mesh: Mesh, rest: Array, animation: Animation) -> Mesh:
    """The skin brought from the mannequin's rest pose into the animation's, and its bones counted as there."""
    places = animation.rest_world()[0]
    bone_of = np.array([animation.joints.index(joint) for joint in range(len(rest))])
    turns = animation.turns[mesh.bones]
    moved = quat_rotate(turns, mesh.positions[:, None] - rest[mesh.bones]) + places[bone_of[mesh.bones]]
    normals = (mesh.weights[..., None] * quat_rotate(turns, mesh.normals[:, None])).sum(axis=1)
    return replace(
        mesh,
        positions=(mesh.weights[..., None] * moved).sum(axis=1),
        normals=normals / np.linalg.norm(normals, axis=-1, keepdims=True),
        bones=np.where(mesh.weights > 0, bone_of[mesh.bones], 0),
    )


@dataclass(frozen=True)
class Mesh:
    """A skin at rest: positions, normals, colours [V, 3] (linear light), faces [F, 3], bones and weights [V, 4]."""

    positions: Array
    normals: Array
    faces: NDArray[np.integer]
    bones: NDArray[np.integer]
    weights: Array
    colours: Array


def _mannequin_mesh(body: Body) -> Mesh:
    strongest = np.argsort(-body.weights, axis=1)[:, :4]
    weights = np.take_along_axis(body.weights, strongest, axis=1)
    weights = weights / weights.sum(axis=1, keepdims=True)
    paint = body_colours(body, palettes(1, (1.0, 1.0, 1.0))[0])
    normals = vertex_normals(body.template, body.faces)
    return Mesh(body.template, normals, body.faces, np.where(weights > 0, strongest, 0), weights, _linear(paint))


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
