"""Everybody on the motion's skeleton: weights of its 22 joints, joints of the bind pose, bones of its lengths.

The bind pose is MakeHuman's own, arms hanging out at an angle; directions of the trunk become those of the
representation's rest pose, so that a body stands upright where the motion does.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scamo.body.person import LENGTHS, OFFSETS
from scamo.skeleton import PARENTS, REST_DIRECTIONS, with_bone_lengths
from tools.people.source import Source

Array = NDArray[np.floating]

# Joints of both sides: hip, knee, ankle, toe, collar, shoulder, elbow, wrist.
SIDES = {"L": (1, 4, 7, 10, 13, 16, 18, 20), "R": (2, 5, 8, 11, 14, 17, 19, 21)}
_CURL = {1: 18.0, 2: 24.0, 3: 16.0}  # degrees by which the three joints of a finger are bent
_TRUNK = (3, 6, 9, 12)
# Which joints a bone of the trunk moves with; bones that are named nowhere move with their parents.
_OWNERS = {
    "root": {0: 1.0}, "spine05": {0: 1.0}, "spine04": {0: 0.75, 3: 0.25}, "spine03": {0: 0.2, 3: 0.8},
    "spine02": {3: 0.35, 6: 0.45, 9: 0.2}, "spine01": {9: 1.0}, "neck01": {12: 1.0}, "neck02": {12: 0.8, 15: 0.2},
    "neck03": {12: 0.3, 15: 0.7}, "head": {15: 1.0},
}  # fmt: skip
_LIMBS = ("upperleg0", "lowerleg0", "foot", "toe", "clavicle shoulder01", "upperarm0", "lowerarm0", "wrist")
_CHILD = {
    0: 3, 3: 6, 6: 9, 9: 12, 12: 15, 1: 4, 2: 5, 4: 7, 5: 8, 7: 10, 8: 11, 13: 16, 14: 17, 16: 18, 17: 19, 18: 20,
    19: 21,
}  # fmt: skip


class Fitted(NamedTuple):
    """People in the motion's metres: vertices [P, V, 3], weights [V, 22], joints [P, 22, 3]."""

    vertices: Array
    weights: Array
    joints: Array


def fit_skeleton(source: Source) -> Fitted:
    """Scale people until their legs are as long as the motion's, then stretch every bone along itself."""
    vertices, weights = relax_hands(source), _joint_weights(source)
    joints, unit = _bind_joints(source)
    vertices, joints = vertices / unit[:, None, None], joints / unit[:, None, None]
    out = np.empty_like(vertices)
    for person, place in enumerate(joints):
        target = with_bone_lengths(place, LENGTHS)
        matrices = np.stack([_stretch(joint, place, target) for joint in range(22)])
        homogeneous = np.insert(vertices[person], 3, 1.0, axis=1)
        out[person] = np.einsum("vj,jab,vb->va", weights, matrices, homogeneous)
        joints[person] = target
    shift = joints[:, :1] - joints[0, 0]  # every pelvis in one place
    return Fitted(out - shift, weights, joints - shift)


def relax_hands(source: Source) -> Array:
    """The vertices [P, V, 3] with fingers slightly bent, each about its own bones."""
    out = source.vertices.copy()
    for person, side in ((p, s) for p in range(len(out)) for s in SIDES):
        heads = {bone: places[person] for bone, places in source.heads.items()}
        across = heads[f"finger5-1.{side}"] - heads[f"finger2-1.{side}"]
        bent = np.zeros_like(out[person])
        rest = np.ones(len(bent))
        for finger in range(2, 6):
            matrix = np.eye(4)
            for bone in _CURL:
                name = f"finger{finger}-{bone}.{side}"
                here, before = heads[name], heads[f"finger{finger}-2.{side}"]
                along = _unit(heads[f"finger{finger}-{bone + 1}.{side}"] - here if bone < 3 else here - before)
                axis = _unit(across - (across @ along) * along) * (1 if side == "L" else -1)
                turn = np.eye(4)
                turn[:3, :3] = _rotation(axis, np.radians(_CURL[bone] * (1 + 0.12 * (finger - 3))))
                turn[:3, 3] = here - turn[:3, :3] @ here
                matrix = matrix @ turn
                share = source.weights[name]
                bent += share[:, None] * (source.vertices[person] @ matrix[:3, :3].T + matrix[:3, 3])
                rest -= share
        bent += rest[:, None] * source.vertices[person]
        touched = rest < 1
        out[person][touched] = bent[touched]
    return out


