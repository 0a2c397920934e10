"""Read the Bandai-Namco Research Motiondataset (1 and 2) and pack it as 22-joint motions.

    python -m training.data.readers.bandai --source bandai.tar.xz --out data/bandai.pack

``--source`` is a clone of the public repository BandaiNamcoResearchInc/Bandai-Namco-Research-Motiondataset, its
``dataset`` folder, or a .tar.xz/.zip of it. The dataset is CC BY-NC 4.0 (Kobayashi et al. 2023, arXiv 2306.08861).

Its rig differs from HumanML3D's, so `scamo.io.retarget` brings its clips to ours; the frames of the trunk are those of
its own bones.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scamo.io.bvh_read import BvhMotion, read_bvh
from scamo.io.retarget import retarget
from scamo.motion import canonical_joints, resample_joints
from training.data.archive import Clip, PackWriter, read_about

BANDAI = {
    f"{side}_{ours}": f"{theirs}_{side[0].upper()}"
    for side in ("left", "right")
    for ours, theirs in {"collar": "Shoulder", "shoulder": "UpperArm", "elbow": "LowerArm", "wrist": "Hand",
                         "hip": "UpperLeg", "knee": "LowerLeg", "ankle": "Foot", "foot": "Toes"}.items()
}  # fmt: skip
"""Our joint names -> the dataset's."""
FRAMES = {"hips": "Hips", "spine": "Spine", "chest": "Chest", "neck": "Neck"}
"""The frames that carry the trunk's joints -> the dataset's joints whose rotations they are."""
# What models trained on this data may be asked for, in words for the people who ask.
KNOWS = (
    "Learned from 3.8 hours of motion capture: walking, running and dashing forward, walking backward and to the side, "
    "turning left and right, raising and waving the left, the right or both hands, bowing, saying goodbye, showing the "
    "way, calling out, and a little kicking, punching, sword slashing and dancing; in styles such as old, tired, "
    "energetic, feminine, masculine, youthful, childish, happy, sad, angry, proud or shy. Two or three actions may "
    "follow one another. Not learned: sitting, lying, crouching, jumping, climbing, objects, other people."
)
SHORTEST = 10  # frames
FOOT_PITCH = np.radians(14)  # the rig's foot bone points steeper down than SMPL's when the foot is flat


def _axes(rotation: np.ndarray, frame: str) -> np.ndarray:
    """Columns left, up, forward of one of the rig's frames. [T, 3, 3] -> [T, 3, 3]."""
    x, y, z = np.moveaxis(rotation, -1, 0)
    left, up, forward = (-y, x, z) if frame == "hips" else (z, x, y)
    return np.stack([left, up, forward], axis=-1)


def canonical(bvh: BvhMotion) -> np.ndarray:
    """A clip of the dataset's rig (centimetres) -> canonical joints float64 [T, 22, 3] at 20 fps, in metres."""
    at = {ours: bvh.positions[:, bvh.joint(theirs)] for ours, theirs in BANDAI.items()}
    frames = {frame: _axes(bvh.rotations[:, bvh.joint(theirs)], frame) for frame, theirs in FRAMES.items()}
    fps = 1 / bvh.frame_time if bvh.frame_time else 0.0  # as the file has it, rounded: the bundled models' data did so
    return canonical_joints(resample_joints(retarget(at, frames, FOOT_PITCH), fps))


def assign_splits(groups: list[tuple[str, str, str]]) -> dict[tuple[str, str, str], str]:
    """Put whole (dataset, content, style) groups into train, test or val, so that near duplicates stay together.

    Of every content that has at least five styles a seventh of the styles (at least one) is tested on, drawn by a
    fixed seed; val takes one style of every other content. Contents with fewer styles are trained on only. That comes
    to about 80 : 15 : 5.
    """
    draw = np.random.default_rng(20)
    contents: dict[tuple[str, str], list[str]] = {}
    for dataset, content, style in sorted(set(groups)):
        contents.setdefault((dataset, content), []).append(style)
    splits = dict.fromkeys(groups, "train")
    for number, ((dataset, content), styles) in enumerate(sorted(contents.items())):
        if len(styles) < 5:
            continue
        order = list(draw.permutation(styles))
        for style in order[: max(1, round(len(styles) / 7))]:
            splits[(dataset, content, style)] = "test"
        if number % 2:
            splits[(dataset, content, order[-1])] = "val"
    return splits


