"""The corpus of the bundled models: the Bandai-Namco clips and the clips of other actions, in one dataset folder.

    python -m training.prepare.broad --pack data/bandai.pack --actions data/actions.npz --out data/broad

Bandai-Namco stays the core. Of rare actions every clip is stored several times, at other speeds and with other
sentences, so that an action is met about ``shown`` times; clips whose poses fit are joined to two and three actions,
the second turned to the heading of the first. Sentences come from ``training.sentences``; about one of ten is empty, so
that a model learns to go without words (for classifier-free guidance). Held-out clips of the other actions have the
kind "action", those of Bandai-Namco "real", as in ``training.prepare.corpus``.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from scipy.signal import find_peaks
from tqdm import tqdm

from scamo.motion import FPS, canonical_joints, features_from_joints, first_facing, resample_joints
from training import sentences
from training.captions import GOING, STYLES, canonical_style
from training.dataset import DatasetWriter
from training.pack import Clip, read_about, read_pack
from training.prepare.actions import read_actions
from training.prepare.corpus import MAX_FRAMES, _chain, _cut, _pieces, joined_clips
from training.prepare.corpus import Args as JoinArgs
from training.prepare.sources import split_of

BLEND = 6
SPEEDS = (0.82, 1.22)
ANY_STYLE = 0.15  # how often a sentence for an action of one style names another
KEY = ("jump", "jump-forward", "sit-down", "stand-up", "crouch", "crawl", "kick-right", "punch-left", "punch-right",
       "throw", "bow", "pick-up", "cartwheel", "dance-long", "climb", "stand", "swim", "roll", "walk-back")  # fmt: skip
"""Actions that people ask for most: shown half as often again."""

ALSO = {"kick-right": "kick", "punch-left": "punch", "punch-right": "punch", "punch": "punch"}
"""Labels with a side -> the words that name none, which fit as well."""

# Blows of the Bandai-Namco clips that hold several: label, when (seconds), and how much before and after.
BLOWS = {
    "dataset-1_kick_normal_001": ("kick-right", (2.0, 6.45, 10.85), 1.4),
    "dataset-1_punch_normal_001": ("punch-left", (0.8, 2.2, 3.6, 5.0, 6.4), 0.85),
    "dataset-1_punch_normal_002": ("punch-right", (1.6, 3.35, 5.0, 6.65, 8.3), 0.95),
    "dataset-1_slash_normal_001": ("slash", (2.3, 6.9, 11.5), 1.6),
    "dataset-1_slash_normal_002": ("slash", (1.9, 6.9, 13.3), 1.6),
}
DESCRIPTION = (
    "Learned from 3.8 hours of motion capture of walking, running, turning, raising and waving hands, bowing and other "
    "gestures in many styles, and from half an hour of other actions: jumping, hopping, sitting down, standing up, "
    "crouching, crawling, climbing, hanging, throwing, picking up, kicking, punching, karate, sword, dance, ballet, "
    "breakdance, cartwheels, flips, rolls, push-ups, jumping jacks, swimming, basketball, pushing, falling, lying, "
    "getting up, kneeling, washing, eating, driving and some gestures. Two or three actions may follow one another."
)
ATTRIBUTION = (
    "Kobayashi et al. 2023, arXiv:2306.08861, (c) Bandai Namco Research Inc.; the data used in this project was "
    "obtained from mocap.cs.cmu.edu, the database was created with funding from NSF EIA-0196217; Quaternius (CC0); "
    "Mesh2Motion (CC0); AnimatedDrawings, (c) Meta (MIT); DeepMimic, (c) Xue Bin Peng (MIT)."
)

SOURCES = (
    "Bandai-Namco Research Motiondataset 1 and 2; CMU Graphics Lab Motion Capture Database; Quaternius Universal "
    "Animation Library; Mesh2Motion; AnimatedDrawings; DeepMimic"
)
LICENCE = "CC BY-NC 4.0 (Bandai-Namco); CMU terms; CC0 1.0; MIT"


@dataclass(frozen=True)
class Args:
    """Mix the Bandai-Namco pack with clips of other actions."""

    pack: Path
    """The pack of training.prepare.bandai."""
    actions: Path
    """The file of training.prepare.actions."""
    out: Path
    """The dataset folder to write."""
    shown: int = 70
    """How often a rare action is met in training, its mirror images apart."""
    pairs: int = 4000
    """Joined clips of two actions of Bandai-Namco alone; as many triples and repetitions as training.prepare.corpus
    makes of a quarter of it."""
    mixed: int = 3600
    """Joined clips of two actions of any source, in the normal style."""
    mixed_triples: int = 700
    repeated: int = 900
    """Clips of one action done two or three times in a row, of any source."""
    wordings: int = 18
    """Sentences a clip, and two empty ones."""
    seed: int = 0


@dataclass(frozen=True)
class Piece:
    """A motion that can be joined: joints in their canonical place, its action and split."""

    name: str
    action: str
    joints: np.ndarray
    split: str
    group: str
    bandai: bool


def held_out(rows: list[dict]) -> dict[str, str]:
    """The split of every take of the action sources: a take is held out where its actions have six clips elsewhere."""
    takes: dict[str, list[str]] = {}
    for row in rows:
        takes.setdefault(f"{row['source']}/{row['take']}", []).append(row["action"])
    splits = {}
    for take, actions in takes.items():
        enough = all(
            sum(row["action"] == action and f"{row['source']}/{row['take']}" != take for row in rows) >= 6
            for action in set(actions)
        )
        splits[take] = split_of(take) if enough else "train"
    return splits


def pieces_of_pack(clips: list[Clip]) -> Iterator[Piece]:
    """Clips of the normal style, with blows cut apart."""
    for clip in clips:
        if clip.name in BLOWS:
            action, moments, margin = BLOWS[clip.name]
            for number, moment in enumerate(moments):
                a, b = max(0, round((moment - margin) * FPS)), round((moment + margin) * FPS) + 1
                part = canonical_joints(clip.joints[a:b], lengths=None)
                yield Piece(f"{clip.name}_{action}{number}", action, part, clip.split, clip.labels["group"], True)
        elif canonical_style(clip.labels["style"]) == "normal":
            yield Piece(clip.name, clip.labels["content"], clip.joints, clip.split, clip.labels["group"], True)


def pieces_of_actions(path: Path) -> Iterator[Piece]:
    """The clips of the other sources."""
    found = read_actions(path)
    splits = held_out([row for row, _ in found])
    for row, joints in found:
        take = f"{row['source']}/{row['take']}"
        yield Piece(row["name"], row["action"], joints, splits[take], take, False)


def at_speed(joints: np.ndarray, factor: float) -> np.ndarray:
    """The motion ``factor`` times as fast."""
    return resample_joints(joints, FPS * factor, FPS)


def fits(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether a motion can go on with another: pelvis and head about as high, the trunk about as upright."""
    end, start = first[-BLEND // 2], second[BLEND // 2]
    apart = np.abs(end[:, 1] - start[:, 1])
    return bool(apart[0] < 0.12 and apart[15] < 0.22)


def steps_of(joints: np.ndarray) -> np.ndarray:
    """Frames at which the feet are furthest apart along the heading: from one to the next is a step."""
    apart = ((joints[:, 7] - joints[:, 8]) * first_facing(joints)).sum(-1)
    moments, _ = find_peaks(np.abs(apart), height=0.12, distance=5, prominence=0.08)
    sides = np.sign(apart[moments])
    return moments if (sides[1:] != sides[:-1]).all() else moments[:0]


def counted_clips(clips: list[Clip], draw: np.random.Generator) -> Iterator[tuple[Clip, np.ndarray, int]]:
    """Of every clip of walking two cuts of one to six steps: the clip, joints and the number of steps."""
    for clip in clips:
        moments = steps_of(clip.joints) if clip.labels["content"] in ("walk", "walk-back") else ()
        for _ in range(2):
            count = int(draw.integers(1, 7))
            if len(moments) > count:
                first = int(draw.integers(len(moments) - count))
                yield clip, clip.joints[max(0, moments[first] - 2) : moments[first + count] + 3], count


def mixed_clips(
    pieces: list[Piece], count: int, amount: int, draw: np.random.Generator
) -> Iterator[tuple[np.ndarray, list[str]]]:
    """Joined clips of ``count`` actions whose poses fit; at least one is of the other sources."""
    by_action: dict[str, list[Piece]] = {}
    for piece in pieces:
        by_action.setdefault(piece.action, []).append(piece)
    names = sorted(by_action)
    weights = np.array([1.5 if n in KEY else 0.5 if len(by_action[n]) < 2 else 1.0 for n in names])
    made = 0
    for _ in range(40 * amount):
        if made == amount:
            return
        actions = [str(name) for name in draw.choice(names, size=count, replace=False, p=weights / weights.sum())]
        parts = [by_action[action][draw.integers(len(by_action[action]))] for action in actions]
        if all(part.bandai for part in parts):
            continue
        longest = (MAX_FRAMES + (count - 1) * BLEND) // count
        joints = [_cut(Clip(p.name, p.joints, p.split, labels={"content": p.action}), longest, draw)
                  if p.action.startswith(GOING) or p.action in ("stand", "dribble", "uneven", "karate", "sit", "talk")
                  else p.joints for p in parts]  # fmt: skip
        joints = [at_speed(j, draw.uniform(0.9, 1.15)) for j in joints]
        if min(map(len, joints)) < 2 * BLEND or sum(map(len, joints)) - BLEND * (count - 1) > MAX_FRAMES:
            continue
        if all(fits(a, b) for a, b in pairwise(joints)):
            made += 1
            yield _chain(joints), actions


def repeated_clips(
    pieces: list[Piece], amount: int, draw: np.random.Generator
) -> Iterator[tuple[np.ndarray, str, int]]:
    """One action done two or three times in a row."""
    by_action: dict[str, list[Piece]] = {}
    for piece in pieces:
        by_action.setdefault(piece.action, []).append(piece)
    names = sorted(by_action)
    made = 0
    for _ in range(40 * amount):
        if made == amount:
            return
        same = by_action[names[draw.integers(len(names))]]
        times = int(draw.integers(2, 4))
        joints = [at_speed(same[i].joints, draw.uniform(0.9, 1.2)) for i in draw.integers(len(same), size=times)]
        if min(map(len, joints)) < 2 * BLEND or sum(map(len, joints)) - BLEND * (times - 1) > MAX_FRAMES:
            continue
        if all(fits(a, b) for a, b in pairwise(joints)):
            made += 1
            yield _chain(joints), same[0].action, times


class Words:
    """Sentences from a pool for every action and style, so that there are no more to embed than needed."""

    def __init__(self, draw: np.random.Generator, often: set[str], styled: set[str]) -> None:
        """often: actions with larger pools; styled: those that the data has in several styles."""
        self.draw, self.often, self.styled = draw, often, styled
        self._pools: dict[tuple[str, str], list[str]] = {}

    def single(self, action: str, style: str, count: int) -> list[str]:
        """Sentences for one action, and about one empty one in ten."""
        key = action, style
        if key not in self._pools:
            size = 48 if style != "normal" else 260 if action in self.often else 130
            self._pools[key] = [self._write([action], style) for _ in range(size)]
        chosen = [str(text) for text in self.draw.choice(self._pools[key], size=count)]
        return [*chosen, *[""] * round(count / 9)]

    def joined(self, actions: list[str], style: str, times: int = 1) -> list[str]:
        """Two sentences for several actions, or for one done ``times`` times; now and then an empty one."""
        texts = [self._write(actions, style, times) for _ in range(2)]
        return texts + [""] * int(self.draw.random() < 0.25)

    def counted(self, action: str, style: str, count: int) -> list[str]:
        """Three sentences for so many steps."""
        own = sentences.counted_steps(action, count)
        return [sentences.sentence([action], style, self.draw, own=own) for _ in range(3)]

    def _write(self, actions: list[str], style: str, times: int = 1) -> str:
        # Other actions exist in one style; somebody tired or happy who does them is asked for all the same.
        if style == "normal" and not self.styled.intersection(actions) and self.draw.random() < ANY_STYLE:
            style = str(self.draw.choice(sorted(STYLES)))
        named = [ALSO[a] if a in ALSO and self.draw.random() < 0.5 else a for a in actions]
        return sentences.sentence(named, style, self.draw, times)


class Corpus:
    """The dataset that is written: what all parts of it share."""

    def __init__(self, dataset: DatasetWriter, clips: list[Clip], args: Args) -> None:
        self.dataset, self.clips, self.args = dataset, clips, args
        self.draw = np.random.default_rng(args.seed)
        styles: dict[str, set[str]] = {}
        for clip in clips:
            styles.setdefault(clip.labels["content"], set()).add(clip.labels["style"])
        styled = {content for content, found in styles.items() if len(found) > 1}
        self.words = Words(np.random.default_rng([args.seed, 1]), {"walk", "run", *KEY}, styled)
        self.normal = list(pieces_of_pack(clips))
        self.others = list(pieces_of_actions(args.actions))

    def add(self, name: str, joints: np.ndarray, split: str, texts: list[str], **labels: Any) -> None:
        """Append a clip, cut to the longest that models take."""
        features = features_from_joints(canonical_joints(joints[: MAX_FRAMES + 1], lengths=None))
        self.dataset.add(name, features, split, texts, **labels)

    def _add_clip(self, clip: Clip, joints: np.ndarray, kind: str, ending: str = "") -> None:
        content, style = clip.labels["content"], canonical_style(clip.labels["style"])
        for number, part in enumerate(_pieces(joints)):
            texts = self.words.single(content, style, self.args.wordings)
            self.add(f"{clip.name}_{number}{ending}", part, clip.split, texts, kind=kind, contents=[content],
                     style=style, group=clip.labels["group"])  # fmt: skip

    def add_bandai(self) -> None:
        """Every clip of the pack; those of rare contents at other speeds too."""
        for clip in tqdm(self.clips, desc="clips", unit="clip", mininterval=5):
            self._add_clip(clip, clip.joints, "real")
        counts: Counter[str] = Counter()
        for clip in self.clips:
            if clip.split == "train":
                counts[clip.labels["content"]] += len(_pieces(clip.joints))
        for clip in tqdm(self.clips, desc="rare", unit="clip", mininterval=5):
            content = clip.labels["content"]
            if clip.split != "train" or clip.name in BLOWS or counts[content] >= self.args.shown / 2:
                continue
            for copy in range(round(self.args.shown * (1.5 if content in KEY else 1) / counts[content]) - 1):
                self._add_clip(clip, at_speed(clip.joints, self.draw.uniform(*SPEEDS)), "copy", f"-{copy}")

    def add_actions(self) -> None:
        """The clips of other actions, and blows of Bandai-Namco, each as often as its action is rare."""
        extra = [*self.others, *(p for p in self.normal if p.name.rpartition("_")[0] in BLOWS)]
        counts = Counter(piece.action for piece in extra if piece.split == "train")
        for piece in tqdm(extra, desc="actions", unit="clip", mininterval=5):
            wanted = self.args.shown * (1.5 if piece.action in KEY else 1.0)
            copies = max(1, round(wanted / max(counts[piece.action], 1))) if piece.split == "train" else 1
            for copy in range(copies):
                joints = at_speed(piece.joints, self.draw.uniform(*SPEEDS)) if copy else piece.joints
                texts = self.words.single(piece.action, "normal", self.args.wordings)
                self.add(f"{piece.name}-{copy}", joints, piece.split, texts, kind="action", contents=[piece.action],
                         style="normal", group=piece.group)  # fmt: skip

    def add_counted(self) -> None:
        """Walks of one to six steps."""
        train = [clip for clip in self.clips if clip.split == "train"]
        for number, (clip, joints, count) in enumerate(counted_clips(train, self.draw)):
            action, style = clip.labels["content"], canonical_style(clip.labels["style"])
            texts = self.words.counted(action, style, count)
            self.add(f"counted-{number:04d}", joints, "train", texts, kind="joined", contents=[action] * count,
                     style=style, group=clip.labels["group"])  # fmt: skip

    def add_joined(self, split: str, share: float) -> None:
        """Joined clips of Bandai-Namco in its styles."""
        part = [clip for clip in self.clips if clip.split == split]
        amount = [round(n * share) for n in (self.args.pairs, self.args.pairs // 4, self.args.pairs // 4)]
        made = joined_clips(part, JoinArgs(self.args.pack, self.args.out, *amount), self.draw)
        for number, (joints, contents, style) in enumerate(tqdm(made, desc=f"joined, {split}", mininterval=5)):
            distinct = list(dict.fromkeys(contents))
            times = len(contents) if len(distinct) == 1 else 1
            texts = self.words.joined(distinct if times > 1 else contents, style, times)
            self.add(f"joined-{split}-{number:05d}", joints, split, texts, kind="joined", contents=contents,
                     style=style)  # fmt: skip

    def add_mixed(self, split: str, share: float) -> None:
        """Joined clips of any source, in the normal style."""
        pool = [piece for piece in (*self.normal, *self.others) if piece.split == split]
        if split != "train" and all(piece.bandai for piece in pool):
            return
        for count, number_of in ((2, self.args.mixed), (3, self.args.mixed_triples)):
            made = mixed_clips(pool, count, round(number_of * share), self.draw)
            for number, (joints, contents) in enumerate(tqdm(made, desc=f"mixed, {split}", mininterval=5)):
                texts = self.words.joined(contents, "normal")
                self.add(f"mixed-{split}-{count}-{number:05d}", joints, split, texts, kind="joined", contents=contents,
                         style="normal")  # fmt: skip

    def add_repeated(self) -> None:
        """Other actions, done two or three times in a row."""
        pool = [piece for piece in self.others if piece.split == "train"]
        made = repeated_clips(pool, self.args.repeated, self.draw)
        for number, (joints, action, times) in enumerate(tqdm(made, desc="repeated", mininterval=5)):
            texts = self.words.joined([action], "normal", times)
            self.add(f"repeated-{number:05d}", joints, "train", texts, kind="joined", contents=[action] * times,
                     style="normal")  # fmt: skip


def main(args: Args) -> None:
    """Write the dataset folder and print what is in it; a complete one of the same sources and settings is kept."""
    settings = {key: value for key, value in asdict(args).items() if key not in ("pack", "actions", "out")}
    settings |= {"sources": [hashlib.sha256(path.read_bytes()).hexdigest() for path in (args.pack, args.actions)]}
    about = args.out / "about.json"
    if about.exists() and json.loads(about.read_text()).get("broad") == settings:
        print(json.dumps({"dataset": str(args.out), "kept": True}))
        return
    header = {**read_about(args.pack), "broad": settings, "knows": DESCRIPTION, "attribution": ATTRIBUTION,
              "source": SOURCES, "licence": LICENCE}  # fmt: skip
    with DatasetWriter(args.out, about=header) as dataset:
        corpus = Corpus(dataset, list(read_pack(args.pack)), args)
        corpus.add_bandai()
        corpus.add_actions()
        corpus.add_counted()
        for split, share in (("train", 1.0), ("test", 0.1), ("val", 0.05)):
            corpus.add_joined(split, share)
            corpus.add_mixed(split, share)
            if split == "train":
                corpus.add_repeated()
    print(json.dumps({"dataset": str(args.out), **dataset.counts}))


if __name__ == "__main__":
    from training.command import run_command

    run_command(main, Args)
