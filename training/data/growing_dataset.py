"""What the readers of a source share: a dataset folder that grows file by file, over several runs.

A run that was killed goes on after the last whole file, and a later run adds what is new. A broken file is named, left
out, and tried again the next time. Memory does not grow with the dataset.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from scamo.atomic import is_disk_full
from scamo.motion import FEATURES, Statistics
from training.data.dataset import DatasetWriter, Position
from training.json_files import read_json, read_whole_rows, row_line, write_json, write_rows

OPTIONS = "options.json"  # the options that a dataset's reader was called with
DONE = "done.jsonl"  # the source files that are in, and how far the dataset was written after each


@dataclass(frozen=True)
class Piece:
    """A clip that a reader found in a file: unnormalised features [T, width], captions, labels, and its split if the
    source has one."""

    name: str
    features: np.ndarray
    captions: tuple[str, ...] = ()
    labels: dict[str, Any] = field(default_factory=dict)
    split: str | None = None


Reader = Callable[[Path], Iterable[Piece]]
"""The clips of a file; ValueError or OSError where it is broken."""


def split_of(group: str) -> str:
    """ "train", "test" or "val", 80 : 15 : 5, by the hash of a name. It depends on nothing but the name."""
    place = int.from_bytes(hashlib.sha256(group.encode()).digest()[:8], "big") / 2**64
    return "train" if place < 0.8 else "test" if place < 0.95 else "val"


def read_splits(folder: Path) -> dict[str, str]:
    """Split by name, from the lists ``train.txt``, ``val.txt`` and ``test.txt``: one name a line, without its suffix.

    ValueError where there is no list, or a name is in two.
    """
    found: dict[str, str] = {}
    for split in ("train", "val", "test"):
        path = folder / f"{split}.txt"
        lines = path.read_text(encoding="utf-8-sig").split("\n") if path.exists() else []
        for name in map(str.strip, lines):
            if name and found.setdefault(name, split) != split:
                raise ValueError(f"{name} is both in {found[name]}.txt and in {split}.txt; a clip has one split.")
    if not found:
        raise ValueError(f"The split lists in {folder} name no clip.")
    return found


def pieces_of(frames: int, longest: int) -> list[tuple[int, int]]:
    """(start, end) of equal pieces of at most ``longest`` frames; 0 leaves a clip whole."""
    count = max(1, -(-frames // longest)) if longest else 1
    edges = np.linspace(0, frames, count + 1).astype(int)
    return list(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True))


class GrowingDataset:
    """A dataset folder that is written source by source as FOLDER.partial; ``finish`` gives it its name."""

    def __init__(self, folder: Path, width: int = FEATURES, options: Mapping[str, Any] | None = None) -> None:
        """options: the reader's, as JSON has them. ValueError where the dataset was begun with others."""
        self.folder, self.width, self.options = Path(folder), width, json.loads(json.dumps(options or {}))
        self._writer = DatasetWriter(self.folder, width=width)
        self._partial = self._writer.partial
        for begun in (self._partial / OPTIONS, self.folder / OPTIONS):
            if begun.exists() and (found := read_json(begun)) != self.options:
                other = sorted(k for k in {*found, *self.options} if found.get(k) != self.options.get(k))
                raise ValueError(
                    f"{self.folder} was prepared with another {', '.join(other)}; give another --out, or delete it."
                )

    @property
    def is_finished(self) -> bool:
        """Whether the dataset is whole, and no later run was cut off."""
        return self.folder.exists() and not self._partial.exists()

    def held(self) -> dict[str, str]:
        """The sources that are in already, each with the stamp that it was added with."""
        folder = self._partial if self._partial.exists() else self.folder
        return {row["source"]: row.get("stamp", "") for row in read_whole_rows(folder / DONE)}

    def __enter__(self) -> GrowingDataset:
        if not self._partial.exists() and self.folder.exists():
            if not (self.folder / DONE).exists():
                raise ValueError(f"{self.folder} was not made by this reader; give another --out.")
            os.replace(self.folder, self._partial)
        self._partial.mkdir(parents=True, exist_ok=True)
        write_json(self._partial / OPTIONS, self.options)
        rows = read_whole_rows(self._partial / DONE)
        self.done = {row["source"] for row in rows}
        last = rows[-1] if rows else {"frames": 0, "bytes": 0, "width": self.width}
        if last["width"] != self.width:
            raise ValueError(f"{self.folder} holds features of {last['width']} numbers, not {self.width}.")
        write_rows(self._partial / DONE, rows)  # without a line that was cut off
        self._writer.resume(Position(last["frames"], last["bytes"]))
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()

    def add(self, source: str, pieces: Iterable[Piece], stamp: str = "") -> int:
        """Append all clips of a source; either all of them are there afterwards or none. Returns their number.

        stamp: what changes when the source does. ValueError for features that are not finite numbers [T, width].
        """
        begin, count = self._writer.position, 0
        try:
            for piece in pieces:
                labels = {"kind": "real", **piece.labels}
                split = piece.split or split_of(source)
                self._writer.append(piece.name, _checked(piece, self.width), split, piece.captions, labels)
                count += 1
            if not count:
                raise ValueError("no clip in it is long enough")
        except BaseException:
            self._writer.rewind(begin)
            raise
        self._writer.flush()  # before the line that lists the source
        end = self._writer.position
        row = {"source": source, "frames": end.frames, "bytes": end.bytes, "width": self.width, "stamp": stamp}
        with (self._partial / DONE).open("ab") as file:
            file.write(row_line(row))
        self.done.add(source)
        return count

    def finish(self, about: dict[str, Any], statistics: Statistics | None = None) -> dict[str, Any]:
        """Write counts and (unless given) the training split's statistics, name the folder, and return the counts.

        A source of test clips alone has the statistics of those: it is of use in a mixture.
        """
        if not self._writer.position.frames:
            raise ValueError(f"Nothing could be read, so {self.folder} was not made.")
        self._writer.about = about
        self._writer.finish(statistics, any_split=True)
        return self._writer.counts


