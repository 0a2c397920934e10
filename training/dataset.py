"""The dataset folder that every step reads: all features in one memory-mapped file, and a line about each clip.

    features.npy    float32 [frames, 263], clip after clip
    clips.jsonl     name, start, frames, split, captions, labels; one line a clip
    about.json      source, licence, counts, mean and std of the training split

Reading maps the file, so memory does not grow with the dataset; writing streams.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from scamo.motion import FEATURES, Statistics


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
    def mirrors(self) -> bool:
        """Whether mirror images may be made of it: not of features that cannot be, nor where copies are in already."""
        return self.features.shape[1] == FEATURES and not self.about.get("mirrored", False)

    @property
    def statistics(self) -> Statistics:
        """Mean and standard deviation of the training split."""
        mean, std = (np.array(self.about[key], dtype=np.float32) for key in ("mean", "std"))
        return Statistics(mean, std)


class DatasetWriter:
    """Write a dataset folder clip by clip; it appears under its name when the ``with`` block ends without error."""

    def __init__(self, folder: Path, about: dict[str, Any], width: int = FEATURES) -> None:
        self.folder, self.about, self.width = Path(folder), about, width
        self.counts: dict[str, int] = {}
        self._count, self._sum, self._squares = 0, np.zeros(width), np.zeros(width)

    def __enter__(self) -> DatasetWriter:
        self._partial = self.folder.with_name(self.folder.name + ".partial")
        shutil.rmtree(self._partial, ignore_errors=True)
        self._partial.mkdir(parents=True)
        self._raw = (self._partial / "features.raw").open("wb")
        self._lines = (self._partial / "clips.jsonl").open("w")
        self._frames = 0
        return self

    def add(self, name: str, features: np.ndarray, split: str, captions: Sequence[str], **labels: Any) -> None:
        """Append a clip: unnormalised features [T, width], its split and captions, and any labels."""
        features = np.ascontiguousarray(features, dtype=np.float32)
        assert features.ndim == 2 and features.shape[1] == self.width, features.shape
        row = ClipInfo(name, self._frames, len(features), split, tuple(captions), labels)
        self._lines.write(json.dumps(asdict(row)) + "\n")
        self._raw.write(features.tobytes())
        self._frames += len(features)
        for key, amount in ((f"{split}_clips", 1), (f"{split}_frames", len(features))):
            self.counts[key] = self.counts.get(key, 0) + amount
        if split == "train":
            self._count += len(features)
            self._sum += features.sum(0, dtype=np.float64)
            self._squares += np.square(features, dtype=np.float64).sum(0)

    def __exit__(self, kind: object, *_: object) -> None:
        self._raw.close()
        self._lines.close()
        if kind is not None:
            shutil.rmtree(self._partial, ignore_errors=True)
            return
        statistics = Statistics.from_moments(self._count, self._sum, self._squares)
        header = {"mean": statistics.mean.tolist(), "std": statistics.std.tolist()}
        (self._partial / "about.json").write_text(json.dumps({**self.about, **self.counts, **header}))
        _add_npy_header(self._partial / "features.raw", self._partial / "features.npy", (self._frames, self.width))
        shutil.rmtree(self.folder, ignore_errors=True)
        os.replace(self._partial, self.folder)


def _add_npy_header(raw: Path, path: Path, shape: tuple[int, int]) -> None:
    with raw.open("rb") as source, path.open("wb") as target:
        np.lib.format.write_array_header_1_0(target, {"descr": "<f4", "fortran_order": False, "shape": shape})
        shutil.copyfileobj(source, target, 1 << 24)
    raw.unlink()
