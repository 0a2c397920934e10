"""Mix datasets into one, as MotionUnion mixes fifteen: weights, and a split of 80 : 15 : 5.

    python -m training.data.mixture --parts data/humanml3d=1 data/100style=0.5 data/amass=2 --out data/union

A training clip of a part with weight 2 is listed twice, and with weight 0.5 every second one is listed; the numbers of
a clip are stored once. With ``--resplit`` all clips are split anew by the hash of their name or group, so that clips of
one take stay together; without it parts keep their own splits. Memory does not grow with the parts.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scamo.motion import FPS
from training.data.dataset import ClipInfo, Dataset, DatasetWriter
from training.data.growing_dataset import split_of
from training.json_files import read_json


@dataclass(frozen=True)
class Args:
    """Mix datasets."""

    parts: tuple[str, ...]
    """Dataset folders, each with a weight: FOLDER or FOLDER=WEIGHT."""
    out: Path
    """The dataset folder to write."""
    resplit: bool = False
    """Split all clips anew, 80 : 15 : 5."""
    seed: int = 0
    """Chooses the clips that a weight which is no whole number lists once more."""


def read_part(part: str) -> tuple[Path, float]:
    """Folder and weight of "FOLDER=WEIGHT" or "FOLDER". ValueError where the weight is no number from 0 up."""
    folder, _, weight = part.partition("=")
    try:
        value = float(weight or 1)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{part!r} has no weight; write FOLDER=WEIGHT with a number from 0 up.")
    return Path(folder), value


def times_listed(number: int, weight: float, seed: int) -> int:
    """How often training clip ``number`` of a part is listed; over many clips the mean is the weight."""
    # A step of the golden ratio spreads the extra ones evenly over the part.
    return int(weight) + int((number * 0.6180339887 + seed * 0.7548776662) % 1 < weight - int(weight))


def main(args: Args) -> None:
    """Write the mixture; a complete one of the same parts is kept.

    ValueError where parts have features of another width or unit, or cannot be split anew.
    """
    parts = [(folder, weight) for folder, weight in map(read_part, args.parts)]
    opened = [Dataset(folder) for folder, _ in parts]
    recipe = {"parts": [[str(folder.resolve()), weight, _stamp(folder)] for folder, weight in parts],
              "resplit": args.resplit, "seed": args.seed}  # fmt: skip
    about = args.out / "about.json"
    if about.exists() and read_json(about).get("mixture") == recipe:
        print(json.dumps({"dataset": str(args.out), "kept": True}))
        return
    if args.resplit:
        for data in opened:
            _refuse_joined(data)
    widths = {data.features.shape[1] for data in opened}
    if len(widths) != 1:
        raise ValueError(f"The parts have features of {sorted(widths)} numbers; mix parts of one representation.")
    if len({data.unit for data in opened}) != 1:
        raise ValueError("The parts measure in different units; mix parts of one representation.")
    with DatasetWriter(args.out, _about(opened, parts) | {"mixture": recipe}, widths.pop()) as mixture:
        for (folder, weight), data in zip(parts, opened, strict=True):
            for clip, split, times in _listing(data, weight, args):
                labels = {**clip.labels, "part": folder.name}
                mixture.append(f"{folder.name}/{clip.name}", data[clip], split, clip.captions, labels, times)
    print(json.dumps({"dataset": str(args.out), **mixture.counts}))


def _listing(data: Dataset, weight: float, args: Args) -> Iterator[tuple[ClipInfo, str, int]]:
    """The clips to list, their split, and how often each is listed. Only the training split is weighted."""
    from tqdm import tqdm

    number = 0
    for clip in tqdm(data.clips, desc=data.folder.name, unit="clip", mininterval=2):
        group = f"{data.folder.name}/{clip.labels.get('group', clip.name)}"
        split = split_of(group) if args.resplit else clip.split
        times = 1
        if split == "train":
            times = times_listed(number, weight, args.seed)
            number += 1
        if times and weight > 0:
            yield clip, split, times


def _refuse_joined(data: Dataset) -> None:
    if any(clip.labels.get("kind") == "joined" for clip in data.clips):
        raise ValueError(
            f"{data.folder} has clips that were joined of others of their split, so it cannot be split anew; "
            "leave out --resplit, or prepare it without joined clips."
        )


def _about(opened: list[Dataset], parts: list[tuple[Path, float]]) -> dict[str, Any]:
    def joined(key: str) -> str:
        return "; ".join(dict.fromkeys(str(data.about.get(key, "")) for data in opened if data.about.get(key)))

    return {
        "source": " + ".join(
            str(data.about.get("source", path.name)) for data, (path, _) in zip(opened, parts, strict=True)
        ),
        "licence": joined("licence"),
        "attribution": joined("attribution"),
        "fps": opened[0].about.get("fps", FPS),
        "unit": opened[0].unit,
    }


def _stamp(folder: Path) -> list[int]:
    state = (folder / "features.npy").stat()
    return [state.st_size, state.st_mtime_ns]


if __name__ == "__main__":
    from training.command_line import run_command

    run_command(main, Args)
