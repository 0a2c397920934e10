"""Read a HumanML3D-style folder: HumanML3D itself, KIT-ML, or anything laid out like them.

    python -m training.data.readers.humanml3d --source HumanML3D --out data/humanml3d

Needs ``new_joint_vecs/NAME.npy`` (263 numbers a frame, KIT-ML 251), ``texts/NAME.txt`` and the lists ``train.txt``,
``val.txt``, ``test.txt``. A caption line is ``sentence#tokens#from#to``; where from and to are not zero the sentence is
about that part of the clip, in seconds, which becomes a clip of its own. Mirror images (``MNAME.npy``) are left out of
the training split, because training mirrors clips when it reads them; the other splits keep them. Licences are those of
the source.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from scamo.configs import KIT_FPS
from scamo.motion import Statistics, joint_count
from scamo.numpy_files import load_npy
from training.data.growing_dataset import Piece, prepare, read_splits
from training.data.readers.clips import cut, read_captions

TALL = 20.0  # a root higher than this is measured in millimetres: KIT-ML's are 900 and something high


@dataclass(frozen=True)
class Args:
    """Read a HumanML3D-style folder; run again to go on, or to add what is new."""

    source: Path
    """The folder with new_joint_vecs, texts and the lists of each split."""
    out: Path
    """The dataset folder to write."""
    shortest: int = 40
    """Frames below which a clip is left out: 40 HumanML3D's protocol, 24 KIT-ML's."""
    statistics: Literal["own", "folder"] = "own"
    """own: mean and deviation of the training split, summed in float64. folder: its Mean.npy and Std.npy."""
    name: str = ""
    """What cards call the data (default: the folder's name)."""
    licence: str = "see the source"
    attribution: str = ""


def main(args: Args) -> None:
    """Read every clip that the split lists name."""
    vectors, texts = args.source / "new_joint_vecs", args.source / "texts"
    for needed in (vectors, texts, args.source / "train.txt"):
        if not needed.exists():
            raise ValueError(f"{needed} is missing; give the folder that holds new_joint_vecs, texts and train.txt.")
    splits = read_splits(args.source)
    width = _width(vectors)
    kit = joint_count(width) == 21
    copies = {name for name in splits if take_of(name, splits) != name}
    if not kit:  # features of 21 joints are not mirrored here, so KIT-ML's copies stay
        splits = {name: split for name, split in splits.items() if split != "train" or name not in copies}

    def read(path: Path) -> Iterator[Piece]:
        features = load_npy(path)
        if features.ndim != 2:
            raise ValueError(f"features of shape {list(features.shape)} where [frames, {width}] is wanted")
        words = texts / f"{path.stem}.txt"
        if not words.exists():
            raise ValueError(f"its sentences, {words.name}, are missing")
        captions = read_captions(words)
        for piece in cut(path.stem, features, captions, KIT_FPS if kit else 20.0, args.shortest):
            yield replace(piece, labels={**piece.labels, "group": take_of(path.stem, splits)})

    files = [vectors / f"{name}.npy" for name in sorted(splits)]
    about = {
        "source": args.name or args.source.name,
        "licence": args.licence,
        "attribution": args.attribution,
        "fps": KIT_FPS if kit else 20.0,
        "unit": _unit(vectors),
    }
    statistics = _folder_statistics(args.source, width) if args.statistics == "folder" else None
    options = {"shortest": args.shortest, "statistics": args.statistics}
    prepare(args.out, files, vectors, read, about, width, statistics, options, splits,
            lambda path: texts / f"{path.stem}.txt")  # fmt: skip


def take_of(name: str, names: Collection[str]) -> str:
    """The recording that a clip comes from: that of a mirror image (``M000012``) is the original's."""
    return name[1:] if name.startswith("M") and name[1:] in names else name


def _width(vectors: Path) -> int:
    for path in sorted(vectors.glob("*.npy")):
        try:
            shape = load_npy(path).shape
            joint_count(shape[-1])
            return int(shape[-1])
        except (ValueError, TypeError, IndexError):
            continue
    raise ValueError(f"No file in {vectors} holds features of 263 (HumanML3D) or 251 (KIT-ML) numbers a frame.")


def _unit(vectors: Path) -> float:
    """Metres that a length of 1 is, by how high the root stands in the first whole clips: 1, or 0.001."""
    heights = []
    for path in sorted(vectors.glob("*.npy"))[:20]:
        try:
            heights.append(float(np.nanmedian(load_npy(path)[:, 3])))
        except (ValueError, TypeError, IndexError):
            continue
    return 0.001 if heights and np.median(heights) > TALL else 1.0


def _folder_statistics(source: Path, width: int) -> Statistics:
    try:
        mean, std = (load_npy(source / name).astype(np.float32) for name in ("Mean.npy", "Std.npy"))
    except (OSError, ValueError) as error:
        raise ValueError(f"Mean.npy and Std.npy cannot be read ({error}); use --statistics own.") from error
    if mean.shape != (width,) or std.shape != (width,) or not (std > 0).all():
        raise ValueError(f"Mean.npy and Std.npy in {source} do not fit features of {width} numbers.")
    return Statistics(mean, std)


if __name__ == "__main__":
    from training.command_line import run_command

    run_command(main, Args)
