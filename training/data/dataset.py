"""The dataset folder that every training reads, and the one writer of it.

    features.npy    float32 [frames, width], clip after clip; unnormalised (HumanML3D's 263 numbers, or KIT-ML's 251)
    clips.jsonl     name, start, frames, split, captions, labels; one line a clip
    about.json      source, licence, counts, mean and std of the training split

Reading maps the file and writing streams, so memory does not grow with the dataset.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from scamo.motion import FEATURES, Statistics
from scamo.numpy_files import reason_of
from training.data.partial_folder import begin_anew, partial_of, put_in_place
from training.json_files import parse_rows, read_json, row_line, write_json

HEADER = 128  # bytes in front of the numbers of features.npy, so that the shape can be written when it is known
ROWS = 1 << 14  # frames that are worked on at a time, where a clip could be of any length


@dataclass(frozen=True)
class ClipInfo:
    """Where a clip's features are in the file, its captions and labels, and its split ("train", "test" or "val")."""

    name: str
    start: int
    frames: int
    split: str
    captions: tuple[str, ...]
    labels: dict[str, Any] = field(default_factory=dict)


class Dataset:
    """A dataset folder, opened for reading. ValueError where something is missing or cut off."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        try:
            about = read_json(self.folder / "about.json")
            self.features: np.ndarray = np.load(self.folder / "features.npy", mmap_mode="r")
            content = (self.folder / "clips.jsonl").read_bytes()
            rows = parse_rows(content)
        except Exception as error:  # numpy parses the header as Python, which fails in many ways
            raise ValueError(
                f"{folder} is no dataset ({reason_of(error)}); make one with a reader of training.data.readers."
            ) from error
        try:
            _check_features(self.features)
            self.about: dict[str, Any] = _checked_about(about, self.features.shape[1])
            self.clips = [_checked_clip(row, number, len(self.features)) for number, row in enumerate(rows, 1)]
        except ValueError as error:
            raise ValueError(f"{folder} is no dataset: {error}; prepare the dataset again.") from error

    def split(self, name: str) -> list[ClipInfo]:
        """The clips of "train", "test" or "val"."""
        return [clip for clip in self.clips if clip.split == name]

    def __getitem__(self, clip: ClipInfo) -> np.ndarray:
        """Unnormalised features of a clip, float32 [T, width] (a view of the file)."""
        return self.features[clip.start : clip.start + clip.frames]

    @property
    def digest(self) -> str:
        """A hash of the list of clips and of the features' statistics: the same wherever the folder is."""
        found = hashlib.sha256((self.folder / "clips.jsonl").read_bytes())
        found.update(json.dumps([self.about["mean"], self.about["std"], self.mirrors]).encode())
        return found.hexdigest()

    @property
    def unit(self) -> float:
        """Metres that a length of 1 in the features is; KIT-ML's features are in millimetres."""
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


def _check_features(features: Any) -> None:
    numbers = isinstance(features, np.ndarray) and features.dtype.kind == "f"
    if not numbers or features.ndim != 2 or features.shape[1] < 1:
        held = f"{features.dtype} {list(features.shape)}" if isinstance(features, np.ndarray) else "several arrays"
        raise ValueError(f"features.npy holds {held} instead of float32 [frames, {FEATURES}]")


def _checked_about(about: Any, width: int) -> dict[str, Any]:
    """What about.json holds. ValueError where mean, std or unit are not there or fit no features of this width."""
    if not isinstance(about, dict):
        raise ValueError("about.json holds no facts by name")
    for key in ("mean", "std"):
        values = about.get(key)
        listed = values if isinstance(values, list) else []
        plain = all(type(value) in (int, float) for value in listed)
        if not plain or len(listed) != width or not all(abs(value) < 1e30 for value in listed):
            raise ValueError(f"about.json holds no {key} of {width} finite numbers")
    if min(about["std"]) < 1e-30:  # float32 has 0 for less than 1e-45
        raise ValueError("about.json holds a std that is not above zero")
    unit = about.get("unit", 1.0)
    if type(unit) not in (int, float) or not 1e-6 < unit < 1e6:
        raise ValueError("about.json holds a unit that is no length in metres")
    return about


def _checked_clip(row: Any, number: int, frames: int) -> ClipInfo:
    """A row of clips.jsonl. ValueError names the line and what is wrong with it."""
    line = f"line {number} of clips.jsonl"
    needed = ("name", "start", "frames", "split", "captions")
    if not isinstance(row, dict) or not set(needed) <= set(row) <= {*needed, "labels"}:
        raise ValueError(f"{line} is no clip with {', '.join(needed)} and labels")
    if not isinstance(row["name"], str) or not isinstance(row["split"], str):
        raise ValueError(f"{line} has a name or split that is no text")
    captions, labels = row["captions"], row.get("labels", {})
    if not isinstance(captions, list) or not all(isinstance(one, str) for one in captions):
        raise ValueError(f"{line} has captions that are no texts")
    if not isinstance(labels, dict):
        raise ValueError(f"{line} has labels without names")
    start, count = row["start"], row["frames"]
    if type(start) is not int or type(count) is not int or start < 0 or count < 1:
        raise ValueError(f"{line} says {count!r} frames from {start!r} on, which are no places"[:200])
    if start + count > frames:
        raise ValueError(f"features.npy is shorter than {line} says, {frames} frames")
    return ClipInfo(**(row | {"captions": tuple(captions)}))


