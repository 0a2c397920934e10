"""BVH files in: the dialects of capture systems, converters and game tools, read alike.

Reading gives the tree of joints and, for every frame, the place of each joint. Channels may have any order and number.
Keywords may have any case, names may hold spaces, and the text may be UTF-8, UTF-16, GB2312 or Latin-1. Position
channels of a joint replace its OFFSET; all zeros leave it, and small numbers are added to it.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from scamo.io.frame_rates import rate_of_step
from scamo.numpy_files import reason_of
from scamo.options import listed

Array = NDArray[np.float64]

MAX_BYTES = 512 << 20
MAX_PLACES = 8_000_000  # frames x joints: 20 minutes of 28 joints at 240 Hz
MAX_JOINTS = 4_000
_BLOCK = 1 << 20  # bytes of text that become numbers at once
_CHUNK = 1 << 18  # frames x joints that are posed at once
_MOTION = re.compile(  # no two parts may match the same spaces: thousands of them would take hours
    rb"(?<![^\s}])MOTION\s+(?:NUMBER\s+OF\s+)?FRAMES\s*(?::\s*)?(\S+)\s+FRAME[ \t]*TIME\s*(?::\s*)?(\S+)", re.IGNORECASE
)
_COMMENT = re.compile(rb"^(?![ \t]*(?:ROOT|JOINT)\b)([^\r\n]*?)(?<!\S)(?:#|//)[^\r\n]*", re.IGNORECASE | re.MULTILINE)
_SPACE = re.compile(rb"\s")
_JOINT = re.compile(r"^\s*(ROOT|JOINT)\b[ \t]*([^{]*)(.*)$", re.IGNORECASE)
_TIP = re.compile(r"^\s*(END)(?:[\s_]*(?:SITE|EFFECTOR)?\b|_)[^{]*(.*)$", re.IGNORECASE)


@dataclass(frozen=True)
class Tree:
    """The HIERARCHY part. names, parents (-1 for a root), offsets [J, 3] and channels of the joints in file order.

    tips: the End Sites, (joint, offset) each.
    """

    names: list[str] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)
    offsets: list[list[float]] = field(default_factory=list)
    channels: list[list[str]] = field(default_factory=list)
    tips: list[tuple[int, list[float]]] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class BvhMotion:
    """The content of a BVH file, in the file's own units and axes.

    names, parents: the joints in file order (-1 for a root); offsets: [J, 3], rest position relative to the parent;
    positions: [T, J, 3] in the world; tips: [T, K, 3], the places of the End Sites, and tip_joints, the joints that
    carry them; frame_time: seconds a frame, as the file has it; fps: the frame rate behind that rounded number; notes:
    what was assumed.
    """

    names: tuple[str, ...]
    parents: tuple[int, ...]
    offsets: Array
    positions: Array
    tips: Array
    tip_joints: tuple[int, ...]
    frame_time: float
    fps: float
    notes: tuple[str, ...]
    channels: tuple[tuple[str, ...], ...]
    values: Array

    def joint(self, name: str) -> int:
        """Index of a joint by name; ValueError that lists the names the file has."""
        if name not in self.names:
            raise ValueError(f"The BVH file has no joint {name!r}; it has {listed(self.names)}.")
        return self.names.index(name)

    @cached_property
    def rotations(self) -> Array:
        """[T, J, 3, 3], joint frame -> world."""
        turns = np.empty((len(self.values), len(self.names), 3, 3))
        for joint, (parent, names, block) in enumerate(_blocks(self.values, self.parents, self.channels)):
            local = _local_rotation(block, names)
            turns[:, joint] = local if parent < 0 else turns[:, parent] @ local
        return turns


def read_bvh(path: str | Path) -> BvhMotion:
    """Parse a BVH file and pose its skeleton at every frame. ValueError names the file and what is wrong with it."""
    path = Path(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"it is larger than {MAX_BYTES >> 20} MiB; cut it first")
        return _parsed(_as_bytes(path.read_bytes()))
    except (OSError, ValueError, OverflowError, MemoryError) as error:
        raise ValueError(f'"{path}" cannot be read as a BVH file: {reason_of(error)}.') from error


def _as_bytes(raw: bytes) -> bytes:
    """UTF-16 as UTF-8, everything else as it is; a byte order mark is left out."""
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return raw.decode("utf-16").encode("utf-8")
    if raw[1:2] == b"\0" or raw[:1] == b"\0":
        return raw.decode("utf-16-le" if raw[1:2] == b"\0" else "utf-16-be").encode("utf-8")
    return raw.removeprefix(codecs.BOM_UTF8).rstrip(b"\0\x1a")  # old tools end a text with these


def _text(raw: bytes) -> str:
    for encoding in ("utf-8", "gb2312"):
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    return raw.decode("latin-1")


def _parsed(raw: bytes) -> BvhMotion:
    if b"#" in raw or b"//" in raw:
        raw = _COMMENT.sub(rb"\1", raw)
    header = _MOTION.search(raw)
    if not header or b"HIERARCHY" not in raw[: header.start()].upper():
        broken = header is None and re.search(rb"FRAMES\s*:", raw, re.IGNORECASE)
        raise ValueError("its MOTION part is broken" if broken else "it lacks HIERARCHY or MOTION")
    tree = _hierarchy(_text(raw[: header.start()]))
    width = sum(len(names) for names in tree.channels)
    if width == 0:
        raise ValueError("no joint has channels, so nothing moves")
    notes: list[str] = []
    values = _numbers(raw, header.end(), _count(header[1]), width, len(tree.names) + len(tree.tips), notes)
    frame_time = _seconds(header[2])
    if twice := sorted({name for name in tree.names if tree.names.count(name) > 1}):
        notes.append(f"several joints are called {listed(twice)}; the first of each counts")
    offsets = np.array(tree.offsets, dtype=np.float64)
    positions, tips = _places(values, tree, offsets, notes)
    if not (np.isfinite(positions).all() and np.isfinite(tips).all()):
        raise ValueError("it holds values that are too large")
    fps = rate_of_step(header[2].decode("ascii", "replace").replace(",", ".")) if frame_time else 0.0
    return BvhMotion(
        tuple(tree.names), tuple(tree.parents), offsets, positions, tips, tuple(joint for joint, _ in tree.tips),
        frame_time, fps, tuple(notes), tuple(map(tuple, tree.channels)), values,
    )  # fmt: skip


def _count(word: bytes) -> int:
    try:
        count = int(float(word))
    except (ValueError, OverflowError) as error:
        raise ValueError(f"its number of frames is {word[:20]!r}") from error
    if count < 0:
        raise ValueError(f"it announces {count} frames")
    return count


def _seconds(word: bytes) -> float:
    """The frame time; 0 for one that is no time, so that a caller can give the rate."""
    try:
        seconds = float(word.replace(b",", b"."))
    except ValueError:
        return 0.0
    return seconds if 0 < seconds <= 1 else 0.0


def _words(head: str) -> Iterator[str]:
    """Words of the HIERARCHY part, braces apart; the name after ROOT or JOINT is one word, END SITE is "END"."""
    for line in head.replace("\r", "\n").split("\n"):
        rest = line
        if found := _JOINT.match(line):
            yield found[1].upper()
            name = found[2].strip()
            if name:
                yield name
            rest = found[3]
        elif found := _TIP.match(line):
            yield "END"
            rest = found[2]
        yield from rest.replace("{", " { ").replace("}", " } ").split()


def _hierarchy(head: str) -> Tree:
    tree, words = Tree(), _words(head)
    stack: list[int] = []  # the open braces: a joint, or -1 for an End Site
    opened = -2  # what the next brace opens
    try:
        for word in words:
            key = word.upper()
            if key in ("ROOT", "JOINT"):
                name = next(words)
                opened = len(tree.names)
                parent = next((joint for joint in reversed(stack) if joint >= 0), -1)
                tree.names.append(name if name != "{" else f"joint {opened}")
                tree.parents.append(parent)
                tree.offsets.append([0.0, 0.0, 0.0])
                tree.channels.append([])
                if name == "{":
                    stack.append(opened)
                if opened >= MAX_JOINTS:
                    raise ValueError(f"it has more than {MAX_JOINTS} joints")
            elif key == "END":
                opened = -1
            elif key == "{":
                stack.append(opened)
            elif key == "}":
                stack.pop()
            elif key == "OFFSET":
                offset = [_number(next(words)) for _ in range(3)]
                if stack[-1] >= 0:
                    tree.offsets[stack[-1]] = offset
                elif len(tree.tips) >= MAX_JOINTS:
                    raise ValueError(f"it has more than {MAX_JOINTS} End Sites")
                elif stack[-1] == -1 and any(offset):
                    tree.tips.append((next(joint for joint in reversed(stack) if joint >= 0), offset))
            elif key == "CHANNELS":
                names = [next(words).lower() for _ in range(int(next(words)))]
                if stack[-1] >= 0:
                    tree.channels[stack[-1]] = names
    except (StopIteration, ValueError, IndexError) as error:
        reason = str(error)[:80] or "it ends too early"
        raise ValueError(f"its HIERARCHY part is broken ({reason})") from error
    if not tree.names:
        raise ValueError("its HIERARCHY part names no joint")
    for name in {name for names in tree.channels for name in names}:
        if name[0] not in "xyz" or name[1:] not in ("position", "rotation"):
            raise ValueError(f'its HIERARCHY part is broken (there is no channel "{name[:20]}")')
    return tree


def _number(word: str) -> float:
    value = float(word.replace(",", "."))
    if not abs(value) < 1e9:
        raise ValueError(f"an OFFSET of {word[:20]}")
    return value


def _numbers(raw: bytes, start: int, frames: int, width: int, joints: int, notes: list[str]) -> Array:
    """The values [T, width] of the MOTION part; memory follows the text, never what the text announces."""
    if frames * width > (len(raw) - start) // 2 + 1 + width:
        raise ValueError(f"it announces {frames} frames of {width} channels but is too short for them; it is cut off")
    comma = b" " if b"." in raw[start : start + _BLOCK] else b"."  # between numbers, or in them
    blocks = []
    while start < len(raw):
        gap = _SPACE.search(raw, start + _BLOCK)
        end = gap.start() if gap else len(raw)
        block = raw[start:end].replace(b";", b" ").replace(b",", comma)
        try:
            blocks.append(np.array(block.split(), dtype=np.float64))
        except ValueError as error:
            raise ValueError(f"its MOTION part is broken ({str(error)[:80]})") from error
        start = end
    values = np.concatenate(blocks) if blocks else np.zeros(0)
    rows, rest = divmod(values.size, width)
    if rest or abs(rows - frames) > 1:
        raise ValueError(
            f"it announces {frames} frames of {width} channels but holds {values.size} numbers; it may be cut off"
        )
    if rows == 0:
        raise ValueError("it has no frames")
    if rows * joints > MAX_PLACES:
        raise ValueError(f"it has {rows} frames of {joints} joints and ends; cut it first")
    if not np.isfinite(values).all():
        raise ValueError("it holds values that are not finite")
    if rows != frames:
        notes.append(f"it announces {frames} frames and holds {rows}")
    return values.reshape(rows, width)


def _blocks(
    values: Array, parents: tuple[int, ...] | list[int], channels: tuple[tuple[str, ...], ...] | list[list[str]]
) -> Iterator[tuple[int, list[str], Array]]:
    """Parent, channels and columns of every joint."""
    column = 0
    for parent, names in zip(parents, channels, strict=True):
        yield parent, list(names), values[:, column : column + len(names)]
        column += len(names)


def _local_rotation(block: Array, names: list[str]) -> Array:
    turns = [i for i, name in enumerate(names) if name.endswith("rotation")]
    if not turns:
        return np.broadcast_to(np.eye(3), (len(block), 3, 3))
    order = "".join(names[i][0] for i in turns).upper()  # capitals: each turn is about the axes turned so far
    return Rotation.from_euler(order, block[:, turns], degrees=True).as_matrix()


def _places(values: Array, tree: Tree, offsets: Array, notes: list[str]) -> tuple[Array, Array]:
    """Positions [T, J, 3] of the joints and [T, K, 3] of the End Sites, posed in pieces: rotations are large."""
    added = _positions_are_added(values, tree, offsets)
    if added:
        notes.append("its joints' positions are taken as changes of their offsets")
    positions = np.empty((len(values), len(offsets), 3))
    tips = np.empty((len(values), len(tree.tips), 3))
    moves = [
        parent < 0 or any(name.endswith("position") and block[:, i].any() for i, name in enumerate(names))
        for parent, names, block in _blocks(values, tree.parents, tree.channels)
    ]
    step = max(1, _CHUNK // len(offsets))
    for start in range(0, len(values), step):
        part = slice(start, start + step)
        _pose(values[part], tree, offsets, moves, added, positions[part], tips[part])
    return positions, tips


def _pose(
    values: Array, tree: Tree, offsets: Array, moves: list[bool], added: bool, positions: Array, tips: Array
) -> None:
    """Fill positions and tips of some frames. moves: whether a joint's position channels count in this file.

    Rotations are dropped as soon as possible.
    """
    last = {parent: joint for joint, parent in enumerate(tree.parents)}
    carried: dict[int, list[int]] = {}
    for k, (carrier, _) in enumerate(tree.tips):
        carried.setdefault(carrier, []).append(k)
    done_after: dict[int, list[int]] = {}
    for joint in range(len(tree.parents)):
        done_after.setdefault(max(joint, last.get(joint, -1)), []).append(joint)
    world: dict[int, Array] = {}
    for joint, (parent, names, block) in enumerate(_blocks(values, tree.parents, tree.channels)):
        local = np.tile(offsets[joint], (len(values), 1))
        if moves[joint]:
            for i in (i for i, name in enumerate(names) if name.endswith("position")):
                axis = "xyz".index(names[i][0])
                local[:, axis] = block[:, i] + (offsets[joint, axis] if added and parent >= 0 else 0.0)
        turns = any(name.endswith("rotation") for name in names)
        if parent >= 0:
            local = positions[:, parent] + (world[parent] @ local[..., None])[..., 0]
            turn = world[parent] @ _local_rotation(block, names) if turns else world[parent]
        else:
            turn = _local_rotation(block, names)
        positions[:, joint], world[joint] = local, turn
        for k in carried.get(joint, ()):
            tips[:, k] = local + turn @ np.array(tree.tips[k][1])
        for done in done_after.get(joint, ()):
            del world[done]


def _positions_are_added(values: Array, tree: Tree, offsets: Array) -> bool:
    """Whether the position channels of joints are small against the offsets, so that they cannot replace them."""
    sizes, changes = [], []
    for joint, (parent, names, block) in enumerate(_blocks(values, tree.parents, tree.channels)):
        moved = [i for i, name in enumerate(names) if name.endswith("position")]
        length = float(np.linalg.norm(offsets[joint]))
        if parent >= 0 and length and block[:, moved].any():
            axes = ["xyz".index(names[i][0]) for i in moved]
            sizes.append(float(np.linalg.norm(block[:, moved], axis=1).mean()) / length)
            changes.append(float(np.linalg.norm(block[:, moved] - offsets[joint, axes], axis=1).mean()) / length)
    return bool(sizes) and float(np.median(sizes)) < min(0.25, float(np.median(changes)))
