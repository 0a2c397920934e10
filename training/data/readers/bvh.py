"""Read a folder of BVH files of any rig with two arms and two legs.

    python -m training.data.readers.bvh --source 100STYLE --out data/100style

The rigs of `scamo.io.rigs` (CMU's conversions, 100STYLE, LAFAN1, Mixamo, SMPL, what scamo exports and many more) are
known by their joints' names or their shape; for another give ``--joints map.json``, our names to the rig's:
{"left_hip": "LThigh", ...}. The frame rate is the file's, the up axis follows from head, feet and floor; both can be
given. Units need not be known, because bodies get HumanML3D's legs.

Sentences come from NAME.txt beside each file or in ``--texts``, one a line, as HumanML3D writes them or plain.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from scamo.io.read import read_joints
from scamo.motion import canonical_joints, resample_joints
from training.data.growing_dataset import Piece, called, prepare, read_splits
from training.data.readers.clips import clips_of, sentences_of, tell_once


@dataclass(frozen=True)
class Args:
    """Read a folder of BVH files; run again to go on, or to add what is new."""

    source: Path
    """A folder; every .bvh below it is read."""
    out: Path
    """The dataset folder to write."""
    joints: Path | None = None
    """A JSON file that names the rig's joints, if it is none of the known ones."""
    fps: float | None = None
    """Frames a second of the files, if what they say is wrong."""
    up: Literal["auto", "x", "y", "z", "-x", "-y", "-z"] = "auto"
    texts: Path | None = None
    """A folder with NAME.txt for each file (default: beside it)."""
    splits: Path | None = None
    """A folder with train.txt, val.txt, test.txt that name files, without suffix (default: 80 : 15 : 5 by the name)."""
    longest: int = 200
    """Longer takes are cut in equal parts of at most this many frames (0: never); 200 is the paper's 50 tokens."""
    shortest: int = 20
    """Frames below which a clip is left out."""
    name: str = ""
    """What cards call the data (default: the folder's name)."""
    licence: str = "see the source"
    attribution: str = ""


def read_clips(path: Path, args: Args, given: dict[str, str] | None) -> Iterator[Piece]:
    """The clips of a file."""
    found = read_joints(path, joints=given, up=args.up if args.up != "auto" else None, fps=args.fps)
    tell_once(path, found.notes)
    joints = canonical_joints(resample_joints(found.joints, found.fps))
    name = called(path, args.source)
    yield from clips_of(name, joints, sentences_of(path, args.source, args.texts), args.longest, args.shortest)


def main(args: Args) -> None:
    """Read every BVH file below the folder."""
    files = sorted(path for path in args.source.rglob("*") if path.suffix.lower() == ".bvh")
    if not files:
        raise ValueError(f"No .bvh file below {args.source}.")
    given = None if args.joints is None else json.loads(args.joints.read_text(encoding="utf-8"))
    about = {"source": args.name or args.source.name, "licence": args.licence, "attribution": args.attribution}
    if args.texts and not args.texts.is_dir():
        raise ValueError(f"There is no folder {args.texts}; --texts is the folder of NAME.txt for each file.")
    splits = read_splits(args.splits) if args.splits else None
    options = {"up": args.up, "fps": args.fps, "longest": args.longest, "shortest": args.shortest, "joints": given}
    prepare(args.out, files, args.source, lambda path: read_clips(path, args, given), about, options=options,
            splits=splits, texts=lambda path: sentences_of(path, args.source, args.texts))  # fmt: skip


if __name__ == "__main__":
    from training.command_line import run_command

    run_command(main, Args)
