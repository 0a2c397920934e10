"""Motion: HumanML3D's 263 features a frame, and the way from joints to features and back.

    channels   what                                                          frame
    0          root yaw velocity, half an angle per frame (radians)          t -> t+1
    1, 2       root velocity x, z (metres per frame)                         facing of t+1
    3          root height (metres)
    4:67       positions of joints 1..21, x and z relative to the root       facing of t
    67:193     6D rotations of joints 1..21
    193:259    velocities of joints 0..21 (metres per frame)                 facing of t
    259:263    ground contact of left ankle, left foot, right ankle, right foot (0 or 1)

T frames of joints give T-1 frames of features. KIT-ML's 251 channels are the same for 21 joints, at 12.5 fps.
Arithmetic is float64, results are float32. Signs, frames and smoothing are as in the reference, for the checkpoints.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.ndimage import gaussian_filter1d

from scamo.rotation import quat_between, quat_conjugate, quat_multiply, quat_rotate, quat_to_matrix
from scamo.skeleton import (
    BONE_LENGTHS,
    CHAINS,
    MIRROR,
    RAW_DIRECTIONS,
    bone_lengths,
    joints_from_kit,
    with_bone_lengths,
)

Array = NDArray[np.floating]

FPS = 20.0
_IO = f"{__package__}.io"
FEATURES = 263
CONTACT_JOINTS = (7, 10, 8, 11)
CONTACT_SPEED = 0.002  # squared metres per frame, the reference's threshold
FORWARD = np.array([0.0, 0.0, 1.0])
UP = np.array([0.0, 1.0, 0.0])


def feature_count(joints: int) -> int:
    """Channels of the representation of a skeleton: 22 joints -> 263, 21 joints -> 251."""
    return 12 * joints - 1


def joint_count(features: int) -> int:
    """Joints behind so many channels: 263 -> 22, 251 -> 21. ValueError for any other width."""
    if features not in (263, 251):
        raise ValueError(
            f"Features have {features} numbers a frame; HumanML3D's have 263 and KIT-ML's 251. "
            "Give an array [frames, 263] (joints [frames, 22, 3] go through features_from_joints first)."
        )
    return (features + 1) // 12


def _checked_joints(joints: Array, frames: int = 2) -> Array:
    joints = np.asarray(joints, dtype=np.float64)
    if joints.ndim != 3 or joints.shape[1:] != (22, 3):
        raise ValueError(f"Joints have shape {joints.shape}; give [frames, 22, 3] in metres, Y up.")
    if len(joints) < frames:
        raise ValueError(f"A motion of {len(joints)} frames is too short; give at least {frames} frames of joints.")
    if not np.isfinite(joints).all():
        bad = np.flatnonzero(~np.isfinite(joints).all(axis=(1, 2)))
        raise ValueError(f"Joints are not finite in {len(bad)} frames (first: {bad[0]}); repair or cut those frames.")
    return joints


def first_facing(joints: Array) -> Array:
    """Unit forward direction on the floor of every frame, from hips and shoulders. [T, 22, 3] -> [T, 3]."""
    across = (joints[:, 1] - joints[:, 2]) + (joints[:, 16] - joints[:, 17])
    forward = np.cross(across, UP)
    return forward / np.maximum(np.linalg.norm(forward, axis=-1, keepdims=True), 1e-9)


def canonical_joints(joints: Array, lengths: Array | None = BONE_LENGTHS) -> Array:
    """Bring a motion to HumanML3D's canonical place: its skeleton, the floor at 0, frame 0 at the origin facing +Z.

    joints [T, 22, 3] in metres, Y up -> float64 [T, 22, 3]. The root's path is scaled by the ratio of the legs, so that
    steps fit the new legs. ``lengths=None`` keeps the body as it is.
    """
    joints = _checked_joints(joints, frames=1)
    if lengths is not None:
        own = bone_lengths(joints[:1])[0]
        scale = (lengths[5] + lengths[8]) / max(own[5] + own[8], 1e-9)
        root = joints[:, :1] * scale
        joints = with_bone_lengths(joints - joints[:, :1], lengths) + root
    joints = joints - [0.0, joints[..., 1].min(), 0.0]
    joints = joints - joints[0, 0] * [1.0, 0.0, 1.0]
    return quat_rotate(quat_between(first_facing(joints[:1]), FORWARD)[:, None], joints)


def _facing_rotation(joints: Array) -> Array:
    """Rotation world -> facing of every frame, wxyz [T, 4]; smoothed over time and forced to identity at frame 0.

    The reference exchanges left and right hip here and smooths before it normalises. Its checkpoints depend on both.
    """
    across = (joints[:, 1] - joints[:, 2]) + (joints[:, 17] - joints[:, 16])
    across /= np.maximum(np.linalg.norm(across, axis=-1, keepdims=True), 1e-9)
    forward = gaussian_filter1d(np.cross(UP, across), sigma=20, axis=0, mode="nearest")
    forward /= np.maximum(np.linalg.norm(forward, axis=-1, keepdims=True), 1e-9)
    rotation = quat_between(forward, FORWARD)
    rotation[0] = [1.0, 0.0, 0.0, 0.0]
    return rotation


def _rotations_6d(joints: Array, facing: Array) -> Array:
    """The representation's inverse kinematics: 6D local rotations of joints 1..21. [T, 22, 3] -> [T, 21, 6].

    Every chain, the arms too, starts from the facing rotation, so first-level joints carry the heading twice.
    """
    local = np.zeros((len(joints), len(MIRROR), 4))
    for chain in CHAINS:
        so_far = facing
        for parent, child in pairwise(chain):
            to_bone = quat_between(RAW_DIRECTIONS[child], joints[:, child] - joints[:, parent])
            local[:, child] = quat_multiply(quat_conjugate(so_far), to_bone)
            so_far = to_bone
    matrices = quat_to_matrix(local[:, 1:])
    return np.concatenate([matrices[..., 0], matrices[..., 1]], axis=-1)


def features_from_joints(joints: Array) -> NDArray[np.float32]:
    """HumanML3D features of joints at their canonical place (see ``canonical_joints``).

    joints [T, 22, 3] in metres, Y up, 20 fps -> float32 [T-1, 263]. ValueError where the shape is another, frames are
    fewer than 2, or a value is not finite.
    """
    joints = _checked_joints(joints)
    frames = len(joints) - 1
    root = joints[:, 0]
    facing = _facing_rotation(joints)
    turn = quat_multiply(facing[1:], quat_conjugate(facing[:-1]))
    turn *= np.where(turn[:, :1] < 0, -1.0, 1.0)  # q and -q are one rotation, but their arcsines differ in sign
    steps = joints[1:] - joints[:-1]
    root_step = quat_rotate(facing[1:], steps[:, 0])
    local = quat_rotate(facing[:, None], joints - root[:, None] * [1.0, 0.0, 1.0])
    contact = (steps[:, CONTACT_JOINTS] ** 2).sum(-1) < CONTACT_SPEED
    features = np.concatenate(
        [
            np.arcsin(np.clip(turn[:, 2:3], -1.0, 1.0)),
            root_step[:, [0, 2]],
            root[:-1, 1:2],
            local[:-1, 1:].reshape(frames, -1),
            _rotations_6d(joints, facing)[:-1].reshape(frames, -1),
            quat_rotate(facing[:-1, None], steps).reshape(frames, -1),
            contact,
        ],
        axis=-1,
    )
    assert features.shape == (frames, FEATURES)
    return features.astype(np.float32)


def root_from_features(features: Array) -> tuple[Array, Array]:
    """Heading and path of the root: (rotation world -> facing [T, 4] wxyz, position [T, 3] metres), float64."""
    features = np.asarray(features, dtype=np.float64)
    # Rounded as in the reference, so that a figure that spins many times ends where the authors' code puts it.
    angle = np.concatenate([[0.0], np.cumsum(features[:-1, 0])]).astype(np.float32).astype(np.float64)
    zero = np.zeros_like(angle)
    facing = np.stack([np.cos(angle), zero, np.sin(angle), zero], axis=-1)
    step = np.zeros((len(features), 3))
    step[1:, [0, 2]] = features[:-1, 1:3]
    position = np.cumsum(quat_rotate(quat_conjugate(facing), step), axis=0)
    position[:, 1] = features[:, 3]
    return facing, position


def joints_from_features(features: Array) -> NDArray[np.float32]:
    """Joints of unnormalised features: the root's path is integrated, positions are turned back into the world.

    features [T, 263] -> float32 [T, 22, 3]; KIT-ML's [T, 251] -> [T, 21, 3]. Metres, Y up. The 6D rotations, velocities
    and contacts are not used, as in the reference. ValueError for another width.
    """
    features = np.asarray(features, dtype=np.float64)
    if features.ndim != 2:
        raise ValueError(f"Features have shape {features.shape}; give one motion as [frames, 263].")
    joints = joint_count(features.shape[-1])
    facing, root = root_from_features(features)
    local = features[:, 4 : 4 + 3 * (joints - 1)].reshape(len(features), joints - 1, 3)
    world = quat_rotate(quat_conjugate(facing)[:, None], local) + root[:, None] * [1.0, 0.0, 1.0]
    return np.concatenate([root[:, None], world], axis=1).astype(np.float32)


def mirror_joints(joints: Array) -> Array:
    """Mirror a motion: x negated, left and right joints exchanged. [T, 22, 3] -> [T, 22, 3]."""
    return np.asarray(joints)[:, MIRROR] * np.array([-1.0, 1.0, 1.0], dtype=np.asarray(joints).dtype)


def mirror_features(features: Array) -> Array:
    """The features of the mirrored joints, computed on features. [T, 263] -> [T, 263]; ValueError for another width."""
    features = np.asarray(features)
    if features.shape[-1] != FEATURES:
        raise ValueError(f"Only features of 263 channels can be mirrored; these have {features.shape[-1]}.")
    limbs = MIRROR[1:] - 1  # joints 1..21 as rows
    flip = np.array([-1, 1, 1], dtype=features.dtype)
    flip_6d = np.array([1, -1, -1, -1, 1, 1], dtype=features.dtype)
    shape = features.shape[:-1]
    positions = features[..., 4:67].reshape(*shape, 21, 3)[..., limbs, :] * flip
    rotations = features[..., 67:193].reshape(*shape, 21, 6)[..., limbs, :] * flip_6d
    velocities = features[..., 193:259].reshape(*shape, 22, 3)[..., MIRROR, :] * flip
    return np.concatenate(
        [
            -features[..., 0:2],
            features[..., 2:4],
            positions.reshape(*shape, -1),
            rotations.reshape(*shape, -1),
            velocities.reshape(*shape, -1),
            features[..., [261, 262, 259, 260]],
        ],
        axis=-1,
    )


def resample_joints(joints: Array, fps: float, to_fps: float = FPS) -> Array:
    """Resample to another frame rate by a cubic spline through the positions; bones keep their first lengths.

    joints [T, J, 3] at ``fps`` -> float64 [T', J, 3] at ``to_fps``, from the first to (at most) the last instant.
    ValueError for a rate that is not positive. (The reference drops frames with a whole stride, wrong for 30 fps.)
    """
    joints = np.asarray(joints, dtype=np.float64)
    if not (np.isfinite(fps) and 0 < fps <= 10_000):
        raise ValueError(f"A frame rate of {fps} is not possible; give frames per second, such as 20, 30 or 120.")
    if fps == to_fps or len(joints) < 2:
        return joints
    seconds = np.arange(len(joints)) / fps
    wanted = np.arange(0, seconds[-1] + 1e-9, 1 / to_fps)
    return with_bone_lengths(CubicSpline(seconds, joints)(wanted), bone_lengths(joints[:1])[0])


@dataclass(frozen=True, eq=False)
class Motion:
    """A motion: unnormalised features, from which the joints follow, and their frame rate.

    features: float32 [T, 263], or KIT-ML's [T, 251]; the motion keeps a copy that cannot be written to. fps: frames a
    second. Two motions are equal if all their numbers are. ValueError for another width, no frames, values that are
    not finite, or a frame rate that is not positive.
    """

    features: NDArray[np.float32]
    fps: float = FPS

    def __post_init__(self) -> None:
        features = np.array(self.features, dtype=np.float32)
        if features.ndim != 2 or len(features) == 0:
            raise ValueError(f"A motion is [frames, 263] with at least one frame; this has shape {features.shape}.")
        joint_count(features.shape[1])
        if not np.isfinite(features).all():
            raise ValueError("The motion's features hold NaN or infinity; repair or cut those frames first.")
        if not (np.isfinite(self.fps) and self.fps > 0):
            raise ValueError(f"A motion cannot run at {self.fps} frames a second; give a number such as 20.")
        features.flags.writeable = False
        object.__setattr__(self, "features", features)

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies and pickles are made anew, so that they cannot be written to either."""
        return type(self), (self.features, self.fps)

    def __len__(self) -> int:
        return len(self.features)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Motion):
            return NotImplemented
        return self.fps == other.fps and np.array_equal(self.features, other.features)

    def __hash__(self) -> int:
        return hash((self.fps, *_hashable(self.features)))

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return len(self.features) / self.fps

    @cached_property
    def joints(self) -> NDArray[np.float32]:
        """Positions in the world, float32 [T, 22, 3], metres, Y up; read-only. KIT-ML: [T, 21, 3], in its own unit."""
        joints = joints_from_features(self.features)
        joints.flags.writeable = False
        return joints

    @cached_property
    def skeleton_joints(self) -> Array:
        """The 22 joints that pictures and files show, float [T, 22, 3], metres, Y up; read-only.

        These are `joints`. A KIT-ML motion has 21 others, which `joints_from_kit` brings to the 22.
        """
        if self.joints.shape[1] == len(MIRROR):
            return self.joints
        joints = joints_from_kit(self.joints)
        joints.flags.writeable = False
        return joints

    @classmethod
    def from_joints(cls, joints: Array, fps: float = FPS) -> Motion:
        """A motion from any 22-joint recording: resampled to 20 fps, brought to the canonical skeleton and place.

        joints [T, 22, 3] in metres, Y up, at `fps`. One frame is lost to the velocities. ValueError for another shape,
        fewer than two frames, or values that are not finite.
        """
        joints = _checked_joints(joints)
        return cls(features_from_joints(canonical_joints(resample_joints(joints, fps))))

    def mirrored(self) -> Motion:
        """The same motion with left and right exchanged; ValueError for KIT-ML's features."""
        return Motion(mirror_features(self.features), self.fps)

    # Imports go down only. Saving and loading are the public face's one call upward: io is looked up when they run.

    def save(self, path: str | os.PathLike[str], **options: Any) -> Path:
        """Write one file in the format that its suffix names, and return its path; see `scamo.io.write.save`.

        .npy holds the features. ValueError for an unknown suffix or option, before anything is written.
        """
        return import_module(f"{_IO}.write").save(self, path, **options)

    @classmethod
    def load(cls, path: str | os.PathLike[str], **options: Any) -> Motion:
        """Read a motion from a file; see `scamo.io.read.load_motion`. ValueError says what is wrong with it."""
        return import_module(f"{_IO}.read").load_motion(path, **options)


