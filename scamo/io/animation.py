"""A moving skeleton, as BVH, GLB, VRMA and FBX hold it: bones of some rig, at rest and in every frame."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.spatial.transform import Rotation, Slerp

from scamo.body.mannequin import PARENTS_24
from scamo.io.export_rigs import ExportRig, bone_axes, rest_turns
from scamo.io.rigid import fit_rigid
from scamo.rotation import quat_conjugate, quat_continuous, quat_multiply, quat_rotate
from scamo.skeleton import PARENTS, checked_joints, joint_rotations, rest_offsets

Array = NDArray[np.floating]

# The axes of a root bone. If Y pointed to the pelvis, Blender would tie the pelvis to the root bone's end.
_Z_UP = np.array([np.sqrt(0.5), -np.sqrt(0.5), 0.0, 0.0])


@dataclass(frozen=True)
class SkeletonPoses:
    """Poses of our own skeleton: offsets [J, 3] at rest, local rotations [T, J, 4] wxyz, places [T, J, 3], metres.

    J is 22, or 24 with the hands. places: every joint in its parent's frame, the root in the world. Where bones are
    rigid, places are the offsets.
    """

    offsets: Array
    rotations: Array
    places: Array
    fps: float

    def world(self) -> tuple[Array, Array]:
        """Places [T, J, 3] and rotations [T, J, 4] of the joints in the world."""
        return _to_world(self.places, self.rotations, PARENTS_24[: len(self.offsets)])

    def at_rate(self, fps: float) -> SkeletonPoses:
        """The same motion at another frame rate: rotations by slerp, places by a cubic spline."""
        if fps == self.fps or len(self.rotations) < 2:
            return replace(self, fps=fps)
        times = np.arange(len(self.rotations)) / self.fps
        wanted = np.arange(0, times[-1] + 1e-9, 1 / fps)
        wanted = np.minimum(wanted, times[-1])
        turns = np.stack([Slerp(times, Rotation.from_quat(self.rotations[:, joint, [1, 2, 3, 0]]))(wanted).as_quat()
                          for joint in range(self.rotations.shape[1])], axis=1)  # fmt: skip
        rotations = quat_continuous(turns[..., [3, 0, 1, 2]])
        return replace(self, rotations=rotations, places=CubicSpline(times, self.places)(wanted), fps=fps)


@dataclass(frozen=True)
class Animation:
    """A skeleton of some rig that moves, in metres, Y up.

    names, parents: [J], -1 for the root. rest_places [J, 3], rest_rotations [J, 4]: the bones at rest, relative to
    their parents. places [T, J, 3], rotations [T, J, 4] wxyz: the bones in every frame, relative to their parents.
    joints: [J] the index of our joint (0..23), -1 for a bone that only the rig has. turns: [24 or 22, 4] how our rest
    pose turns into the rig's.
    """

    names: tuple[str, ...]
    parents: tuple[int, ...]
    rest_places: Array
    rest_rotations: Array
    places: Array
    rotations: Array
    fps: float
    joints: tuple[int, ...]
    turns: Array

    def world(self) -> tuple[Array, Array]:
        """Places [T, J, 3] and rotations [T, J, 4] of the bones in the world."""
        return _to_world(self.places, self.rotations, self.parents)

    def rest_world(self) -> tuple[Array, Array]:
        """Places [J, 3] and rotations [J, 4] of the bones at rest in the world."""
        places, rotations = _to_world(self.rest_places[None], self.rest_rotations[None], self.parents)
        return places[0], rotations[0]


def rigid_poses(joints: Array, fps: float) -> SkeletonPoses:
    """Poses of constant bones that are closest to joints [T, 22, 3], see `fit_rigid`."""
    offsets, rotations, root = fit_rigid(joints)
    return of_pose(offsets, rotations, root, fps)


def of_pose(offsets: Array, rotations: Array, root: Array, fps: float) -> SkeletonPoses:
    """Poses of a rigid skeleton: offsets [J, 3], local rotations [T, 22, 4], the pelvis [T, 3]; hands do not turn."""
    places = np.tile(offsets, (len(root), 1, 1))
    places[:, 0] = root
    turns = np.tile([1.0, 0.0, 0.0, 0.0], (len(root), len(offsets), 1))
    turns[:, :22] = rotations
    return SkeletonPoses(offsets, turns, places, fps)


def exact_poses(joints: Array, fps: float) -> SkeletonPoses:
    """Poses whose joints are exactly joints [T, 22, 3]: bones change their length as the recording's do."""
    joints = checked_joints(joints)
    offsets = rest_offsets(joints)
    rotations = joint_rotations(joints, offsets)
    places, world = joints.copy(), np.array(rotations)
    for joint in range(1, 22):
        parent = PARENTS[joint]
        world[:, joint] = quat_multiply(world[:, parent], rotations[:, joint])
        places[:, joint] = quat_rotate(quat_conjugate(world[:, parent]), joints[:, joint] - joints[:, parent])
    return SkeletonPoses(offsets, rotations, places, fps)


