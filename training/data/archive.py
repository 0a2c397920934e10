"""A pack: one compact file of 22-joint motions with their labels and splits, to keep and to pass on.

A zip of ``about.json``, ``clips.jsonl`` and joints in shards of about 64,000 frames. Joints are stored in tenths of a
millimetre, relative to the root, as differences from frame to frame split into high and low bytes, which compresses to
about 70 bytes a frame. Memory does not grow with the dataset, neither in writing nor in reading.
"""

from __future__ import annotations

import contextlib
import json
import zipfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from scamo.atomic import replacing_file
from scamo.numpy_files import reason_of
from training.json_files import parse_rows, row_line

UNIT = 1e-4  # metres
SHARD_FRAMES = 64_000


@dataclass(frozen=True)
class Clip:
    """One motion: joints [T, 22, 3] in metres at 20 fps, canonical; its split; captions and labels where
    they are known."""

    name: str
    joints: np.ndarray
    split: str
    captions: tuple[str, ...] = ()
    labels: dict[str, str] = field(default_factory=dict)


def _to_bytes(joints: np.ndarray) -> bytes:
    units = np.rint(np.asarray(joints, dtype=np.float64) / UNIT).astype(np.int32)
    units[:, 1:] -= units[:, :1]
    steps = np.diff(units.reshape(len(units), -1), axis=0, prepend=0)
    folded = ((steps << 1) ^ (steps >> 31)).astype(np.uint32)  # small steps of either sign become small numbers
    planes = folded.view(np.uint8).reshape(*folded.shape, 4)
    return np.ascontiguousarray(planes.transpose(2, 1, 0)).tobytes()


def _from_bytes(data: bytes, joints: int) -> np.ndarray:
    planes = np.frombuffer(data, dtype=np.uint8).reshape(4, joints * 3, -1)
    folded = np.ascontiguousarray(planes.transpose(2, 1, 0)).view(np.uint32)[..., 0]
    steps = (folded >> 1).astype(np.int32) ^ -(folded & 1).astype(np.int32)
    units = np.cumsum(steps, axis=0, dtype=np.int32).reshape(-1, joints, 3)
    units[:, 1:] += units[:, :1]
    return (units * UNIT).astype(np.float32)


class PackWriter:
    """Write a pack clip by clip; the file appears under its name only when the ``with`` block ends without error."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.about: dict[str, object] = {}
        self.counts = {"clips": 0, "frames": 0}
        self._pending: list[np.ndarray] = []
        self._lines: list[bytes] = []
        self._shards = 0

    def __enter__(self) -> PackWriter:
        self._stack = contextlib.ExitStack()
        partial = self._stack.enter_context(replacing_file(self.path))
        self._zip = zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED, compresslevel=9)
        return self

    def add(self, clip: Clip) -> None:
        """Append one clip."""
        assert clip.joints.ndim == 3 and clip.joints.shape[1:] == (22, 3), clip.joints.shape
        line = asdict(clip) | {"frames": len(clip.joints), "shard": self._shards}
        del line["joints"]
        self._lines.append(row_line(line))
        self._pending.append(clip.joints)
        self.counts["clips"] += 1
        self.counts["frames"] += len(clip.joints)
        if sum(map(len, self._pending)) >= SHARD_FRAMES:
            self._flush()

    def _flush(self) -> None:
        if self._pending:
            self._zip.writestr(f"joints-{self._shards:05d}", _to_bytes(np.concatenate(self._pending)))
            self._shards += 1
            self._pending = []

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if kind is None:
            self._flush()
            self._zip.writestr("clips.jsonl", b"".join(self._lines))
            self._zip.writestr("about.json", json.dumps(self.about | self.counts, indent=1))
        self._zip.close()
        self._stack.__exit__(kind, error, trace)


def read_about(path: Path) -> dict[str, object]:
    """Source, licence and counts of a pack."""
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read("about.json"))


def read_pack(path: Path) -> Iterator[Clip]:
    """The clips of a pack in order, joints float32 [T, 22, 3] in metres. ValueError where it is not a pack."""
    try:
        with zipfile.ZipFile(path) as archive:
            shard, joints, start = -1, np.empty((0, 22, 3), np.float32), 0
            for clip in parse_rows(archive.read("clips.jsonl")):
                if clip["shard"] != shard:
                    shard, start = clip["shard"], 0
                    joints = _from_bytes(archive.read(f"joints-{shard:05d}"), 22)
                end = start + clip["frames"]
                yield Clip(clip["name"], joints[start:end], clip["split"], tuple(clip["captions"]), clip["labels"])
                start = end
    except Exception as error:  # a damaged archive fails in many ways
        raise ValueError(
            f"{path} is not a readable pack ({reason_of(error)}); make it again with training.data.readers.bandai."
        ) from error