def npy_header(shape: tuple[int, int], kind: str = "<f4") -> bytes:
    """A header of NumPy's format, version 1.0, of exactly HEADER bytes. kind: the numbers' type as NumPy names it."""
    words = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}"
    body = words.ljust(HEADER - 11) + "\n"
    return b"\x93NUMPY\x01\x00" + (HEADER - 10).to_bytes(2, "little") + body.encode()


class Moments:
    """Sums over frames in float64, from which statistics follow. It takes features of any length in blocks."""

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
        """Mean and standard deviation. ValueError where nothing was counted."""
        if not self.count:
            raise ValueError("No clip fell to the training split; give more data or split files.")
        return Statistics.from_moments(self.count, self.total, self.squares)


@dataclass(frozen=True)
class Position:
    """How far a dataset is written: frames of features.npy, and bytes of clips.jsonl."""

    frames: int = 0
    bytes: int = 0


class DatasetWriter:
    """Write a dataset folder clip by clip; it appears under its name when the ``with`` block ends without error.

    ``training.data.growing_dataset`` drives it over several runs: ``resume``, ``append`` and ``rewind``, ``finish``.
    """

    def __init__(self, folder: Path, about: Mapping[str, Any] | None = None, width: int = FEATURES) -> None:
        """about: source, licence and whatever else is known; width: numbers of a frame."""
        self.folder, self.about, self.width = Path(folder), dict(about or {}), width
        self.counts: dict[str, int] = {}
        self.partial = partial_of(self.folder)
        self._features: BinaryIO
        self._lines: BinaryIO
        self._frames = 0

    def __enter__(self) -> DatasetWriter:
        begin_anew(self.folder)
        self.resume(Position())
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            if kind is None:
                self.finish()
        finally:
            self.close()
            shutil.rmtree(self.partial, ignore_errors=True)

    def resume(self, position: Position) -> None:
        """Open the partial folder and drop what is written behind ``position``."""
        files = []
        for name in ("features.npy", "clips.jsonl"):
            (self.partial / name).touch()
            files.append((self.partial / name).open("r+b"))
        self._features, self._lines = files
        self.rewind(position)

    @property
    def position(self) -> Position:
        """How far the dataset is written."""
        return Position(self._frames, self._lines.tell())

    def rewind(self, position: Position) -> None:
        """Drop what was appended since ``position``."""
        self._frames = position.frames
        lengths = (HEADER + 4 * self.width * position.frames, position.bytes)
        for file, length in zip((self._features, self._lines), lengths, strict=True):
            file.seek(length)
            file.truncate(length)

    def add(self, name: str, features: np.ndarray, split: str, captions: Sequence[str], **labels: Any) -> None:
        """Append a clip: unnormalised features [T, width], its split and captions, and any labels."""
        self.append(name, features, split, captions, labels)

    def append(
        self,
        name: str,
        features: np.ndarray,
        split: str,
        captions: Sequence[str],
        labels: Mapping[str, Any],
        times: int = 1,
    ) -> None:
        """Append a clip that is listed ``times`` times and stored once. Its features may be a view of a file."""
        assert features.ndim == 2 and features.shape[1] == self.width, features.shape
        for start in range(0, len(features), ROWS):
            self._features.write(np.ascontiguousarray(features[start : start + ROWS], dtype="<f4").tobytes())
        row = ClipInfo(name, self._frames, len(features), split, tuple(captions), dict(labels))
        self._lines.write(row_line(asdict(row)) * times)
        self._frames += len(features)

    def flush(self) -> None:
        """Hand what was appended to the system: a kill of this process does not lose it any more."""
        self._features.flush()
        self._lines.flush()

    def finish(self, statistics: Statistics | None = None, any_split: bool = False) -> None:
        """Write header, counts and (unless given) the training split's statistics, and give the folder its name.

        any_split: without training clips, take the statistics of all others; else that is a ValueError.
        """
        self._features.seek(0)
        self._features.write(npy_header((self._frames, self.width)))
        self.flush()
        features = np.load(self.partial / "features.npy", mmap_mode="r")
        moments = Moments(self.width)
        for clip in self._clips():
            self._count(clip)
            if clip.split == "train" and statistics is None:
                moments.add(features[clip.start : clip.start + clip.frames])
        if statistics is None and not moments.count and any_split:
            moments.add(features)
        statistics = statistics or moments.statistics()
        header = {"mean": statistics.mean.tolist(), "std": statistics.std.tolist()}
        write_json(self.partial / "about.json", {**self.about, **self.counts, **header})
        self.close()
        put_in_place(self.folder)

    def _clips(self) -> Iterator[ClipInfo]:
        with (self.partial / "clips.jsonl").open("rb") as lines:
            for line in lines:
                yield ClipInfo(**json.loads(line))

    def _count(self, clip: ClipInfo) -> None:
        for key, amount in ((f"{clip.split}_clips", 1), (f"{clip.split}_frames", clip.frames),
                            ("clips_without_sentences", int(not clip.captions))):  # fmt: skip
            self.counts[key] = self.counts.get(key, 0) + amount

    def close(self) -> None:
        """Close both files; the partial folder stays."""
        self._features.close()
        self._lines.close()
