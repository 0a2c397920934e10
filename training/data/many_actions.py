"""The corpus of the bundled models: the Bandai-Namco clips and the clips of other actions, in one dataset folder.

    python -m training.data.many_actions --pack data/bandai.pack --actions data/actions.npz --out data/many-actions

Bandai-Namco stays the core. Of rare actions every clip is stored several times, at other speeds and with other
sentences, so that an action is met about ``shown`` times; clips whose poses fit are joined to two and three actions,
the second turned to the heading of the first. Sentences come from ``training.data.sentences``; about one of ten is
empty, so that a model learns to go without words (for classifier-free guidance). Held-out clips of the other actions
have the kind "action", those of Bandai-Namco "real", as in ``training.data.corpus``.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from scamo.motion import canonical_joints, features_from_joints
from training.data import sentences
from training.data.action_pieces import (
    BLOWS,
    KEY,
    at_speed,
    counted_clips,
    mixed_clips,
    pieces_of_actions,
    pieces_of_pack,
    repeated_clips,
)
from training.data.archive import Clip, read_about, read_pack
from training.data.captions import STYLES, canonical_style, mirrored_words
from training.data.corpus import MAX_FRAMES, joined_clips, split_evenly
from training.data.corpus import Args as JoinArgs
from training.data.dataset import DatasetWriter
from training.json_files import read_json

SPEEDS = (0.82, 1.22)
BLOWS_AT = (0.97, 1.3)  # slowed down a punch looks like reaching for something
SCENES = 0.5  # how often one of the two sentences of several actions is made of whole sentences
MILD = ("masculine", "youthful")  # what a sentence without a style may mean too, where few clips are in the normal one
FEW = 20  # clips
SOME = 40  # clips: with fewer in the normal style those are shown more often
ANY_STYLE = 0.15  # how often a sentence for an action of one style names another
ALSO = {"kick-right": "kick", "punch-left": "punch", "punch-right": "punch", "punch": "punch"}
"""Labels with a side -> the words that name none, which fit as well."""

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

COLLECTIONS = (
    "Bandai-Namco Research Motiondataset 1 and 2; CMU Graphics Lab Motion Capture Database; Quaternius Universal "
    "Animation Library; Mesh2Motion; AnimatedDrawings; DeepMimic"
)
LICENCE = "CC BY-NC 4.0 (Bandai-Namco); CMU terms; CC0 1.0; MIT"


@dataclass(frozen=True)
class Args:
    """Mix the Bandai-Namco pack with clips of other actions."""

    pack: Path
    """The pack of training.data.readers.bandai."""
    actions: Path
    """The file of training.data.readers.actions."""
    out: Path
    """The dataset folder to write."""
    shown: int = 70
    """How often a rare action is met in training, its mirror images apart."""
    pairs: int = 4000
    """Joined clips of two actions of Bandai-Namco alone; as many triples and repetitions as training.data.corpus
    makes of a quarter of it."""
    mixed: int = 3600
    """Joined clips of two actions of any source, in the normal style."""
    asked: int = 4000
    """Joined clips of two actions that people ask for together: those that scenes_two.txt has sentences for."""
    mixed_triples: int = 700
    repeated: int = 900
    """Clips of one action done two or three times in a row, of any source."""
    wordings: int = 18
    """Sentences a clip, and two empty ones."""
    seed: int = 0


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
            if style == "normal":
                self._pools[key] += self._scenes(action)
        chosen = [str(text) for text in self.draw.choice(self._pools[key], size=count)]
        return [*chosen, *[""] * round(count / 9)]

    def joined(self, actions: list[str], style: str, times: int = 1) -> list[str]:
        """Two sentences or more for several actions, or for one done ``times`` times; now and then an empty one."""
        texts = [self._write(actions, style, times) for _ in range(2)]
        whole = self._whole(actions) if style == "normal" and times == 1 else ()
        if whole:
            texts += [str(text) for text in self.draw.choice(whole, size=2)]
        elif style == "normal" and times == 1 and self.draw.random() < SCENES:
            texts[1] = sentences.scenes_in_order(actions, self.draw) or texts[1]
        return texts + [""] * int(self.draw.random() < 0.25)

    @staticmethod
    def _whole(actions: list[str]) -> tuple[str, ...]:
        """Whole sentences for two actions."""
        return sentences.scenes_of_two().get((actions[0], actions[-1]), ()) if len(actions) == 2 else ()

    def counted(self, action: str, style: str, count: int) -> list[str]:
        """Three sentences for so many steps."""
        own = sentences.counted_steps(action, count)
        return [sentences.sentence([action], style, self.draw, own=own) for _ in range(3)]

    def _scenes(self, action: str) -> list[str]:
        """Whole sentences for an action, about as many as its pool has of written ones."""
        names = dict.fromkeys((action, ALSO.get(action, action)))
        own = [text for name in names for text in sentences.scenes().get(name, ())]
        return own * max(1, round(len(self._pools[action, "normal"]) / len(own))) if own else []

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
        # Clips of each content in the normal style, which people mean who name none.
        self.normal_clips = Counter(
            clip.labels["content"]
            for clip in clips
            if clip.split == "train" and canonical_style(clip.labels["style"]) == "normal"
        )
        self.words = Words(np.random.default_rng([args.seed, 1]), {"walk", "run", *KEY}, styled)
        self.normal = list(pieces_of_pack(clips))
        self.others = list(pieces_of_actions(args.actions))

    def add(self, name: str, joints: np.ndarray, split: str, texts: list[str], **labels: Any) -> None:
        """Append a clip, cut to the longest that models take."""
        features = features_from_joints(canonical_joints(joints[: MAX_FRAMES + 1], lengths=None))
        self.dataset.add(name, features, split, texts, **labels)

    def _add_clip(self, clip: Clip, joints: np.ndarray, kind: str, ending: str = "") -> None:
        content, style = clip.labels["content"], canonical_style(clip.labels["style"])
        for number, part in enumerate(split_evenly(joints)):
            texts = self.words.single(content, style, self.args.wordings)
            if style in MILD and self.normal_clips[content] < FEW:
                half = self.args.wordings // 2
                texts = [*self.words.single(content, "normal", half), *texts[half:]]
            self.add(f"{clip.name}_{number}{ending}", part, clip.split, texts, kind=kind, contents=[content],
                     style=style, group=clip.labels["group"])  # fmt: skip

    def add_bandai(self) -> None:
        """Every clip of the pack; those of rare contents at other speeds too."""
        for clip in tqdm(self.clips, desc="clips", unit="clip", mininterval=5):
            self._add_clip(clip, clip.joints, "real")
        counts: Counter[str] = Counter()
        for clip in self.clips:
            if clip.split == "train":
                counts[clip.labels["content"]] += len(split_evenly(clip.joints))
        for clip in tqdm(self.clips, desc="rare", unit="clip", mininterval=5):
            content, wanted = clip.labels["content"], self.args.shown * (1.5 if clip.labels["content"] in KEY else 1)
            if clip.split != "train" or clip.name in BLOWS:
                continue
            copies = round(wanted / counts[content]) - 1 if counts[content] < self.args.shown / 2 else 0
            if canonical_style(clip.labels["style"]) == "normal" and self.normal_clips[content] < SOME:
                copies = round(wanted / self.normal_clips[content]) - 1
            for copy in range(copies):
                self._add_clip(clip, at_speed(clip.joints, self.draw.uniform(*SPEEDS)), "copy", f"-{copy}")

    def add_actions(self) -> None:
        """The clips of other actions, and blows of Bandai-Namco, each as often as its action is rare."""
        extra = [*self.others, *(p for p in self.normal if p.name.rpartition("_")[0] in BLOWS)]
        counts = Counter(piece.action for piece in extra if piece.split == "train")
        for piece in tqdm(extra, desc="actions", unit="clip", mininterval=5):
            wanted = self.args.shown * (1.5 if piece.action in KEY else 1.0)
            copies = max(1, round(wanted / max(counts[piece.action], 1))) if piece.split == "train" else 1
            for copy in range(copies):
                speeds = BLOWS_AT if piece.action.startswith("punch") else SPEEDS
                joints = at_speed(piece.joints, self.draw.uniform(*speeds)) if copy else piece.joints
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

    def add_asked(self) -> None:
        """Joined clips of two actions that people ask for together."""
        pool = [piece for piece in (*self.normal, *self.others) if piece.split == "train"]
        pairs = list(sentences.scenes_of_two())
        made = mixed_clips(pool, 2, self.args.asked, self.draw, pairs)
        for number, (joints, contents) in enumerate(tqdm(made, desc="asked", mininterval=5)):
            texts = self.words.joined(contents, "normal")
            self.add(f"asked-{number:05d}", joints, "train", texts, kind="joined", contents=contents, style="normal")

    def add_repeated(self) -> None:
        """Other actions, done two or three times in a row."""
        pool = [piece for piece in self.others if piece.split == "train"]
        made = repeated_clips(pool, self.args.repeated, self.draw)
        for number, (joints, action, times) in enumerate(tqdm(made, desc="repeated", mininterval=5)):
            texts = self.words.joined([action], "normal", times)
            self.add(f"repeated-{number:05d}", joints, "train", texts, kind="joined", contents=[action] * times,
                     style="normal")  # fmt: skip


def with_normal_styles(clips: list[Clip]) -> list[Clip]:
    """The clips, with every content's normal style in training, or that of its mirror image.

    People who name no style mean that one. A group that is held out is all of a content in a style: without this no
    normal waving with both hands would be learned from, and of 53 normal runs one.
    """
    counts = Counter(
        clip.labels["content"]
        for clip in clips
        if clip.split == "train" and canonical_style(clip.labels["style"]) == "normal"
    )
    return [
        replace(clip, split="train")
        if canonical_style(clip.labels["style"]) == "normal"
        and max(counts[name] for name in (clip.labels["content"], mirrored_words(clip.labels["content"]))) < FEW
        else clip
        for clip in clips
    ]


def _known(clips: Iterable[Clip]) -> list[Clip]:
    """Clips but those of labels that mean another."""
    return [clip for clip in clips if clip.labels["content"] not in sentences.SAME]


def _begun_with(about: Path) -> Any:
    """The settings that a corpus was written with; those of the first ones stand under another name."""
    found = read_json(about)
    return found.get("many_actions", found.get("broad"))


def main(args: Args) -> None:
    """Write the dataset folder and print what is in it; a complete one of the same files and settings is kept."""
    settings = {key: value for key, value in asdict(args).items() if key not in ("pack", "actions", "out")}
    settings |= {"sources": [hashlib.sha256(path.read_bytes()).hexdigest() for path in (args.pack, args.actions)]}
    about = args.out / "about.json"
    if about.exists() and _begun_with(about) == settings:
        print(json.dumps({"dataset": str(args.out), "kept": True}))
        return
    header = {**read_about(args.pack), "many_actions": settings, "knows": DESCRIPTION, "attribution": ATTRIBUTION,
              "source": COLLECTIONS, "licence": LICENCE}  # fmt: skip
    with DatasetWriter(args.out, about=header) as dataset:
        corpus = Corpus(dataset, with_normal_styles(_known(read_pack(args.pack))), args)
        corpus.add_bandai()
        corpus.add_actions()
        corpus.add_counted()
        for split, share in (("train", 1.0), ("test", 0.1), ("val", 0.05)):
            corpus.add_joined(split, share)
            corpus.add_mixed(split, share)
            if split == "train":
                corpus.add_asked()
                corpus.add_repeated()
    print(json.dumps({"dataset": str(args.out), **dataset.counts}))


if __name__ == "__main__":
    from training.command_line import run_command

    run_command(main, Args)
