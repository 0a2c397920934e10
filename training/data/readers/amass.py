"""Read AMASS: SMPL-H or SMPL-X pose files, posed with the user's licensed body model through smplx.

    python -m training.data.readers.amass --source AMASS --model smplh/neutral/model.npz --out data/amass

A pose file is .npz with ``poses`` [T, 66 or more] (axis-angle, the root first), ``trans`` [T, 3] in metres, Z up, a
frame rate, and ``betas``. Only joints are computed, never a mesh. The body model is fetched by the user from its
authors' site and never copied anywhere. Sentences come from NAME.txt, as for BVH files.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scamo.body.smpl import SmplSkeleton
from scamo.io.read import read_joints
from scamo.io.smpl_npz import RATES
from scamo.motion import canonical_joints, resample_joints
from training.data.growing_dataset import Piece, called, prepare, read_splits
from training.data.readers.clips import clips_of, sentences_of, tell_once


def posed_joints(path: Path, skeleton: SmplSkeleton) -> tuple[np.ndarray, float]:
    """Joints [T, 22, 3] of a pose file, Y up, and its frame rate. ValueError says what is wrong with it."""
    found = read_joints(path, skeleton=skeleton)
    if found.rate_assumed:
        raise ValueError(f"it has no frame rate (none of {', '.join(RATES)}); it may be a shape, not a motion")
    tell_once(path, found.notes)
    return found.joints, found.fps


@dataclass(frozen=True)
class Args:
    """Read AMASS pose files; run again to go on, or to add what is new."""

    source: Path
    """A folder; every .npz below it is read, those that hold no motion are named and skipped."""
    model: Path
    """The body model's .npz file (SMPL-H, SMPL-X or SMPL)."""
    out: Path
    """The dataset folder to write."""
    texts: Path | None = None
    """A folder with NAME.txt for each file (default: beside it)."""
    splits: Path | None = None
    """A folder with train.txt, val.txt, test.txt that name files, without suffix (default: 80 : 15 : 5 by the name)."""
    longest: int = 200
    """Longer takes are cut in equal parts of at most this many frames (0: never)."""
    shortest: int = 20
    """Frames below which a clip is left out."""
    name: str = "AMASS"
    licence: str = "see the source"
    attribution: str = ""


def main(args: Args) -> None:
    """Read every pose file below the folder."""
    files = sorted(args.source.rglob("*.npz"))
    if not files:
        raise ValueError(f"No .npz file below {args.source}.")
    skeleton = SmplSkeleton(args.model)

    def read(path: Path) -> Iterator[Piece]:
        joints, fps = posed_joints(path, skeleton)
        placed = canonical_joints(resample_joints(joints, fps))
        texts = sentences_of(path, args.source, args.texts)
        yield from clips_of(called(path, args.source), placed, texts, args.longest, args.shortest)

    about = {"source": args.name, "licence": args.licence, "attribution": args.attribution}
    files = [path for path in files if path.resolve() != args.model.resolve()]
    options = {"longest": args.longest, "shortest": args.shortest}
    prepare(args.out, files, args.source, read, about, options=options,
            splits=read_splits(args.splits) if args.splits else None,
            texts=lambda path: sentences_of(path, args.source, args.texts))  # fmt: skip


if __name__ == "__main__":
    from training.command_line import run_command

    run_command(main, Args)
