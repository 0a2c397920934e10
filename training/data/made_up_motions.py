"""A source of made-up motions, to try the whole chain on: BVH files with sentences."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from scamo.io.bvh import write_bvh
from scamo.skeleton import forward_kinematics
from training.json_files import write_text


def write_source(folder: Path, clips: int = 24) -> None:
    """Write BVH files of a made-up figure that walks, turns or raises a hand, at 20 fps, with a sentence each."""
    draw = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(clips):
        action, turn, speed, lift = [("walks forward", 0.0, 1.0, 0.0), ("turns left while walking", 1.0, 0.8, 0.0),
                                   ("raises the left hand", 0.0, 0.0, 2.0)][number % 3]  # fmt: skip
        frames = int(draw.integers(50, 80))
        t = np.arange(frames) / 20
        phase = 2 * np.pi * t + draw.uniform(0, 6)
        local = np.zeros((frames, 22, 3))
        local[:, 0, 1] = turn * t
        for side, hip, knee, shoulder in ((1, 1, 4, 16), (-1, 2, 5, 17)):
            local[:, hip, 0] = -0.5 * speed * side * np.sin(phase)
            local[:, knee, 0] = speed * (0.5 + 0.4 * side * np.cos(phase))
            local[:, shoulder, 2] = -1.2 * side
        local[:, 16, 2] += lift * np.clip(t, 0, 1)
        steps = speed / 20 * np.stack([np.sin(local[:, 0, 1]), np.zeros(frames), np.cos(local[:, 0, 1])], axis=-1)
        angles = np.linalg.norm(local, axis=-1, keepdims=True)
        axes = np.divide(local, angles, out=np.zeros_like(local), where=angles > 0)
        quaternions = np.concatenate([np.cos(angles / 2), np.sin(angles / 2) * axes], axis=-1)
        joints = forward_kinematics(quaternions, np.cumsum(steps, axis=0))
        joints[..., 1] -= joints[..., 1].min()
        write_bvh(joints, folder / f"clip-{number:03d}.bvh")
        subject = ("a person", "a man", "someone")[number // 3 % 3]
        write_text(folder / f"clip-{number:03d}.txt", f"{subject} {action}\n")
