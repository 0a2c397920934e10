"""Read Acclaim skeletons and motions (ASF and AMC files), as CMU's database publishes them.

A bone of the skeleton becomes a joint at its beginning: ``lfemur`` is where the thigh starts. Units stay the file's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from training.data.readers.posed_rig import PosedRig


@dataclass(frozen=True)
class _Bone:
    """direction and length: where it ends; axis: its frame, [3, 3]; dof: names of its angles in file order."""

    direction: np.ndarray
    length: float
    axis: np.ndarray
    dof: tuple[str, ...]


def read_asf(path: Path) -> tuple[dict[str, _Bone], dict[str, str]]:
    """Bones by name (the root among them), and the parent of each. ValueError names the file and what is wrong."""
    bones: dict[str, _Bone] = {}
    parents: dict[str, str] = {}
    try:
        sections = _sections(path.read_text(encoding="utf-8", errors="replace"))
        root = {line.split()[0]: line.split()[1:] for line in sections["root"]}
        bones["root"] = _Bone(np.zeros(3), 0.0, _turn(root["orientation"], root["axis"][0]), tuple(root["order"]))
        for block in _blocks(sections["bonedata"]):
            words = {line.split()[0]: line.split()[1:] for line in block if not line.startswith("(")}
            bones[words["name"][0]] = _Bone(
                np.array(words["direction"], dtype=np.float64), float(words["length"][0]),
                _turn(words["axis"][:3], words["axis"][3]), tuple(words.get("dof", ())),
            )  # fmt: skip
        for line in next(_blocks(sections["hierarchy"])):
            parent, *children = line.split()
            parents |= dict.fromkeys(children, parent)
    except (OSError, KeyError, IndexError, ValueError, StopIteration) as error:
        raise ValueError(f"{path} cannot be read as an ASF skeleton: {error!r}.") from error
    return bones, parents


def read_amc(path: Path, skeleton: Path, fps: float = 120.0) -> PosedRig:
    """Pose the skeleton of ``skeleton`` (.asf) at every frame of ``path`` (.amc), which does not hold its frame rate.

    ValueError names the file and what is wrong with it.
    """
    bones, parents = read_asf(skeleton)
    frames = _frames(path)
    names = ["root"]
    for name in names:  # grows: parents come before their children
        names += [child for child, parent in parents.items() if parent == name]
    positions, rotations = np.zeros((len(frames), len(names), 3)), np.zeros((len(frames), len(names), 3, 3))
    for place, name in enumerate(names):
        bone = bones[name]
        values = _values(frames, name, bone.dof, path)
        own = bone.axis @ _rotations(values, bone.dof) @ bone.axis.T
        if name == "root":
            positions[:, 0] = np.stack([values[:, bone.dof.index(axis)] for axis in ("TX", "TY", "TZ")], axis=-1)
            rotations[:, 0] = own
            continue
        parent = names.index(parents[name])
        before = bones[parents[name]]
        positions[:, place] = positions[:, parent] + rotations[:, parent] @ (before.direction * before.length)
        rotations[:, place] = rotations[:, parent] @ own
    tree = tuple(names.index(parents[name]) if name in parents else -1 for name in names)
    return PosedRig(tuple(names), tree, positions, fps)


def _sections(text: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in map(str.strip, text.splitlines()):
        if line.startswith(":"):
            lines = found.setdefault(line[1:].split()[0], [])
        elif line and not line.startswith("#"):
            lines.append(line)
    return found


def _blocks(lines: list[str]) -> Iterator[list[str]]:
    block: list[str] = []
    for line in lines:
        if line == "begin":
            block = []
        elif line == "end":
            yield block
        else:
            block.append(line)


def _turn(degrees: list[str], order: str) -> np.ndarray:
    """Fixed-axis angles in the order they are applied -> [3, 3]."""
    return Rotation.from_euler(order.lower(), [float(value) for value in degrees], degrees=True).as_matrix()


def _rotations(values: np.ndarray, dof: tuple[str, ...]) -> np.ndarray:
    """Angles in degrees [T, D] -> [T, 3, 3]; translations and lengths among them do not turn."""
    columns = [i for i, name in enumerate(dof) if name.lower() in ("rx", "ry", "rz")]
    if not columns:
        return np.tile(np.eye(3), (len(values), 1, 1))
    order = "".join(dof[i][1].lower() for i in columns)
    return Rotation.from_euler(order, values[:, columns], degrees=True).as_matrix()


def _frames(path: Path) -> list[dict[str, list[float]]]:
    frames: list[dict[str, list[float]]] = []
    try:
        for line in path.read_text(encoding="utf-8").splitlines():
            words = line.split()
            if not words or words[0][0] in "#:":
                continue
            if len(words) == 1 and words[0].isdigit():
                frames.append({})
            else:
                frames[-1][words[0]] = [float(word) for word in words[1:]]
    except (OSError, UnicodeDecodeError, IndexError, ValueError) as error:
        raise ValueError(f"{path} cannot be read as an AMC motion: {error}.") from error
    if not frames:
        raise ValueError(f"{path} holds no frames.")
    return frames


def _values(frames: list[dict[str, list[float]]], name: str, dof: tuple[str, ...], path: Path) -> np.ndarray:
    if not dof:
        return np.zeros((len(frames), 0))
    rows = [frame.get(name, []) for frame in frames]
    if any(len(row) != len(dof) for row in rows):
        raise ValueError(f"{path}: {name} does not have {len(dof)} numbers in every frame; the file may be cut off.")
    return np.array(rows)
