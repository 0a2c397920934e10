"""The 22-joint skeleton of HumanML3D: names, tree, lengths, kinematics, and feet that do not slide.

Joints are SMPL's first 22, in SMPL's order. Positions are in metres, Y up, +Z forward, the body's left is +X.
Rotations are unit quaternions, see `scamo.rotation`. All functions work in float64.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solveh_banded

from scamo.rotation import (
    fit_rotation,
    quat_conjugate,
    quat_continuous,
    quat_multiply,
    quat_rotate,
    swing_towards,
    twist_towards,
    unit,
)

Array = NDArray[np.floating]

JOINTS = (
    "pelvis", "left_hip", "right_hip", "spine1", "left_knee", "right_knee", "spine2", "left_ankle", "right_ankle",
    "spine3", "left_foot", "right_foot", "neck", "left_collar", "right_collar", "head", "left_shoulder",
    "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist",
)  # fmt: skip
PARENTS = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19)

# Distance of every joint to its parent in metres: the reference body to which HumanML3D retargets all of its clips.
BONE_LENGTHS = np.array([
    0, .103074, .109883, .131568, .393623, .390188, .14319, .432433, .425643, .057365, .143382, .149419, .21936,
    .137487, .143383, .103039, .131614, .122984, .25684, .263092, .266012, .269876,
])  # fmt: skip

# The five chains of the representation's inverse kinematics, each from its root outwards.
CHAINS = ((0, 2, 5, 8, 11), (0, 1, 4, 7, 10), (0, 3, 6, 9, 12, 15), (9, 14, 17, 19, 21), (9, 13, 16, 18, 20))

# Direction of every bone, parent to joint, in the representation's rest pose: legs and arms along -Y.
RAW_DIRECTIONS = np.array([
    [0, 0, 0], [1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, -1, 0], [0, 1, 0], [0, -1, 0], [0, -1, 0],
    [0, 1, 0], [0, 0, 1], [0, 0, 1], [0, 1, 0], [1, 0, 0], [-1, 0, 0], [0, 0, 1], [0, -1, 0], [0, -1, 0],
    [0, -1, 0], [0, -1, 0], [0, -1, 0], [0, -1, 0],
], dtype=np.float64)  # fmt: skip

LEFT = (1, 4, 7, 10, 13, 16, 18, 20)
RIGHT = (2, 5, 8, 11, 14, 17, 19, 21)
# MIRROR[j] is the joint that takes j's place when left and right are exchanged.
MIRROR = np.array([dict(zip(LEFT + RIGHT, RIGHT + LEFT, strict=True)).get(j, j) for j in range(len(PARENTS))])


def checked_joints(joints: Array) -> Array:
    """Joints of one motion as float64 [T, 22, 3]; ValueError for another shape, T = 0, or values not finite."""
    joints = np.asarray(joints)
    if joints.ndim != 3 or joints.shape[1:] != (22, 3) or joints.dtype.kind not in "fiu":
        raise ValueError(
            f"A motion's joints are numbers [frames, 22, 3] in metres; these are {joints.dtype} {list(joints.shape)}. "
            "Features become joints with scamo.joints_from_features."
        )
    if len(joints) == 0:
        raise ValueError("This motion has no frames; ask for a longer one.")
    if not np.isfinite(joints).all():
        raise ValueError("This motion holds NaN or infinite positions; generate or load it again.")
    return joints.astype(np.float64)


def bone_lengths(joints: Array) -> Array:
    """Distance of every joint to its parent. joints [..., J, 3] -> [..., J], metres; the pelvis has 0."""
    count = joints.shape[-2]
    parents = np.array(PARENTS[:count])
    lengths = np.linalg.norm(joints[..., 1:, :] - joints[..., parents[1:], :], axis=-1)
    return np.concatenate([np.zeros_like(lengths[..., :1]), lengths], axis=-1)


def with_bone_lengths(joints: Array, lengths: Array) -> Array:
    """Give the bones other lengths; keep every bone's direction and the root's path.

    joints [..., J, 3] and lengths [J] in metres -> [..., J, 3]. A bone of length zero has no direction and stays zero.
    """
    out = np.array(joints, dtype=np.float64)
    for joint in range(1, joints.shape[-2]):
        bone = joints[..., joint, :] - joints[..., PARENTS[joint], :]
        size = np.linalg.norm(bone, axis=-1, keepdims=True)
        out[..., joint, :] = out[..., PARENTS[joint], :] + bone / np.maximum(size, 1e-9) * lengths[joint]
    return out


# Directions of the bones, parent to joint, in SMPL's rest pose (arms out, palms down, toes to +Z), both sides alike.
# The angles between the bones of pelvis and chest are those of the data that the bundled models learned from.
REST_DIRECTIONS = np.array([
    [0, 0, 0], [.57, -.82, -.075], [-.57, -.82, -.075], [0, .964, -.266], [.09, -.996, -.012], [-.09, -.996, -.012],
    [0, 1, .01], [-.034, -.993, -.109], [.034, -.993, -.109], [0, .9, .44], [.196, -.415, .888], [-.196, -.415, .888],
    [0, .978, -.208], [.55, .8125, -.193], [-.55, .8125, -.193], [0, .785, .62], [.944, .317, -.09],
    [-.944, .317, -.09], [.993, -.05, -.105], [-.993, -.05, -.105], [.999, .036, -.004], [-.999, .036, -.004],
])  # fmt: skip
REST_DIRECTIONS[1:] /= np.linalg.norm(REST_DIRECTIONS[1:], axis=-1, keepdims=True)
REST_OFFSETS = REST_DIRECTIONS * BONE_LENGTHS[:, None]  # [22, 3] metres, every joint relative to its parent

# Joints whose three bones fix their rotation fully, and the children that do it.
_RIGID = {0: (1, 2, 3), 9: (12, 13, 14)}
# Limbs that bend like hinges: joint, its child, grandchild, the axis about which it bends in the rest pose.
_HINGES = ((1, 4, 7, (1, 0, 0)), (2, 5, 8, (1, 0, 0)), (16, 18, 20, (0, -1, 0)), (17, 19, 21, (0, 1, 0)))
_TOE = {1: 10, 2: 11}
_TRUST_TOE = 0.3  # weight of the toe in the cue for a thigh


# KIT-ML's 21 joints: root, three of the back, head (0..4); arms (5..7 right, 8..10 left); legs (11..15 right, 16..20
# left: hip, knee, ankle, two of the foot). Sides are those of the authors' code, whose forward axis follows from them.
_FROM_KIT = {0: 0, 1: 16, 2: 11, 4: 17, 5: 12, 7: 18, 8: 13, 10: 20, 11: 15, 12: 3, 15: 4, 16: 8, 17: 5, 18: 9, 19: 6,
             20: 10, 21: 7}  # fmt: skip
_KIT_MILLIMETRES = 20.0  # a root higher than this is measured in millimetres, as KIT-ML's are


def joints_from_kit(joints: Array) -> Array:
    """KIT-ML's 21 joints on the 22-joint skeleton, for pictures and files. [T, 21, 3] -> float64 [T, 22, 3] in metres.

    Hips, legs, arms, neck and head stand where KIT-ML has them. The spine's joints divide KIT-ML's back as ours do, and
    the collars stand between spine, neck and shoulder. Millimetres, the data's own unit, become metres.
    """
    joints = np.asarray(joints, dtype=np.float64)
    if joints.ndim != 3 or joints.shape[1:] != (21, 3):
        raise ValueError(f"KIT-ML's joints are [frames, 21, 3]; these have shape {list(joints.shape)}.")
    if np.median(joints[:, 0, 1]) > _KIT_MILLIMETRES:
        joints = joints / 1000
    out = np.zeros((len(joints), 22, 3))
    out[:, list(_FROM_KIT)] = joints[:, list(_FROM_KIT.values())]
    back = joints[:, :4]
    pieces = np.linalg.norm(np.diff(back, axis=1), axis=-1)
    ends = np.concatenate([np.zeros((len(joints), 1)), np.cumsum(pieces, axis=1)], axis=1)  # [T, 4] from the root
    shares = np.cumsum(BONE_LENGTHS[[3, 6, 9, 12]]) / BONE_LENGTHS[[3, 6, 9, 12]].sum()
    for joint, share in zip((3, 6, 9), shares, strict=False):
        place = share * ends[:, -1:]
        along = np.clip((place - ends[:, :-1]) / np.maximum(pieces, 1e-9), 0, 1)  # how much of each piece lies below
        out[:, joint] = back[:, 0] + (along[..., None] * np.diff(back, axis=1)).sum(axis=1)
    for collar, shoulder in ((13, 16), (14, 17)):
        out[:, collar] = (out[:, 9] + out[:, 12] + 2 * out[:, shoulder]) / 4
    return out


def forward_kinematics(rotations: Array, root: Array, offsets: Array = REST_OFFSETS) -> Array:
    """Pose a skeleton. rotations [..., J, 4] local wxyz, root [..., 3] metres, offsets [J, 3] -> joints [..., J, 3].

    SMPL's convention: a joint's rotation turns everything beyond it, all rotations identity give the rest pose.
    """
    joints = np.empty((*rotations.shape[:-1], 3))
    joints[..., 0, :] = root
    world = np.array(rotations, dtype=np.float64)
    for joint in range(1, rotations.shape[-2]):
        parent = PARENTS[joint]
        joints[..., joint, :] = joints[..., parent, :] + quat_rotate(world[..., parent, :], offsets[joint])
        world[..., joint, :] = quat_multiply(world[..., parent, :], rotations[..., joint, :])
    return joints


def joint_rotations(joints: Array, offsets: Array = REST_OFFSETS) -> Array:
    """SMPL-style local rotations of a recording, by closed formulas. joints [T, 22, 3] -> [T, 22, 4] wxyz.

    `forward_kinematics` of the result gives every bone its direction back, so on a recording of the same skeleton
    (`offsets` [22, 3], metres) all joints meet. Positions leave open how a bone turns about itself. It follows the
    hinge beyond it where that is bent and the parent where it is straight, with a smooth change in between, so that
    nothing flips from one frame to the next. Ends (head, wrists, toes) do not turn. Signs are continuous in time.
    """
    joints = np.asarray(joints, dtype=np.float64)
    bones = joints[:, 1:] - joints[:, list(PARENTS[1:])]
    bones = np.concatenate([np.zeros_like(bones[:, :1]), bones], axis=1)
    world = np.zeros((len(joints), 22, 4))
    for joint, children in _RIGID.items():
        world[:, joint] = fit_rotation(offsets[list(children)], bones[:, children])
    x_axis = np.array([1.0, 0.0, 0.0])
    pelvis_x, chest_x = quat_rotate(world[:, 0], x_axis), quat_rotate(world[:, 9], x_axis)
    for joint, child, share in ((3, 6, 1 / 3), (6, 9, 2 / 3)):  # the spine shares the twist between hips and chest
        swung = swing_towards(world[:, PARENTS[joint]], offsets[child], bones[:, child])
        cue = (1 - share) * pelvis_x + share * chest_x
        world[:, joint] = twist_towards(swung, bones[:, child], x_axis, cue)
    for joint, child in ((12, 15), (13, 16), (14, 17)):
        world[:, joint] = swing_towards(world[:, 9], offsets[child], bones[:, child])
    for joint, child, end, axis in _HINGES:
        upper, lower = unit(bones[:, child]), unit(bones[:, end])
        bend = np.cross(upper, lower)
        cue = bend * np.linalg.norm(bend, axis=-1, keepdims=True)
        if joint in _TOE:  # straight legs turn with the foot
            cue = cue + _TRUST_TOE * np.cross(unit(bones[:, _TOE[joint]]), lower)
        swung = swing_towards(world[:, PARENTS[joint]], offsets[child], bones[:, child])
        rest_axis = np.array(axis, dtype=np.float64)
        world[:, joint] = twist_towards(swung, bones[:, child], rest_axis, cue)
        # The more the limb is folded, the more the next bone keeps the hinge's axis: there the swing is undecided.
        swung = swing_towards(world[:, joint], offsets[end], bones[:, end])
        hinge, straight = quat_rotate(world[:, joint], rest_axis), 1 + (upper * lower).sum(-1)
        world[:, child] = twist_towards(swung, bones[:, end], rest_axis, hinge, trust=straight, steady=False)
    for ankle, toe in ((7, 10), (8, 11)):
        world[:, ankle] = swing_towards(world[:, PARENTS[ankle]], offsets[toe], bones[:, toe])
    for joint in (10, 11, 15, 20, 21):
        world[:, joint] = world[:, PARENTS[joint]]
    local = world.copy()
    local[:, 1:] = quat_multiply(quat_conjugate(world[:, list(PARENTS[1:])]), world[:, 1:])
    return quat_continuous(local)


def rest_offsets(joints: Array) -> Array:
    """The rigid skeleton that fits a recording best: [T, 22, 3] -> offsets [22, 3] in metres.

    Lengths are the medians over time; the angles between the bones of pelvis and chest are their averages.
    """
    joints = np.asarray(joints, dtype=np.float64)
    offsets = REST_DIRECTIONS * np.median(bone_lengths(joints), axis=0)[:, None]
    for joint, children in _RIGID.items():
        bones = joints[:, children] - joints[:, joint, None]
        for _ in range(3):
            turn = fit_rotation(offsets[list(children)], bones)
            offsets[list(children)] = quat_rotate(quat_conjugate(turn)[:, None], bones).mean(axis=0)
    return offsets


def lock_feet(joints: Array, fps: float = 20.0) -> Array:
    """Stop planted feet from sliding; hips and everything above stay. joints [T, 22, 3] metres -> float64 [T, 22, 3].

    A foot counts as planted where it is slow and near its lowest height. Each foot is shifted by the path that cancels
    its steps where it is planted, bends as little as possible elsewhere, and fades within a few frames (least
    squares). Thigh and shin then reach for the shifted ankle at their own lengths.
    """
    joints = np.array(joints, dtype=np.float64)
    if len(joints) < 3:
        return joints
    for hip, knee, ankle, toe in ((1, 4, 7, 10), (2, 5, 8, 11)):
        steps = np.diff(joints[:, [ankle, toe]], axis=0) * [1, 0, 1]
        height = joints[:, [ankle, toe], 1] - np.percentile(joints[:, [ankle, toe], 1], 2, axis=0)
        speed = np.linalg.norm(steps, axis=-1) * fps
        low = np.clip(2 - np.maximum(height[1:], height[:-1]) / 0.03, 0, 1)
        planted = low * np.clip((0.55 - speed) / 0.25, 0, 1)
        shift = _cancelling_path(steps, 300 * planted**2)
        joints[:, toe] += _bend_leg(joints, (hip, knee, ankle, toe), joints[:, ankle] + shift)
    return joints


def _cancelling_path(steps: Array, weights: Array) -> Array:
    """The path x [T, 3] of least w |x' + step|^2 + |x''|^2 + |x|^2 / 64, by one banded solve.

    steps [T-1, N, 3] and their weights [T-1, N]. Because of the last term a foot is released within about three frames.
    """
    frames = len(steps) + 1
    pull = weights.sum(axis=1)
    band = np.zeros((3, frames))  # the upper diagonals of the normal equations, solveh_banded's layout
    band[2] = 1 / 64
    band[2, :-1] += pull
    band[2, 1:] += pull
    band[1, 1:] = -pull
    for k, a in enumerate((1.0, -2.0, 1.0)):  # second differences
        band[2, k : frames - 2 + k] += a * a
    band[1, 1:-1] += -2.0
    band[1, 2:] += -2.0
    band[0, 2:] += 1.0
    drive = (weights[..., None] * steps).sum(axis=1)
    target = np.zeros((frames, 3))
    target[:-1] += drive
    target[1:] -= drive
    return solveh_banded(band, target)


def _bend_leg(joints: Array, leg: tuple[int, int, int, int], reach: Array) -> Array:
    """Move an ankle to `reach` [T, 3], as far as the leg reaches, in place; returns the ankle's displacement [T, 3]."""
    hip, knee, ankle, toe = leg
    thigh = np.linalg.norm(joints[:, knee] - joints[:, hip], axis=-1, keepdims=True)
    shin = np.linalg.norm(joints[:, ankle] - joints[:, knee], axis=-1, keepdims=True)
    along = reach - joints[:, hip]
    distance = np.linalg.norm(along, axis=-1, keepdims=True)
    along = along / np.maximum(distance, 1e-9)
    # A leg gets straighter only up to 0.1 % short of straight: beyond that the plane of the knee is undefined.
    was = np.linalg.norm(joints[:, ankle] - joints[:, hip], axis=-1, keepdims=True)
    distance = np.clip(distance, np.abs(thigh - shin) + 1e-6, np.maximum(0.999 * (thigh + shin), was))
    # The knee keeps the direction of its bend. A straight one bends towards the toe, more the further the ankle goes.
    far = np.linalg.norm(reach - joints[:, ankle], axis=-1, keepdims=True)
    bend = joints[:, knee] - joints[:, hip] + 0.3 * far * unit(joints[:, toe] - joints[:, ankle])
    bend = unit(bend - (bend * along).sum(-1, keepdims=True) * along)
    along_leg = (thigh**2 + distance**2 - shin**2) / (2 * distance)
    joints[:, knee] = joints[:, hip] + along_leg * along + np.sqrt(np.maximum(thigh**2 - along_leg**2, 0)) * bend
    moved = joints[:, hip] + distance * along - joints[:, ankle]
    joints[:, ankle] += moved
    return moved