def _joint_weights(source: Source) -> Array:
    """Weights [V, 22] from those of MakeHuman's bones."""
    owners = dict(_OWNERS)
    for side, joints in SIDES.items():
        owners[f"pelvis.{side}"] = {0: 1.0}
        for bone in source.weights:
            for starts, joint in zip(_LIMBS, joints, strict=True):
                if bone.endswith(f".{side}") and bone.startswith(tuple(starts.split())):
                    owners[bone] = {joint: 1.0}
    weights = np.zeros((source.vertices.shape[1], 22))
    for bone, share in source.weights.items():
        owner = bone
        while owner not in owners:
            owner = source.parents[owner]
        for joint, part in owners[owner].items():
            weights[:, joint] += part * share
    return weights / np.maximum(weights.sum(axis=1, keepdims=True), 1e-12)


def _bind_joints(source: Source) -> tuple[Array, Array]:
    """Joints [P, 22, 3] in MakeHuman's metres, and how many of those each person has for one of the motion's [P]."""
    head = source.heads
    count = len(source.vertices)
    joints = np.zeros((count, 22, 3))
    for side, (hip, knee, ankle, *_) in SIDES.items():
        joints[:, knee], joints[:, ankle] = head[f"lowerleg01.{side}"], head[f"foot.{side}"]
        # MakeHuman's thigh begins higher up in the pelvis than the motion's.
        joints[:, hip] = joints[:, knee] + 0.905 * (head[f"upperleg01.{side}"] - joints[:, knee])
    legs = [np.linalg.norm(joints[:, child] - joints[:, PARENTS[child]], axis=-1) for child in (4, 5, 7, 8)]
    unit = np.mean(legs, axis=0) / LENGTHS[[4, 5, 7, 8]].mean()
    for side, (hip, _, ankle, toe, _, shoulder, elbow, wrist) in SIDES.items():
        joints[:, hip, 0] = OFFSETS[hip, 0] * unit
        ahead = _unit((head[f"toe2-1.{side}"] - joints[:, ankle]) * [1, 0, 1])
        fall = REST_DIRECTIONS[toe, 1]
        joints[:, toe] = joints[:, ankle] + (LENGTHS[toe] * unit)[:, None] * (
            ahead * np.sqrt(1 - fall**2) + [0, fall, 0]
        )
        joints[:, elbow] = head[f"lowerarm01.{side}"]
        for joint, bone, from_, metres in ((shoulder, "upperarm01", elbow, -0.016), (wrist, "wrist", elbow, 0.018)):
            place = head[f"{bone}.{side}"]
            joints[:, joint] = place + (metres * unit)[:, None] * _unit(place - joints[:, from_])
    joints[:, 0] = joints[:, [1, 2]].mean(axis=1) - OFFSETS[1] * [0, 1, 1] * unit[:, None]
    tall = (head["neck01"][:, 1] - joints[:, 0, 1]) / OFFSETS[list(_TRUNK), 1].sum()
    for joint in (*_TRUNK, 13, 14, 15):
        joints[:, joint] = joints[:, PARENTS[joint]] + tall[:, None] * OFFSETS[joint]
    return joints, unit


def _stretch(joint: int, old: Array, new: Array) -> Array:
    """The matrix [3, 4] that moves a joint to its new place and stretches the bone beyond it along itself."""
    scale = np.eye(3)
    if joint in _CHILD:
        axis, ratio = old[_CHILD[joint]] - old[joint], 0.0
        if joint in (0, *_TRUNK[:-1]):  # one ratio for the whole trunk, straight up
            axis, ratio = np.array([0.0, 1.0, 0.0]), np.ptp(new[[0, 12], 1]) / np.ptp(old[[0, 12], 1])
        ratio = ratio or float(np.linalg.norm(new[_CHILD[joint]] - new[joint]) / np.linalg.norm(axis))
        axis = _unit(axis)
        scale += (ratio - 1) * np.outer(axis, axis)
    return np.concatenate([scale, (new[joint] - scale @ old[joint])[:, None]], axis=1)


def _unit(vectors: Array) -> Array:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


def _rotation(axis: Array, angle: float) -> Array:
    x, y, z = axis
    skew = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * skew + (1 - np.cos(angle)) * skew @ skew