def for_rig(
    poses: SkeletonPoses, rig: ExportRig, *, with_axes: bool = False, below: float = 0.0, rigid_root: bool = False
) -> Animation:
    """The same motion on a rig's bones, which are at rest in the rig's own pose, standing on the floor.

    with_axes: bones have the rig's own axes, for formats that can say so. below: metres from the lowest joint to the
    sole. rigid_root: the pelvis keeps its height above a root bone, which then rises and falls with it; otherwise
    the root bone slides on the floor.
    """
    count = len(poses.offsets)
    parents = PARENTS_24[:count]
    places, rotations = poses.world()
    turns = rest_turns(rig, poses.offsets)
    offsets = poses.offsets.copy()
    offsets[1:] = quat_rotate(turns[list(parents[1:])], offsets[1:])
    axes = bone_axes(rig, offsets) if with_axes else np.tile([1.0, 0.0, 0.0, 0.0], (count, 1))
    rest = np.zeros((count, 3))
    for joint in range(1, count):
        rest[joint] = rest[parents[joint]] + offsets[joint]
    rest[:, 1] += below - rest[:, 1].min()
    rotations = quat_multiply(quat_multiply(rotations, quat_conjugate(turns)), axes)
    names, owners = rig.joints[:count], tuple(range(count))
    if rig.root is not None:
        floor = places[:, :1] * [1, 0, 1] if not rigid_root else places[:, :1] - rest[:1]
        names, owners = (rig.root, *names), (-1, *owners)
        parents = (-1, *(parent + 1 for parent in parents))
        still = np.tile(_Z_UP if with_axes else [1.0, 0.0, 0.0, 0.0], (len(places), 1, 1))
        places, rotations = np.concatenate([floor, places], axis=1), np.concatenate([still, rotations], axis=1)
        rest, axes = np.concatenate([np.zeros((1, 3)), rest]), np.concatenate([still[0], axes])
    local_rest, local_axes = _to_local(rest[None], axes[None], parents)
    local_places, local_rotations = _to_local(places, rotations, parents)
    return Animation(
        names, parents, local_rest[0], local_axes[0], local_places, quat_continuous(local_rotations), poses.fps, owners,
        turns,
    )  # fmt: skip


def _to_world(places: Array, rotations: Array, parents: tuple[int, ...]) -> tuple[Array, Array]:
    world, turned = np.array(places), np.array(rotations)
    for joint, parent in enumerate(parents):
        if parent >= 0:
            world[:, joint] = world[:, parent] + quat_rotate(turned[:, parent], places[:, joint])
            turned[:, joint] = quat_multiply(turned[:, parent], rotations[:, joint])
    return world, turned


def _to_local(places: Array, rotations: Array, parents: tuple[int, ...]) -> tuple[Array, Array]:
    local, turned = np.array(places), np.array(rotations)
    for joint, parent in enumerate(parents):
        if parent >= 0:
            back = quat_conjugate(rotations[:, parent])
            local[:, joint] = quat_rotate(back, places[:, joint] - places[:, parent])
            turned[:, joint] = quat_multiply(back, rotations[:, joint])
    return local, turned
