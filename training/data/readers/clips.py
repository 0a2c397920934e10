"""From takes to clips: sentence files, and the parts of a recording that become clips.

A sentence file has one caption a line, plain or as HumanML3D writes them: ``sentence#tokens#from#to``, with from and to
in seconds; where they are not zero, the sentence is about that part of the take.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from scamo.motion import FPS, canonical_joints, features_from_joints
from training.data.growing_dataset import Piece, called, pieces_of


class Line(NamedTuple):
    """A caption and the part of the take it is about, in seconds; (0, 0) is all of it. tokens: ``word/POS`` or ""."""

    caption: str
    tokens: str
    start: float
    end: float


def read_captions(path: Path) -> list[Line]:
    """Captions of a text file, one a line, with or without the ``#`` fields. ValueError names a broken line.

    Only a line feed ends a line: the sentences of the field also hold U+2028. A byte order mark is skipped.
    """
    lines = []
    for number, raw in enumerate(path.read_text(encoding="utf-8-sig").split("\n"), 1):
        caption, *rest = raw.strip().split("#")
        if not caption.strip():
            continue
        try:
            start, end = (_seconds(field) for field in rest[1:3]) if len(rest) >= 3 else (0.0, 0.0)
        except ValueError as error:
            raise ValueError(f"line {number} of {path.name} has times that are no numbers: {rest[1:3]}") from error
        lines.append(Line(caption.strip(), rest[0].strip() if rest else "", start, end))
    return lines


def _seconds(field: str) -> float:
    value = float(field)
    if np.isinf(value) or value < 0:
        raise ValueError(field)
    return 0.0 if np.isnan(value) else value  # HumanML3D writes nan where it means the whole


def cut(name: str, features: np.ndarray, lines: list[Line], fps: float, shortest: int) -> Iterator[Piece]:
    """The whole clip with the sentences about all of it, and every part that sentences are about.

    features [T, ...] -> pieces of at least ``shortest`` frames; sentences about the same part stay together. A clip
    without any sentence about the whole is not kept whole, except where it has no sentence at all.
    """
    parts: dict[tuple[int, int], list[Line]] = {} if lines else {(0, len(features)): []}
    for line in lines:
        whole = line.start == 0 and line.end == 0
        start, end = (0, len(features)) if whole else (int(line.start * fps), min(int(line.end * fps), len(features)))
        parts.setdefault((start, end), []).append(line)
    for (start, end), about in parts.items():
        if end - start < shortest:
            continue
        suffix = "" if (start, end) == (0, len(features)) else f"_{start}-{end}"
        labels = {"tokens": [line.tokens for line in about]} if any(line.tokens for line in about) else {}
        yield Piece(name + suffix, features[start:end], tuple(line.caption for line in about), labels)


_told: set[str] = set()


def tell_once(path: Path, notes: Iterable[str]) -> None:
    """Print what the reader assumed of a file; what was printed of another file is not printed again."""
    new = [note for note in notes if note not in _told]
    _told.update(new)
    if new:
        tqdm.write(f"{path.name}: {'; '.join(new)} (said once)", file=sys.stderr)


def sentences_of(path: Path, source: Path, texts: Path | None) -> Path:
    """The file with a take's sentences: beside it, or in ``texts``, in a folder of the same name or in none."""
    if texts is None:
        return path.with_suffix(".txt")
    same = texts / f"{called(path, source)}.txt"
    return same if same.exists() else texts / f"{path.stem}.txt"


def clips_of(name: str, joints: np.ndarray, texts: Path, longest: int, shortest: int) -> Iterator[Piece]:
    """Canonical joints [T, 22, 3] of a take at 20 fps -> its clips, each brought to its own canonical place.

    With sentences about parts of the take (from, to in seconds) the parts are the clips; otherwise equal pieces are.
    """
    lines = read_captions(texts) if texts.exists() else []
    if any(line.end > 0 for line in lines):
        found = [(p.name, p.features, p.captions) for p in cut(name, joints, lines, FPS, shortest)]
    else:
        # T frames of joints are T - 1 of features, so neighbours share a frame.
        edges = pieces_of(len(joints) - 1, longest)
        captions = tuple(line.caption for line in lines)
        found = [(f"{name}_{i}" if len(edges) > 1 else name, joints[a : b + 1], captions)
                 for i, (a, b) in enumerate(edges) if b - a >= shortest]  # fmt: skip
    for clip, part, sentences in found:
        yield Piece(clip, features_from_joints(canonical_joints(part, lengths=None)), sentences, {"group": name})