def _hashable(array: Array) -> tuple[tuple[int, ...], bytes]:
    """Equal for arrays of equal numbers: adding zero turns -0.0 into 0.0, which equals it."""
    return array.shape, (np.asarray(array) + 0.0).tobytes()


@dataclass(frozen=True, eq=False)
class Statistics:
    """Mean and standard deviation of the channels, float32 [263] each; networks see (x - mean) / std.

    Two statistics are equal if all their numbers are.
    """

    mean: NDArray[np.float32]
    std: NDArray[np.float32]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Statistics):
            return NotImplemented
        return np.array_equal(self.mean, other.mean) and np.array_equal(self.std, other.std)

    def __hash__(self) -> int:
        return hash((*_hashable(self.mean), *_hashable(self.std)))

    def normalise(self, features: Array) -> Array:
        """Unnormalised -> normalised features [..., 263]."""
        return (features - self.mean) / self.std

    def denormalise(self, features: Array) -> Array:
        """Normalised -> unnormalised features [..., 263]."""
        return features * self.std + self.mean

    @classmethod
    def from_features(cls, batches: Array | list[Array]) -> Statistics:
        """Measure a corpus: features [T, 263] or several of them; sums in float64, one standard deviation per group.

        HumanML3D averages the deviation within each of the representation's seven groups, so that no quiet channel is
        blown up: yaw, root velocity, height, positions, rotations, velocities, contacts.
        """
        if isinstance(batches, np.ndarray):
            batches = [batches]
        count, total, squares = 0, np.zeros(()), np.zeros(())
        for batch in batches:
            count += len(batch)
            total = total + np.sum(batch, axis=0, dtype=np.float64)
            squares = squares + np.square(batch, dtype=np.float64).sum(0)
        return cls.from_moments(count, total, squares)

    @classmethod
    def from_moments(cls, count: int, total: Array, squares: Array) -> Statistics:
        """The same from the number of frames and the float64 sums of features and of their squares, [263] each."""
        if count == 0:
            raise ValueError("No frames to take statistics of; give at least one motion.")
        mean = total / count
        std = np.sqrt(np.maximum(squares / count - mean**2, 0.0))
        joints = joint_count(len(mean))
        edges = np.cumsum([0, 1, 2, 1, 3 * (joints - 1), 6 * (joints - 1), 3 * joints, 4])
        for start, end in pairwise(edges):
            std[start:end] = std[start:end].mean()
        return cls(mean.astype(np.float32), np.maximum(std, 1e-6).astype(np.float32))
