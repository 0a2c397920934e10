"""Motions that can be joined: single actions of all collections, and what is made of them by cutting and joining.

``training.data.many_actions`` writes the corpus of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from scipy.signal import find_peaks

from scamo.motion import FPS, canonical_joints, first_facing, resample_joints
from training.data.archive import Clip
from training.data.captions import GOING, canonical_style
from training.data.corpus import BLEND, MAX_FRAMES, cut_clip, join_all
from training.data.growing_dataset import split_of
from training.data.readers.actions import read_actions

KEY = ("jump", "jump-forward", "sit-down", "stand-up", "crouch", "crawl", "kick-right", "punch-left", "punch-right",
       "throw", "bow", "pick-up", "cartwheel", "dance-long", "climb", "stand", "swim", "roll", "walk-back")  # fmt: skip
"""Actions that people ask for most: shown half as often again."""

# Blows of the Bandai-Namco clips that hold several: label, when (seconds), and how much before and after.
BLOWS = {
    "dataset-1_kick_normal_001": ("kick-right", (2.0, 6.45, 10.85), 1.4),
    "dataset-1_punch_normal_001": ("punch-left", (0.8, 2.2, 3.6, 5.0, 6.4), 0.85),
    "dataset-1_punch_normal_002": ("punch-right", (1.6, 3.35, 5.0, 6.65, 8.3), 0.95),
    "dataset-1_slash_normal_001": ("slash", (2.3, 6.9, 11.5), 1.6),
    "dataset-1_slash_normal_002": ("slash", (1.9, 6.9, 13.3), 1.6),
}


@dataclass(frozen=True)
class ActionPiece:
    """A motion that can be joined: joints in their canonical place, its action and split."""

    name: str
    action: str
    joints: np.ndarray
    split: str
    group: str
    bandai: bool


def held_out(rows: list[dict]) -> dict[str, str]:
    """The split of every take of the other actions: a take is held out where its actions have six clips elsewhere."""
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


def pieces_of_pack(clips: list[Clip]) -> Iterator[ActionPiece]:
    """Clips of the normal style, with blows cut apart."""
    for clip in clips:
        if clip.name in BLOWS:
            action, moments, margin = BLOWS[clip.name]
            for number, moment in enumerate(moments):
                a, b = max(0, round((moment - margin) * FPS)), round((moment + margin) * FPS) + 1
                part = canonical_joints(clip.joints[a:b], lengths=None)
                yield ActionPiece(f"{clip.name}_{action}{number}", action, part, clip.split, clip.labels["group"], True)
        elif canonical_style(clip.labels["style"]) == "normal":
            yield ActionPiece(clip.name, clip.labels["content"], clip.joints, clip.split, clip.labels["group"], True)


def pieces_of_actions(path: Path) -> Iterator[ActionPiece]:
    """The clips of other actions than Bandai-Namco's."""
    found = read_actions(path)
    splits = held_out([row for row, _ in found])
    for row, joints in found:
        take = f"{row['source']}/{row['take']}"
        yield ActionPiece(row["name"], row["action"], joints, splits[take], take, False)


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
    pieces: list[ActionPiece],
    count: int,
    amount: int,
    draw: np.random.Generator,
    asked: Sequence[tuple[str, ...]] | None = None,
) -> Iterator[tuple[np.ndarray, list[str]]]:
    """Joined clips of ``count`` actions whose poses fit; at least one is not of Bandai-Namco.

    asked: actions to join, in order, in place of any; then all may be of Bandai-Namco.
    """
    by_action: dict[str, list[ActionPiece]] = {}
    for piece in pieces:
        by_action.setdefault(piece.action, []).append(piece)
    names = sorted(by_action)
    weights = np.array([1.5 if n in KEY else 0.5 if len(by_action[n]) < 2 else 1.0 for n in names])
    known = [actions for actions in asked or () if all(action in by_action for action in actions)]
    found = 0
    for _ in range(40 * amount if known or asked is None else 0):
        if found == amount:
            return
        if asked is not None:
            actions = list(known[draw.integers(len(known))])
        else:
            actions = [str(name) for name in draw.choice(names, size=count, replace=False, p=weights / weights.sum())]
        parts = [by_action[action][draw.integers(len(by_action[action]))] for action in actions]
        if asked is None and all(part.bandai for part in parts):
            continue
        longest = (MAX_FRAMES + (count - 1) * BLEND) // count
        joints = [cut_clip(Clip(p.name, p.joints, p.split, labels={"content": p.action}), longest, draw)
                  if p.action.startswith(GOING) or p.action in ("stand", "dribble", "uneven", "karate", "sit", "talk")
                  else p.joints for p in parts]  # fmt: skip
        joints = [at_speed(j, draw.uniform(0.9, 1.15)) for j in joints]
        if min(map(len, joints)) < 2 * BLEND or sum(map(len, joints)) - BLEND * (count - 1) > MAX_FRAMES:
            continue
        if all(fits(a, b) for a, b in pairwise(joints)):
            found += 1
            yield join_all(joints), actions


def repeated_clips(
    pieces: list[ActionPiece], amount: int, draw: np.random.Generator
) -> Iterator[tuple[np.ndarray, str, int]]:
    """One action done two or three times in a row."""
    by_action: dict[str, list[ActionPiece]] = {}
    for piece in pieces:
        by_action.setdefault(piece.action, []).append(piece)
    names = sorted(by_action)
    found = 0
    for _ in range(40 * amount):
        if found == amount:
            return
        same = by_action[names[draw.integers(len(names))]]
        times = int(draw.integers(2, 4))
        joints = [at_speed(same[i].joints, draw.uniform(0.9, 1.2)) for i in draw.integers(len(same), size=times)]
        if min(map(len, joints)) < 2 * BLEND or sum(map(len, joints)) - BLEND * (times - 1) > MAX_FRAMES:
            continue
        if all(fits(a, b) for a, b in pairwise(joints)):
            found += 1
            yield join_all(joints), same[0].action, times
