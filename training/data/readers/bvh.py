"""Read a folder of BVH files, or of any other motion files that `scamo.io.read` reads, of any rig with arms and legs.

    python -m training.data.readers.bvh --source 100STYLE --out data/100style

The rigs of `scamo.io.rigs` (CMU's conversions, 100STYLE, LAFAN1, Mixamo, SMPL, what scamo exports and many more) are
known by their joints' names or their shape; for another give ``--joints map.json``, our names to the rig's:
{"left_hip": "LThigh", ...}. The frame rate is the file's, the up axis follows from head, feet and floor, the unit from
the legs; all can be given. A file that cannot be read is named and left out, and the exit code is 2.

Sentences come from NAME.txt beside each file or in ``--texts``, one a line, as HumanML3D writes them or plain.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from scamo.io.read import READABLE, read_joints
from scamo.io.read_options import ReadOptions, read_joint_map
from scamo.motion import canonical_joints, resample_joints
from training.data.growing_dataset import Piece, called, prepare, read_splits
from training.data.readers.clips import clips_of, sentences_of, tell_once


@dataclass(frozen=True)
class Args:
    """Read a folder of motion files; run again to go on, or to add what is new."""

    source: Path
    """A folder; every .bvh, .glb, .gltf, .vrma, .npz and .npy below it is read."""
    out: Path
    """The dataset folder to write."""
    joints: Path | None = None
    """A JSON file that names the rig's joints, if it is none of the known ones."""
    fps: float | None = None
    """Frames a second of the files, if what they say is wrong."""
    up: Literal["auto", "x", "y", "z", "-x", "-y", "-z"] = "auto"
    """The axis that points up; --up=-y where Y points down."""
    unit: Literal["auto", "m", "cm", "mm", "inch"] = "auto"
    """What one unit of the files is."""
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


def read_clips(path: Path, reading: ReadOptions, args: Args, name: str) -> Iterator[Piece]:
    """The clips of a file, called NAME or NAME_0, NAME_1 ..."""
    found = read_joints(path, **reading.given)
    tell_once(path, found.notes)
    joints = canonical_joints(resample_joints(found.joints, found.fps))
    yield from clips_of(name, joints, sentences_of(path, args.source, args.texts), args.longest, args.shortest)


def main(args: Args) -> None:
    """Read every motion file below the folder. ValueError at the end where some cannot be read."""
    files = sorted(path for path in args.source.rglob("*") if path.suffix.lower() in READABLE and path.is_file())
    if not files:
        raise ValueError(f"No motion file below {args.source}; it takes {', '.join(READABLE)}.")
    given = None if args.joints is None else read_joint_map(args.joints.read_bytes())
    up, unit = (None if value == "auto" else value for value in (args.up, args.unit))
    reading = ReadOptions.of_fields(up, args.fps, unit, given)
    about = {"source": args.name or args.source.name, "licence": args.licence, "attribution": args.attribution}
    if args.texts and not args.texts.is_dir():
        raise ValueError(f"There is no folder {args.texts}; --texts is the folder of NAME.txt for each file.")
    splits = read_splits(args.splits) if args.splits else None
    options: dict[str, Any] = {"up": args.up, "fps": args.fps, "longest": args.longest, "shortest": args.shortest}
    options["joints"] = given
    options |= {} if unit is None else {"unit": unit}  # datasets of before the option have none
    shared = Counter(called(path, args.source) for path in files)

    broken: list[Path] = []

    def read(path: Path) -> Iterator[Piece]:
        name = called(path, args.source)
        try:
            yield from read_clips(path, reading, args, name if shared[name] == 1 else f"{name}-{path.suffix[1:]}")
        except (ValueError, OSError):
            broken.append(path)
            raise

    prepare(args.out, files, args.source, read, about, options=options,
            splits=splits, texts=lambda path: sentences_of(path, args.source, args.texts))  # fmt: skip
    if broken:
        rest = "the others are done" if len(broken) < len(files) else "none is left"
        raise ValueError(f"{len(broken)} of {len(files)} files cannot be read (named above); {rest}")


if __name__ == "__main__":
    from training.command_line import run_command

    run_command(main, Args)
