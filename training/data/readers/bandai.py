"""Read the Bandai-Namco Research Motiondataset (1 and 2) and pack it as 22-joint motions.

    python -m training.data.readers.bandai --source bandai.tar.xz --out data/bandai.pack

``--source`` is a clone of the public repository BandaiNamcoResearchInc/Bandai-Namco-Research-Motiondataset, its
``dataset`` folder, or a .tar.xz/.zip of it. The dataset is CC BY-NC 4.0 (Kobayashi et al. 2023, arXiv 2306.08861).

Its rig differs from HumanML3D's: limbs take the directions of its own bones, the trunk's joints sit at fixed
directions in the frame of the nearest bone, and everything gets HumanML3D's lengths.
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

from scamo.io.bvh import BvhMotion, read_bvh
from scamo.motion import canonical_joints, resample_joints
from scamo.skeleton import BONE_LENGTHS, PARENTS
from training.data.archive import Clip, PackWriter, read_about

# Joint -> (frame that carries it, direction from its parent as (left, up, forward) in that frame).
TRUNK = {
    1: ("Hips", (0.57, -0.82, -0.075)),
    2: ("Hips", (-0.57, -0.82, -0.075)),
    3: ("Hips", (0.0, 0.964, -0.266)),
    6: ("Spine", (0.0, 0.97, 0.24)),
    9: ("Spine", (0.0, 0.96, 0.28)),
    12: ("Chest", (0.0, 1.0, 0.0)),
    13: ("Chest", (0.55, 0.835, -0.02)),
    14: ("Chest", (-0.55, 0.835, -0.02)),
    15: ("Neck", (0.0, 0.8, 0.6)),
}
# Joint -> the two joints of the rig whose line is its bone's direction.
LIMBS = {
    4: ("UpperLeg_L", "LowerLeg_L"),
    5: ("UpperLeg_R", "LowerLeg_R"),
    7: ("LowerLeg_L", "Foot_L"),
    8: ("LowerLeg_R", "Foot_R"),
    10: ("Foot_L", "Toes_L"),
    11: ("Foot_R", "Toes_R"),
    16: ("Shoulder_L", "UpperArm_L"),
    17: ("Shoulder_R", "UpperArm_R"),
    18: ("UpperArm_L", "LowerArm_L"),
    19: ("UpperArm_R", "LowerArm_R"),
    20: ("LowerArm_L", "Hand_L"),
    21: ("LowerArm_R", "Hand_R"),
}
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
    left, up, forward = (-y, x, z) if frame == "Hips" else (z, x, y)
    return np.stack([left, up, forward], axis=-1)


def retarget(bvh: BvhMotion) -> np.ndarray:
    """A clip of the dataset's rig (centimetres) -> canonical joints float64 [T, 22, 3] at 20 fps, in metres."""
    at = {name: bvh.positions[:, i] for i, name in enumerate(bvh.names)}
    directions = np.zeros((len(bvh.positions), 22, 3))
    for joint, (frame, direction) in TRUNK.items():
        directions[:, joint] = _axes(bvh.rotations[:, bvh.joint(frame)], frame) @ np.array(direction)
    for joint, (start, end) in LIMBS.items():
        directions[:, joint] = at[end] - at[start]
    directions /= np.maximum(np.linalg.norm(directions, axis=-1, keepdims=True), 1e-9)
    for ankle, foot in ((7, 10), (8, 11)):
        directions[:, foot] = _pitched_up(directions[:, foot], directions[:, ankle])

    own_leg = np.linalg.norm(at["UpperLeg_R"][0] - at["LowerLeg_R"][0])
    own_leg += np.linalg.norm(at["LowerLeg_R"][0] - at["Foot_R"][0])
    scale = (BONE_LENGTHS[5] + BONE_LENGTHS[8]) / own_leg
    hips = directions[:, 1] * BONE_LENGTHS[1] + directions[:, 2] * BONE_LENGTHS[2]
    joints = np.empty_like(directions)
    joints[:, 0] = (at["UpperLeg_L"] + at["UpperLeg_R"]) / 2 * scale - hips / 2
    for joint in range(1, 22):
        joints[:, joint] = joints[:, PARENTS[joint]] + directions[:, joint] * BONE_LENGTHS[joint]
    return canonical_joints(resample_joints(joints, bvh.fps))


def _pitched_up(foot: np.ndarray, shin: np.ndarray) -> np.ndarray:
    """Turn the foot away from the shin, in their common plane, by FOOT_PITCH. [T, 3] unit vectors -> [T, 3]."""
    down = shin - (shin * foot).sum(-1, keepdims=True) * foot
    down /= np.maximum(np.linalg.norm(down, axis=-1, keepdims=True), 1e-6)
    return np.cos(FOOT_PITCH) * foot - np.sin(FOOT_PITCH) * down


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
    if source.is_file():
        if zipfile.is_zipfile(source):
            with zipfile.ZipFile(source) as archive:
                archive.extractall(scratch)
        elif tarfile.is_tarfile(source):
            with tarfile.open(source) as archive:
                archive.extractall(scratch, filter="data")
        else:
            raise ValueError(f"{source} is neither a folder nor a .tar.xz or .zip archive of the dataset.")
        source = scratch
    for inner in source.rglob("data.zip"):  # the public repository ships each dataset's clips zipped
        if not any(inner.parent.rglob("*.bvh")):
            with zipfile.ZipFile(inner) as archive:
                archive.extractall(inner.parent)
    files = sorted(source.rglob("dataset-[12]_*.bvh"), key=lambda path: path.name)
    if not files:
        raise ValueError(f"No dataset-1_*.bvh or dataset-2_*.bvh below {source}; is it the Bandai-Namco dataset?")
    return files


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
            joints = retarget(read_bvh(path))
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
