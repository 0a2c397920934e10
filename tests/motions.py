"""Motions for the tests of pictures, bodies and files: the ones that break kinematics, a plain walk, a generation."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

import scamo
from scamo.skeleton import forward_kinematics


def quaternions(local: np.ndarray) -> np.ndarray:
    """Rotation vectors [T, 22, 3] -> [T, 22, 4] wxyz."""
    return Rotation.from_rotvec(local.reshape(-1, 3)).as_quat()[:, [3, 0, 1, 2]].reshape(*local.shape[:2], 4)


def pose(local: np.ndarray, root: np.ndarray) -> np.ndarray:
    """Rotation vectors [T, 22, 3] about the rest pose and the root's place [T, 3] -> joints [T, 22, 3]."""
    return forward_kinematics(quaternions(local), root)


def swing(frames: int) -> np.ndarray:
    """Arms and legs swinging as in a walk: local rotation vectors [T, 22, 3] about the T pose."""
    t = np.arange(frames) / 20 * 2 * np.pi
    local = np.zeros((frames, 22, 3))
    local[:, 1, 0], local[:, 2, 0] = -0.5 * np.sin(t), 0.5 * np.sin(t)
    local[:, 4, 0], local[:, 5, 0] = 0.5 + 0.4 * np.cos(t), 0.5 - 0.4 * np.cos(t)
    local[:, 16, 2], local[:, 17, 2] = -1.2, 1.2
    local[:, 18, 1], local[:, 19, 1] = -0.6 - 0.2 * np.sin(t), 0.6 + 0.2 * np.sin(t)
    local[:, 6, 1] = 0.2 * np.sin(t)
    return local


def _on_floor(joints: np.ndarray) -> np.ndarray:
    joints[..., 1] -= joints[..., 1].min()
    return joints


def walk(frames: int = 40) -> np.ndarray:
    """Forward at 1 m/s."""
    root = np.zeros((frames, 3))
    root[:, 2] = np.arange(frames) / 20
    return _on_floor(pose(swing(frames), root))


def turning(frames: int = 40) -> np.ndarray:
    """Walking on a circle, one and a half times round, so the heading passes 180 degrees and goes on."""
    local = swing(frames)
    heading = np.linspace(0, 3 * np.pi, frames)
    local[:, 0, 1] = heading
    root = np.stack([1 - np.cos(heading), np.zeros(frames), np.sin(heading)], axis=-1)
    return _on_floor(pose(local, root))


def backwards(frames: int = 40) -> np.ndarray:
    """Facing exactly -Z."""
    local = swing(frames)
    local[:, 0, 1] = np.pi
    return _on_floor(pose(local, np.zeros((frames, 3))))


def lying(frames: int = 40) -> np.ndarray:
    """On the back, then rolled onto the side."""
    local = swing(frames)
    roll = Rotation.from_rotvec(np.linspace(0, np.pi / 2, frames)[:, None] * [0, 0, 1])
    local[:, 0] = (roll * Rotation.from_rotvec([-np.pi / 2, 0, 0])).as_rotvec()
    return _on_floor(pose(local, np.zeros((frames, 3))))


def cartwheel(frames: int = 40) -> np.ndarray:
    """One full turn about the forward axis while moving sideways, arms and legs spread."""
    local = np.zeros((frames, 22, 3))
    local[:, 1, 2], local[:, 2, 2] = 0.5, -0.5
    local[:, 16, 2], local[:, 17, 2] = 0.9, -0.9
    local[:, 0, 2] = np.linspace(0, 2 * np.pi, frames)
    root = np.zeros((frames, 3))
    root[:, 0] = -np.linspace(0, 3, frames)
    return _on_floor(pose(local, root))


ALL = {f.__name__: f for f in (walk, turning, backwards, lying, cartwheel)}


def stretchy(frames: int = 40) -> np.ndarray:
    """A walk as networks give it: bones change their length from frame to frame."""
    return walk(frames) + np.random.default_rng(0).normal(scale=0.004, size=(frames, 22, 3))


def bundled() -> np.ndarray:
    """A generation of the smallest bundled model."""
    cards = [card for card in scamo.models() if card.source == "bundled"]
    if not cards:
        pytest.skip("no bundled models yet")
    card = min(cards, key=lambda one: one.disk_bytes)
    made = scamo.load(codebook=card.codebook, size=card.size).generate("a person walks forward", seed=0, seconds=3)
    return np.asarray(made.motion.joints, dtype=np.float64)


MOTIONS = {**ALL, "stretchy": stretchy}