@dataclass(frozen=True)
class Args:
    """Pack the Bandai-Namco Research Motiondataset as 22-joint motions at 20 fps."""

    source: Path
    """A clone of the public repository, its dataset folder, or a .tar.xz / .zip of it."""
    out: Path = Path("data/bandai.pack")
    """The pack to write (about 20 MB)."""


def _bvh_files(source: Path, scratch: Path) -> list[Path]:
    """The dataset's clips, those of archives unpacked into `scratch`; nothing is written into `source`."""
    folders = [source]
    if source.is_file():
        folders = [scratch / "dataset"]
        if zipfile.is_zipfile(source):
            with zipfile.ZipFile(source) as archive:
                archive.extractall(folders[0])
        elif tarfile.is_tarfile(source):
            with tarfile.open(source) as archive:
                archive.extractall(folders[0], filter="data")
        else:
            raise ValueError(f"{source} is neither a folder nor a .tar.xz or .zip archive of the dataset.")
    for number, inner in enumerate(sorted(folders[0].rglob("data.zip"))):  # the public repository zips each dataset
        if not any(inner.parent.rglob("*.bvh")):
            folders.append(scratch / f"data-{number}")
            with zipfile.ZipFile(inner) as archive:
                archive.extractall(folders[-1])
    files = [path for folder in folders for path in folder.rglob("dataset-[12]_*.bvh")]
    if not files:
        raise ValueError(f"No dataset-1_*.bvh or dataset-2_*.bvh below {source}; is it the Bandai-Namco dataset?")
    return sorted(files, key=lambda path: path.name)


def _group(path: Path) -> tuple[str, str, str]:
    dataset, content, style = path.stem.split("_")[:3]
    return dataset, content, style


def read_clips(files: list[Path], skipped: dict[str, str]) -> Iterator[Clip]:
    """Every readable file as a Clip; a broken one is named on standard error, left out, and added to ``skipped``."""
    from tqdm import tqdm

    groups = {path: _group(path) for path in files}
    splits = assign_splits(list(groups.values()))
    for path in tqdm(files, desc="retarget", unit="clip"):
        dataset, content, style = groups[path]
        try:
            joints = canonical(read_bvh(path))
            if len(joints) < SHORTEST:
                raise ValueError(f"{len(joints)} frames are too few")
        except ValueError as error:
            skipped[path.name] = str(error)
            tqdm.write(f"skipped {path.name}: {error}", file=sys.stderr)
            continue
        labels = {"content": content, "style": style, "group": f"{dataset}_{content}_{style}"}
        yield Clip(path.stem, joints, splits[(dataset, content, style)], labels=labels)


def _stamp(files: list[Path]) -> str:
    """Changes when a file is added, removed or grows."""
    listing = [[path.name, path.stat().st_size] for path in files]
    return hashlib.sha256(json.dumps(listing).encode()).hexdigest()


def main(args: Args) -> None:
    """Read, retarget and pack; prints what was written. A pack of the same files is kept, unless some were broken."""
    with tempfile.TemporaryDirectory() as scratch:
        files = _bvh_files(args.source, Path(scratch))
        stamp, skipped = _stamp(files), dict[str, str]()
        if args.out.exists() and zipfile.is_zipfile(args.out):
            about = read_about(args.out)
            if about.get("files") == stamp and not about.get("skipped"):
                print(json.dumps({"pack": str(args.out), "kept": about["clips"]}))
                return
        with PackWriter(args.out) as pack:
            for clip in read_clips(files, skipped):
                pack.add(clip)
            pack.about = {
                "source": "Bandai-Namco Research Motiondataset 1 and 2",
                "licence": "CC BY-NC 4.0",
                "attribution": "Kobayashi et al. 2023, arXiv:2306.08861, (c) Bandai Namco Research Inc.",
                "knows": KNOWS,
                "files": stamp,
                "skipped": skipped,
            }
    counts = {"megabytes": round(args.out.stat().st_size / 1e6, 1), **pack.counts, "skipped": len(skipped)}
    print(json.dumps({"pack": str(args.out), **counts}))


if __name__ == "__main__":
    from training.command_line import run_command

    run_command(main, Args)