def prepare(
    out: Path,
    files: Sequence[Path],
    root: Path,
    read: Reader,
    about: dict[str, Any],
    width: int = FEATURES,
    statistics: Statistics | None = None,
    options: Mapping[str, Any] | None = None,
    splits: Mapping[str, str] | None = None,
    texts: Callable[[Path], Path] | None = None,
) -> dict[str, Any]:
    """Read every file that the dataset ``out`` does not hold yet; prints and returns counts, broken files among them.

    A source is named by its path below ``root``. ``splits`` has its split by that name without the suffix; else the
    split follows from the name. ``texts`` gives the file of a source's sentences. ValueError where the dataset was read
    with other ``options``, or from files that have changed since.
    """
    from tqdm import tqdm

    names = {path: path.relative_to(root).as_posix() for path in files}
    split = {path: None if splits is None else splits.get(called(path, root)) for path in files}
    stamps = {names[path]: _stamp(path, split[path], texts(path) if texts else None) for path in files}
    growing = GrowingDataset(out, width, options)
    held = growing.held()
    if changed := sorted(name for name, stamp in held.items() if stamps.get(name) != stamp):
        raise ValueError(
            f"{out} holds {len(changed)} files that were changed or removed since, or their sentences or splits were "
            f"({changed[0]}); delete it and prepare it anew."
        )
    if files and growing.is_finished and set(held).issuperset(names.values()):
        counts: dict[str, Any] = {"dataset": str(out), "new": 0, "kept": len(files), "skipped": 0}
        print(json.dumps(counts))
        return counts
    skipped: dict[str, str] = {}
    with growing:
        kept = len(growing.done & set(names.values()))
        todo = [path for path in files if names[path] not in growing.done]
        for path in tqdm(todo, desc=out.name, unit="file", initial=kept, total=len(files), mininterval=2):
            try:
                if splits is not None and split[path] is None:
                    raise ValueError("no split list names it")
                pieces = (replace(piece, split=split[path] or piece.split) for piece in read(path))
                growing.add(names[path], pieces, stamps[names[path]])
            except (ValueError, OSError) as error:
                if is_disk_full(error):
                    raise  # the disk is full; the file is not broken
                skipped[names[path]] = str(error)
                tqdm.write(f"skipped {names[path]}: {error}", file=sys.stderr)
        counts = {"dataset": str(out), "new": len(todo) - len(skipped), "kept": kept, "skipped": len(skipped)}
        counts |= growing.finish({**about, "skipped": skipped}, statistics)
    print(json.dumps(counts))
    return counts


def called(path: Path, root: Path) -> str:
    """The name of a file's clips: its path below the root, without the suffix."""
    return path.relative_to(root).with_suffix("").as_posix()


def _stamp(path: Path, split: str | None, texts: Path | None) -> str:
    size = path.stat().st_size if path.exists() else 0
    words = texts.read_bytes() if texts and texts.exists() else b""
    return f"{size} {split or ''} {hashlib.sha256(words).hexdigest()[:16] if words else ''}".strip()


def _checked(piece: Piece, width: int) -> np.ndarray:
    x = np.ascontiguousarray(piece.features, dtype="<f4")
    if x.ndim != 2 or x.shape[1] != width:
        raise ValueError(f"features of shape {list(x.shape)} where [frames, {width}] is wanted")
    if not np.isfinite(x).all():
        raise ValueError("features hold NaN or infinite values")
    return x
