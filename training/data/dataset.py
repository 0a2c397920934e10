"""The dataset folder that every step reads: all features in one memory-mapped file, and a line about each clip.

    features.npy    float32 [frames, 263], clip after clip
    clips.jsonl     name, start, frames, split, captions, labels; one line a clip
    about.json      source, licence, counts, mean and std of the training split

Reading maps the file, so memory does not grow with the dataset; writing streams.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from scamo.motion import FEATURES, Statistics

HEADER = 128  # bytes in front of the numbers of features.npy, so that the shape can be written when it is known
ROWS = 1 << 14  # frames that are worked on at a time, where a clip could be of any length


@dataclass(frozen=True)
class ClipInfo:
    """Where a clip's features are, what may be said about it, and to which split it belongs."""

    name: str
    start: int
    frames: int
    split: str
    captions: tuple[str, ...]
    labels: dict[str, Any] = field(default_factory=dict)


class Dataset:
    """A dataset folder, opened for reading. ValueError where something is missing or was cut off."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        try:
            self.about: dict[str, Any] = json.loads((self.folder / "about.json").read_text())
            self.features: np.ndarray = np.load(self.folder / "features.npy", mmap_mode="r")
            lines = (self.folder / "clips.jsonl").read_text().splitlines()
        except (OSError, ValueError) as error:
            raise ValueError(f"{folder} is no dataset ({error}); make one with training.prepare.") from error
        self.clips = [ClipInfo(**(row | {"captions": tuple(row["captions"])})) for row in map(json.loads, lines)]
        if self.clips and self.clips[-1].start + self.clips[-1].frames > len(self.features):
            raise ValueError(f"{folder}/features.npy is shorter than clips.jsonl says; prepare the dataset again.")

    def split(self, name: str) -> list[ClipInfo]:
        """The clips of "train", "test" or "val"."""
        return [clip for clip in self.clips if clip.split == name]

    def __getitem__(self, clip: ClipInfo) -> np.ndarray:
        """Unnormalised features of a clip, float32 [T, 263] (a view of the file)."""
        return self.features[clip.start : clip.start + clip.frames]

    @property
    def digest(self) -> str:
        """The same for the same clips, wherever they are: a hash of their list and of the features' statistics."""
        found = hashlib.sha256((self.folder / "clips.jsonl").read_bytes())
        found.update(json.dumps([self.about["mean"], self.about["std"], self.mirrors]).encode())
        return found.hexdigest()

    @property
    def unit(self) -> float:
        """Metres that a length of 1 in the features is; KIT-ML's are millimetres."""
        return float(self.about.get("unit", 1.0))

    @property
    def mirrors(self) -> bool:
        """Whether mirror images can be made of its features."""
        return self.features.shape[1] == FEATURES

    @property
    def statistics(self) -> Statistics:
        """Mean and standard deviation of the training split."""
        mean, std = (np.array(self.about[key], dtype=np.float32) for key in ("mean", "std"))
        return Statistics(mean, std)


def npy_header(shape: tuple[int, int], kind: str = "<f4") -> bytes:
    """A version 1.0 header of exactly HEADER bytes."""
    words = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}"
    body = words.ljust(HEADER - 11) + "\n"
    return b"\x93NUMPY\x01\x00" + (HEADER - 10).to_bytes(2, "little") + body.encode()


class Moments:
    """Sums over frames in float64, from which statistics follow; takes any number of features in blocks."""

    def __init__(self, width: int) -> None:
        self.count, self.total, self.squares = 0, np.zeros(width), np.zeros(width)

    def add(self, features: np.ndarray) -> None:
        """Count features [T, width], which may be a view of a file."""
        for start in range(0, len(features), ROWS):
            block = np.asarray(features[start : start + ROWS], dtype=np.float64)
            self.count += len(block)
            self.total += block.sum(0)
            self.squares += (block**2).sum(0)

    def statistics(self) -> Statistics:
        """Mean and standard deviation. ValueError where there was nothing to train on."""
        if not self.count:
            raise ValueError("No clip fell to the training split; give more data or split files.")
        return Statistics.from_moments(self.count, self.total, self.squares)


class DatasetWriter:
    """Write a dataset folder clip by clip; it appears under its name when the ``with`` block ends without error."""

    def __init__(self, folder: Path, about: dict[str, Any], width: int = FEATURES) -> None:
        self.folder, self.about, self.width = Path(folder), about, width
        self.counts: dict[str, int] = {}
        self._moments = Moments(width)

    def __enter__(self) -> DatasetWriter:
        self._partial = self.folder.with_name(self.folder.name + ".partial")
        shutil.rmtree(self._partial, ignore_errors=True)
        self._partial.mkdir(parents=True)
        self._features = (self._partial / "features.npy").open("wb")
        self._features.write(bytes(HEADER))
        self._lines = (self._partial / "clips.jsonl").open("w")
        self._frames = 0
        return self

    def add(self, name: str, features: np.ndarray, split: str, captions: Sequence[str], **labels: Any) -> None:
        """Append a clip: unnormalised features [T, width], its split and captions, and any labels."""
        features = np.ascontiguousarray(features, dtype="<f4")
        assert features.ndim == 2 and features.shape[1] == self.width, features.shape
        row = ClipInfo(name, self._frames, len(features), split, tuple(captions), labels)
        self._lines.write(json.dumps(asdict(row)) + "\n")
        self._features.write(features.tobytes())
        self._frames += len(features)
        for key, amount in ((f"{split}_clips", 1), (f"{split}_frames", len(features))):
            self.counts[key] = self.counts.get(key, 0) + amount
        if split == "train":
            self._moments.add(features)

    def __exit__(self, kind: object, *_: object) -> None:
        with self._features, self._lines:
            if kind is None:
                self._features.seek(0)
                self._features.write(npy_header((self._frames, self.width)))
        if kind is not None:
            shutil.rmtree(self._partial, ignore_errors=True)
            return
        statistics = self._moments.statistics()
        header = {"mean": statistics.mean.tolist(), "std": statistics.std.tolist()}
        (self._partial / "about.json").write_text(json.dumps({**self.about, **self.counts, **header}))
        shutil.rmtree(self.folder, ignore_errors=True)
        os.replace(self._partial, self.folder)
