"""Read a BVH file: its tree of joints and, for every frame, where each joint is and how it is turned.

Any rig, channel order and number of channels; position channels of a joint replace its OFFSET, as in the files that
capture systems write.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation


@dataclass(frozen=True)
class BvhMotion:
    """What a BVH file says, in the file's own units and axes.

    names, parents: the joints in file order (-1 for a root); offsets: [J, 3], rest position relative to the parent;
    positions: [T, J, 3] in the world; rotations: [T, J, 3, 3], joint frame -> world; fps: frames a second.
    """

    names: tuple[str, ...]
    parents: tuple[int, ...]
    offsets: NDArray[np.float64]
    positions: NDArray[np.float64]
    rotations: NDArray[np.float64]
    fps: float

    def joint(self, name: str) -> int:
        """Index of a joint by name; ValueError that lists the names the file has."""
        if name not in self.names:
            raise ValueError(f"The BVH file has no joint {name!r}; it has {', '.join(self.names)}.")
        return self.names.index(name)


def read_bvh(path: str | Path) -> BvhMotion:
    """Parse a BVH file and pose its skeleton at every frame. ValueError names the file and what is wrong with it."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8", errors="strict")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read as a BVH file: {error}.") from error
    head, found, body = text.partition("MOTION")
    if not found or "HIERARCHY" not in head:
        raise ValueError(f"{path} is not a BVH file: it lacks HIERARCHY or MOTION.")
    names, parents, offsets, channels = _parse_hierarchy(head, path)
    frames, seconds, values = _parse_motion(body, path)
    width = sum(len(c) for c in channels)
    if values.size != frames * width:
        raise ValueError(
            f"{path} announces {frames} frames of {width} channels but holds {values.size} numbers; it may be cut off."
        )
    if not np.isfinite(values).all():
        raise ValueError(f"{path} holds values that are not finite.")
    local_position, local_rotation = _local_transforms(values.reshape(frames, width), offsets, channels)
    positions = np.empty_like(local_position)
    rotations = np.empty_like(local_rotation)
    for joint, parent in enumerate(parents):
        if parent < 0:
            positions[:, joint], rotations[:, joint] = local_position[:, joint], local_rotation[:, joint]
        else:
            turned = np.einsum("tij,tj->ti", rotations[:, parent], local_position[:, joint])
            positions[:, joint] = positions[:, parent] + turned
            rotations[:, joint] = rotations[:, parent] @ local_rotation[:, joint]
    return BvhMotion(tuple(names), tuple(parents), offsets, positions, rotations, 1.0 / seconds)


def _parse_hierarchy(head: str, path: Path) -> tuple[list[str], list[int], NDArray[np.float64], list[list[str]]]:
    names: list[str] = []
    parents: list[int] = []
    offsets: list[list[float]] = []
    channels: list[list[str]] = []
    stack: list[int] = []
    words = iter(head.split())
    try:
        for word in words:
            if word in ("ROOT", "JOINT"):
                names.append(next(words))
                parents.append(stack[-1] if stack else -1)
                offsets.append([0.0, 0.0, 0.0])
                channels.append([])
            elif word == "End":
                next(words)  # "Site": a tip has an offset and no channels; nothing hangs on it, so it is read past
                for _ in range(7 - 1):
                    next(words)  # { OFFSET x y z }
            elif word == "{":
                stack.append(len(names) - 1)
            elif word == "}":
                stack.pop()
            elif word == "OFFSET":
                offsets[-1] = [float(next(words)) for _ in range(3)]
            elif word == "CHANNELS":
                channels[-1] = [next(words).lower() for _ in range(int(next(words)))]
    except (StopIteration, ValueError, IndexError) as error:
        raise ValueError(f"{path}: the HIERARCHY part is broken ({error or 'it ends too early'}).") from error
    if not names:
        raise ValueError(f"{path}: the HIERARCHY part names no joint.")
    return names, parents, np.array(offsets), channels


def _parse_motion(body: str, path: Path) -> tuple[int, float, NDArray[np.float64]]:
    try:
        _, frames, rest = body.split(":", 1)[0], body.split(":", 1)[1].split(None, 1)[0], body.split(":", 2)[2]
        seconds, values = rest.split(None, 1) if len(rest.split(None, 1)) == 2 else (rest, "")
        step = float(seconds)
        if not 0 < step < 10:
            raise ValueError(f"a frame time of {step} s")
        return int(frames), step, np.array(values.split(), dtype=np.float64)
    except (IndexError, ValueError) as error:
        raise ValueError(f"{path}: the MOTION part is broken ({error}).") from error


def _local_transforms(
    values: NDArray[np.float64], offsets: NDArray[np.float64], channels: list[list[str]]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    frames, joints = len(values), len(offsets)
    position = np.tile(offsets, (frames, 1, 1))
    rotation = np.tile(np.eye(3), (frames, joints, 1, 1))
    column = 0
    for joint, names in enumerate(channels):
        block = values[:, column : column + len(names)]
        column += len(names)
        for i, name in enumerate(names):
            if name.endswith("position"):
                position[:, joint, "xyz".index(name[0])] = block[:, i]
        turns = [i for i, name in enumerate(names) if name.endswith("rotation")]
        if turns:
            order = "".join(names[i][0] for i in turns).upper()  # capitals: each about the axes turned so far
            rotation[:, joint] = Rotation.from_euler(order, block[:, turns], degrees=True).as_matrix()
    return position, rotation
