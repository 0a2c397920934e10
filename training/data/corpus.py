"""Turn a pack into the corpus that networks are trained on: features, captions, and clips joined from clips.

    python -m training.data.corpus --pack data/bandai.pack --out data/bandai

Every clip stays. Clips of one split and style are also joined, with a blend of 0.3 s, to motions of two and three
actions ("walks forward, then waves with the left hand") and to repetitions, so that models see sentences of several
actions and lengths up to ten seconds. Mirror images are not stored: features mirror exactly when they are read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from scamo.motion import FORWARD, canonical_joints, features_from_joints, first_facing
from scamo.rotation import quat_between, quat_rotate
from scamo.skeleton import BONE_LENGTHS, with_bone_lengths
from training.data.archive import Clip, read_about, read_pack
from training.data.captions import GOING, canonical_style, caption
from training.data.dataset import DatasetWriter
from training.json_files import read_json

MAX_FRAMES = 200  # the paper's 50 tokens
BLEND = 6  # frames, 0.3 s


@dataclass(frozen=True)
class Args:
    """Features, captions and joined clips of a pack."""

    pack: Path
    """A pack made by training.data.readers.bandai, with content and style labels."""
    out: Path
    """The dataset folder to write."""
    pairs: int = 5000
    """How many joined clips of two actions."""
    triples: int = 1200
    """How many joined clips of three actions."""
    repeats: int = 1100
    """How many clips of one action done two or three times in a row."""
    wordings: int = 6
    """Captions a clip."""
    seed: int = 0


def join(first: np.ndarray, second: np.ndarray, blend: int = BLEND) -> np.ndarray:
    """Both motions as one: the second is turned and moved to where the first ends, and blended over ``blend`` frames.

    joints [T1, 22, 3] and [T2, 22, 3] in metres -> [T1 + T2 - blend, 22, 3].
    """
    middle = blend // 2
    anchor, start = first[len(first) - blend + middle], second[middle]
    turn = quat_between(first_facing(start[None])[0], FORWARD)
    back = quat_between(FORWARD, first_facing(anchor[None])[0])
    floor = np.array([1.0, 0.0, 1.0])
    placed = quat_rotate(back, quat_rotate(turn, second - start[0] * floor)) + anchor[0] * floor
    weight = np.linspace(0, 1, blend + 2)[1:-1]
    weight = (weight**2 * (3 - 2 * weight))[:, None, None]
    mixed = (1 - weight) * first[-blend:] + weight * placed[:blend]
    return np.concatenate([first[:-blend], with_bone_lengths(mixed, BONE_LENGTHS), placed[blend:]])


def cut_clip(clip: Clip, frames: int, draw: np.random.Generator) -> np.ndarray:
    """At most ``frames`` frames of a clip: where it turns most, any part of walking and running, else the beginning."""
    spare = len(clip.joints) - frames
    if spare <= 0:
        return clip.joints
    content, start = clip.labels["content"], 0
    if "turn" in content:
        facing = first_facing(clip.joints)
        heading = np.unwrap(np.arctan2(facing[:, 0], facing[:, 2]))
        start = int(np.argmax(np.abs(heading[frames:] - heading[:-frames])))
    elif content.startswith(GOING):
        start = int(draw.integers(spare + 1))
    return clip.joints[start : start + frames]


def joined_clips(
    clips: list[Clip], args: Args, draw: np.random.Generator
) -> Iterator[tuple[np.ndarray, list[str], str]]:
    """Joints [T, 22, 3], action labels and style of joined clips, drawn from clips of one split that share a style."""
    by_style: dict[str, dict[str, list[Clip]]] = {}
    for clip in clips:
        by_content = by_style.setdefault(canonical_style(clip.labels["style"]), {})
        by_content.setdefault(clip.labels["content"], []).append(clip)
    styles = [s for s in by_style if len(by_style[s]) > 1]
    share = np.array([sum(len(c) ** 0.5 for c in by_style[s].values()) for s in styles])
    wanted = [2] * args.pairs + [3] * args.triples
    for count in wanted if styles else []:
        style = styles[draw.choice(len(styles), p=share / share.sum())]
        names = sorted(by_style[style])
        contents = [str(name) for name in draw.choice(names, size=count, replace=len(names) < count)]
        longest = (MAX_FRAMES + (count - 1) * BLEND) // count
        parts = [by_style[style][c][draw.integers(len(by_style[style][c]))] for c in contents]
        yield join_all([cut_clip(p, int(draw.integers(36, longest + 1)), draw) for p in parts]), contents, style
    for _ in range(args.repeats):
        clip = clips[draw.integers(len(clips))]
        same = by_style[canonical_style(clip.labels["style"])][clip.labels["content"]]
        times = int(draw.integers(2, 4))
        parts = [clip, *(same[i] for i in draw.integers(len(same), size=times - 1))]
        if sum(len(p.joints) for p in parts) - BLEND * (times - 1) <= MAX_FRAMES:
            yield (
                join_all([p.joints for p in parts]),
                [clip.labels["content"]] * times,
                canonical_style(clip.labels["style"]),
            )


def join_all(parts: list[np.ndarray]) -> np.ndarray:
    """One motion of several in turn; see ``join``."""
    whole = parts[0]
    for part in parts[1:]:
        whole = join(whole, part)
    return whole


def split_evenly(joints: np.ndarray) -> list[np.ndarray]:
    """A long clip in pieces of at most MAX_FRAMES + 1 frames; T frames of joints give T - 1 of features."""
    count = -(-(len(joints) - 1) // MAX_FRAMES)
    edges = np.linspace(0, len(joints) - 1, count + 1).astype(int)
    return [joints[a : b + 1] for a, b in pairwise(edges)]


def main(args: Args) -> None:
    """Write the corpus folder and print what is in it; a complete one of the same pack and settings is kept."""
    from tqdm import tqdm

    settings = {key: value for key, value in asdict(args).items() if key not in ("pack", "out")}
    recipe = settings | {"pack": hashlib.sha256(args.pack.read_bytes()).hexdigest()}
    about = args.out / "about.json"
    if about.exists() and read_json(about).get("corpus") == recipe:
        print(json.dumps({"dataset": str(args.out), "kept": True}))
        return
    draw, draw_words = np.random.default_rng(args.seed), np.random.default_rng([args.seed, 1])
    clips = list(read_pack(args.pack))
    with DatasetWriter(args.out, about={**read_about(args.pack), "corpus": recipe}) as dataset:

        def add(
            name: str, joints: np.ndarray, split: str, kind: str, contents: list[str], style: str, **labels: str
        ) -> None:
            distinct = list(dict.fromkeys(contents))
            repeated = len(contents) if len(distinct) == 1 else 1
            words = [
                caption(distinct if repeated > 1 else contents, style, draw_words, repeated)
                for _ in range(args.wordings)
            ]
            features = features_from_joints(canonical_joints(joints, lengths=None))
            dataset.add(name, features, split, words, kind=kind, contents=contents, style=canonical_style(style),
                        **labels)  # fmt: skip

        for clip in tqdm(clips, desc="clips", unit="clip"):
            for number, piece in enumerate(split_evenly(clip.joints)):
                add(f"{clip.name}_{number}", piece, clip.split, "real", [clip.labels["content"]], clip.labels["style"],
                    group=clip.labels["group"])  # fmt: skip
        for split, share in (("train", 1.0), ("test", 0.1), ("val", 0.05)):
            part = [clip for clip in clips if clip.split == split]
            amount = Args(args.pack, args.out, *(round(n * share) for n in (args.pairs, args.triples, args.repeats)))
            joined = joined_clips(part, amount, draw)
            for number, (joints, contents, style) in enumerate(tqdm(joined, desc=f"joined, {split}", unit="clip")):
                add(f"joined-{split}-{number:05d}", joints[: MAX_FRAMES + 1], split, "joined", contents, style)
    print(json.dumps({"dataset": str(args.out), **dataset.counts}))


if __name__ == "__main__":
    from training.command_line import run_command

    run_command(main, Args)
